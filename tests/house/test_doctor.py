"""`vitrine doctor`: each trouble is told with what to do, and only what must be mended makes it fail."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from jobs.config import load
from jobs.house import HouseError, doctor, java
from jobs.house.doctor import GIB, Finding
from jobs.house.jars import Jar
from jobs.store.export import export
from tests.store import given as nights

SHA = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"


def states(found: Any) -> list[tuple[str, str]]:
    return [(one.what, one.state) for one in found]


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """Return a data home with a pinned jar, beside a Java, in a quiet environment."""
    monkeypatch.setattr(doctor, "pinned", lambda: [Jar("group:name:1.0", "name-1.0.jar", SHA)])
    monkeypatch.setattr(java, "home_of", lambda _: Path("/a/java"))
    for name in ("SPARK_HOME", "SPARK_REMOTE", "SPARK_CONF_DIR", "PYTHONDONTWRITEBYTECODE",
                 "MLFLOW_TRACKING_URI", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    (home / "jars").mkdir()
    (home / "jars" / "name-1.0.jar").write_bytes(b"12345")
    return home


def test_a_machine_that_is_set_up_and_stands_still_is_well(sound: Path, capsys: Any) -> None:
    found = doctor.examine()
    assert [one for one in found if one.state == "mend"] == []
    assert states(found)[:4] == [(what, "well") for what in ("python", "packages", "java", "jars")]
    notes = {one.what: one.do for one in found if one.state == "note"}
    assert notes["airflow"] == "Start it with make up."
    assert notes["store"] == "Run lake_etl and nightly_layouts: the export fills it."
    assert doctor.show(found)
    assert capsys.readouterr().out.endswith("All is well.\n")
    assert [path.name for path in sound.iterdir()] == ["jars"]


def test_what_must_be_mended_says_how_and_fails(
    sound: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def none(_: Path) -> Path:
        raise HouseError("There is no Java 17 or newer, neither here nor there: run make setup.")

    monkeypatch.setattr(java, "home_of", none)
    monkeypatch.setenv("SPARK_HOME", "/elsewhere")
    (sound / "jars" / "name-1.0.jar").write_bytes(b"half")
    (sound / "airflow").mkdir()
    secret = sound / "airflow" / "secrets.json"
    secret.write_text("{}")
    secret.chmod(0o644)
    monkeypatch.setenv("VITRINE_OVERLAY", "nowhere")
    found = doctor.examine()
    told = {one.what: (one.told, one.do) for one in found if one.state == "mend"}
    assert told == {
        "java": (
            "There is no Java 17 or newer, neither here nor there.", "Run make setup, or install Java 17.",
        ),
        "jars": ("missing or damaged: name-1.0.jar", "Run make setup."),
        "environment": (
            "SPARK_HOME=/elsewhere leads Spark away from what is installed here", "Unset SPARK_HOME.",
        ),
        "secrets": (f"others may read {secret}", f"chmod 600 {secret}"),
        "conf": ("conf/nowhere.yaml is missing.", "Mend that file, then run vitrine doctor again."),
    }  # fmt: skip
    assert not doctor.show(found)
    assert "5 to mend." in capsys.readouterr().out
    assert not doctor.show(found, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert {"what": "jars", "state": "mend", "told": told["jars"][0], "do": told["jars"][1]} in printed


def test_versions_disk_and_memory_have_bounds(tmp_path: Path, home: Path) -> None:
    assert doctor.python((3, 11, 9)).state == "well"
    assert doctor.python((3, 12, 1)).state == "mend"
    setup = tmp_path / "setup.cfg"
    setup.write_text("install_requires =\n    lmdb==0.0.1\n    no-such-package==1\n    pytest\n")
    (found,) = doctor.packages(setup)
    assert found.state == "mend"
    assert "no-such-package missing (pinned 1)" in found.told
    for free, state in ((GIB - 1, "mend"), (5 * GIB - 1, "note"), (5 * GIB, "well")):
        assert states(doctor.room(home / "not" / "yet", free)) == [("disk", state)]
    config = load()
    engine = config.engine.model_copy(update={"kind": "connect", "memory": "3g"})
    config = config.model_copy(update={"engine": engine})
    assert doctor.memory(config, 5 * GIB).state == "well"
    assert doctor.memory(config, 5 * GIB - 1).state == "mend"


def test_a_real_key_must_be_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITRINE_ID_KEY", raising=False)
    config = load()
    assert [one.told for one in doctor.key(config)] == ["demo of the demo"]
    real = config.model_copy(update={"ids": config.ids.model_copy(update={"demo_key": None})})
    (found,) = doctor.key(real)
    assert (found.state, found.told) == (
        "mend",
        "No key for pseudonyms: set VITRINE_ID_KEY in the environment of the jobs.",
    )


def test_connections_are_asked(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load()
    rows = nights.layouts(range(2))
    export(config.store_url, nights.night(), nights.inputs(rows, nights.lists()))
    (sound / "mlflow").mkdir()
    with sqlite3.connect(sound / "mlflow" / "mlflow.db") as connection:
        connection.execute("create table runs (id)")
        connection.execute("insert into runs values (1)")
    connection.close()
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{sound / 'airflow.db'}")
    found = {one.what: one for one in doctor.connections(config)}
    assert found["store"].told.startswith("generation 1, fresh, until")
    assert found["mlflow"].told.startswith("1 runs in ")
    assert found["database"].state == "well"
    late = config.model_copy(update={"store": config.store.model_copy(update={"clock": "now"})})
    assert {one.what: one.state for one in doctor.connections(late)}["store"] == "mend"
    # Nobody listens on the discard port.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql+psycopg2://a:secret@127.0.0.1:9/x")
    gone = {one.what: one for one in doctor.connections(config) if one.state == "mend"}
    assert set(gone) == {"mlflow", "database"}
    assert all("secret" not in one.told for one in gone.values())
    assert isinstance(gone["mlflow"], Finding)
