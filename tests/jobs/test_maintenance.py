"""maintenance: what nobody needs goes, what a promise rests on stays and opens, and a rerun does nothing."""

import os
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError

from jobs import compaction, lineage, maintenance, old_files, old_runs, runs, sweep
from jobs.config import Config, Maintenance
from jobs.contracts import contract
from jobs.house import airflow
from jobs.ids import pseudonym
from jobs.store import care
from jobs.store.export import export
from jobs.store.status import held
from jobs.tables import Tables
from tests.store import given as nights

DAY = date(2017, 10, 12)
AT = datetime(2017, 10, 15, 16, tzinfo=UTC)
ANN = pseudonym("user", "ann", key=b"k", key_id="k1")


def examples(tables: Tables, subject: str) -> int:
    """Replace the examples of a closing by one subject's; return the version."""
    row = {"closing_id": "2017-10", "closing_date": DAY, "subject": subject, "subject_bucket": 0}
    rows = pa.Table.from_pylist([row], schema=contract("closing_examples").arrow_schema)
    tables.replace("closing_examples", rows, f"closing_date = '{DAY}'")
    version = tables.version("closing_examples")
    assert version is not None
    return version


def model(tables: Tables, name: str, verdict: str, version: int) -> None:
    tables.append("models", [{"model_version": name, "name": "churn", "as_of_date": DAY,
                              "inputs": [("closing_examples", version)]}])  # fmt: skip
    tables.append("releases", [{"release_id": name, "kind": "model", "name": "churn", "version": name,
                                "verdict": verdict, "as_of_date": DAY, "decided_at": AT}])  # fmt: skip


def run(job: str, ago: int, day: date | None = DAY, **more: Any) -> dict[str, Any]:
    """Return a row of `runs` that began so many days ago."""
    began = AT - timedelta(ago)
    return {
        "run_id": f"{job}-{ago}-{more.get('dag_run', '')}", "job": job, "dag_run": None, "output": job,
        "from_date": day or DAY, "to_date": (day or DAY) + timedelta(1), "days": [day] if day else [],
        "inputs": [], "status": "published", "started_at": began, **more,
    }  # fmt: skip


def opens(tables: Tables, name: str, version: int) -> bool:
    try:
        tables.read(name, version=version)
    except (DeltaError, FileNotFoundError, OSError):
        return False
    return True


def test_versions_that_champions_and_generations_are_from_are_read_as_they_were(
    config: Config, tables: Tables
) -> None:
    """What a roll-back would bring back stays, too; what was refused, or nobody names, goes."""
    first, second, refused, _ = (examples(tables, who) for who in ("a", "b", "c", "d"))
    model(tables, "churn@1", "yes", first)
    model(tables, "churn@2", "yes", second)
    model(tables, "churn@3", "no", refused)
    for day in (DAY, DAY + timedelta(1)):
        tables.append("layouts", [{"subject": "s", "layout_date": day, "subject_bucket": 0}])
    drawn = tables.version("layouts")
    tables.replace("layouts", tables.read("layouts").slice(0, 0), "layout_date is not null")
    tables.append("runs", [run("export", 1, inputs=[("layouts", drawn)])])
    shown = {"layout_date": DAY, "run_id": "export-1-", "flipped_at": AT, "generation": 7}
    tables.append("exports", [shown, {**shown, "generation": 8, "run_id": "other", "flipped_at": None}])

    assert lineage.needed(tables, config.store_url) == {
        "closing_examples": {first: "model churn@1", second: "model churn@2"},
        "layouts": {drawn: "generation 7"},
    }
    sweep.sweep(config, DAY, vacuum_hours=0)
    read = [tables.read("closing_examples", version=one)["subject"].to_pylist() for one in (first, second)]
    assert read == [["a"], ["b"]]
    assert not opens(tables, "closing_examples", refused)
    assert drawn is not None
    assert tables.read("layouts", version=drawn).num_rows == 2
    assert not opens(tables, "layouts", drawn - 1) or tables.read("layouts", version=drawn - 1).num_rows == 1


def test_what_two_roll_backs_left_in_the_store_stays(config: Config, tables: Tables) -> None:
    """Generations 2 and 3 were rolled back from: the colours hold 1 and 4."""
    for number in (1, 2, 3, 4):
        tables.append("runs", [run("export", 9 - number, run_id=f"e{number}", inputs=[("layouts", number)])])
        shown = {"generation": number, "layout_date": DAY, "run_id": f"e{number}", "flipped_at": AT}
        tables.append("exports", [shown])
        night = nights.night(nights.DAY + timedelta(number), f"e{number}")
        rows = nights.inputs(nights.layouts(range(3), {1: number}))
        export(config.store_url, night, rows, numbered_after=number - 1)
        if number in (2, 3):
            care.rollback(config.store_url, "UTC", nights.NOON)
    assert held(config.store_url) == {1, 4}
    assert lineage.needed(tables, config.store_url) == {"layouts": {1: "generation 1", 4: "generation 4"}}
    gone = old_runs.find(tables, config.store_url, AT + timedelta(1))
    assert gone == {"export": ["e2", "e3"]}


def test_who_is_forgotten_goes_though_a_champion_learned_from_them(config: Config, tables: Tables) -> None:
    old = examples(tables, ANN)
    examples(tables, "b")
    model(tables, "churn@1", "yes", old)
    tables.append("erasures", [{"subject": ANN, "changed_date": DAY}])
    (told,) = sweep.sweep(config, DAY, vacuum_hours=0)
    assert str(told).endswith(
        f"Version {old}, which model churn@1 was made from, does not stay: who is forgotten was in it"
    )
    assert not opens(tables, "closing_examples", old)
    assert sweep.sweep(config, DAY, vacuum_hours=0) == []


def test_a_needed_version_does_not_outlive_its_days_retention(config: Config, tables: Tables) -> None:
    old = {"subject": "s", "decision_date": DAY - timedelta(401), "subject_bucket": 0}
    tables.append("contexts", [old])
    version = tables.version("contexts")
    tables.append("runs", [run("export", 1, inputs=[("contexts", version)])])
    tables.append("exports", [{"run_id": "export-1-", "flipped_at": AT, "generation": 7}])
    (told,) = sweep.sweep(config, DAY, vacuum_hours=0)
    assert told.days == 1
    assert told.lost[0].endswith("it holds days beyond retention")


def test_files_that_a_killed_job_left_beside_a_table_go_when_they_are_old(
    config: Config, tables: Tables
) -> None:
    """But not those of a job that is at work."""
    tables.append("orders", [{"order_id": "1", "order_date": DAY}])
    (live,) = (Path(path) for path, _ in tables.files("orders"))
    left = [Path(tables.path("orders")) / f"data/{name}/x.parquet" for name in ("old", "young")]
    for file, hours in zip(left, (169, 1), strict=True):
        file.parent.mkdir(parents=True)
        file.write_bytes(live.read_bytes())
        began = datetime.now(UTC).timestamp() - hours * 3600
        os.utime(file, (began, began))
    sweep.sweep(config, DAY, vacuum_hours=168)
    assert [file.exists() for file in (live, *left)] == [True, False, True]


@pytest.mark.parametrize(
    ("stays", "goes"),
    [
        # The newest that did a day; what was done again goes.
        ([run("orders", 200)], [run("orders", 300)]),
        ([run("orders", 20), run("orders", 19)], [run("orders", 200)]),
        # A rerun asks for the newest that published, late data for the newest at all.
        ([run("orders", 300), run("orders", 200, status="unchanged")], []),
        ([run("orders", 300), run("orders", 200, DAY + timedelta(1))], []),
        ([run("orders", 300, days=[DAY, DAY + timedelta(1)]), run("orders", 200)], []),
        ([], [run("orders", 200, status="stopped"), run("pin", 200, None), run("pin", 101, dag_run="d/r")]),
        ([run("orders", 99, status="stopped"), run("pin", 99, None)], []),
        # A closing's run is known by all its rows, a change of key by its own.
        ([run("subject_scores", 200), run("subject_scores", 300, dag_run="closing_training/m")], []),
        ([run("rekey", 300), run("rekey", 200)], []),
        ([run("export", 300, run_id="shown"), run("export", 200)], []),
    ],
)  # fmt: skip
def test_rows_of_runs_stay_while_something_rests_on_them(
    stays: list[dict[str, Any]], goes: list[dict[str, Any]]
) -> None:
    found = old_runs.superfluous([*stays, *goes], AT - timedelta(100), {"shown"})
    gone = [one for ids in found.values() for one in ids]
    assert sorted(gone) == sorted(row["run_id"] for row in goes)


def test_the_house_is_kept_once_and_then_nothing_is_left_to_do(
    config: Config, tables: Tables, home: Path
) -> None:
    for number in range(20):
        tables.append("runs", [run("orders", 400 - number, DAY + timedelta(number // 2))])
    tables.append("runs", [run("pin", 200, None)])
    tables.append("orders", [{"order_id": "1", "order_date": DAY}])
    names = (
        "reports/policies/2017-10-01.html",
        "reports/policies/2017-10-02.html",
        "airflow/logs/dag_id=x/1.log",
    )
    old, new, log = (home / name for name in names)
    for file, days in ((old, 500), (new, 450), (log, 31)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
        os.utime(file, ((AT - timedelta(days)).timestamp(),) * 2)
    told: list[str] = []
    before = {name: tables.version(name) for name in ("runs", "orders")}
    newest = runs.newest_day(tables, "orders")

    maintenance.run(config, DAY, AT, dry_run=True, tell=told.append)
    assert {name: tables.version(name) for name in before} == before
    assert [old.exists(), log.exists()] == [True, True]
    planned = [line for line in told if not line.startswith(" ")]
    assert "runs: 11 rows that nothing rests on" in planned
    assert planned[-1] == "Nothing was removed, this only looked."

    told.clear()
    maintenance.run(config, DAY, AT, tell=told.append)
    assert [line for line in told if not line.startswith(" ")][:-1] == [
        # Compaction finds the ten files as one: what went was taken out of their partition.
        line if not line.startswith("compaction") else "compaction: 0 small files fewer"
        for line in planned[:-1]
    ]
    assert [old.exists(), new.exists(), log.exists(), log.parent.exists()] == [False, True, False, False]
    (row,) = runs.of_job(tables, "maintenance")
    assert (row["status"], row["from_date"]) == ("published", DAY)
    assert "runs: 11 rows that nothing rests on" in row["message"]
    assert runs.newest_day(tables, "orders") == newest
    assert runs.is_ready(tables, "orders", [DAY + timedelta(n) for n in range(10)])

    told.clear()
    maintenance.run(config, DAY, AT, tell=told.append)
    assert told[-1] == "Nothing is to be removed."
    assert [row["status"] for row in runs.of_job(tables, "maintenance")] == ["published", "unchanged"]


def test_many_small_files_become_one_with_the_same_rows(tables: Tables) -> None:
    bounds = Maintenance(small_files=5)
    for number in range(6):
        tables.append("runs", [run("orders", number)])
    tables.append("runs", [run("users", 1)])
    rows = sorted(tables.read("runs")["run_id"].to_pylist())
    after = tables.version("runs")
    found = compaction.crowded(tables, "runs", bounds)
    assert found == {("orders",): 5}
    assert compaction.compact(tables, "runs", found, bounds) == 5
    assert sorted(tables.read("runs")["run_id"].to_pylist()) == rows
    assert len(tables.files("runs")) == 2
    assert compaction.crowded(tables, "runs", bounds) == {}
    # It is no change of rows: what was published stands.
    assert after is not None
    assert tables.version("runs") == after + 1
    assert tables.writers("runs", after) == []


@pytest.mark.parametrize(
    ("shares", "fewer"), [([0.9] * 4, 0), ([0.6, 0.2, 0.6, 0.45, 0.3, 1.2], 2), ([0.3] * 7, 4)]
)
def test_what_compaction_promises_is_what_it_does(tables: Tables, shares: list[float], fewer: int) -> None:
    """Files that fit nowhere beside another are not promised, however many they are."""
    bounds = Maintenance(small_files=4, small_mib=1)
    noise = random.Random(1)
    for number, share in enumerate(shares):
        message = noise.randbytes(int(share * compaction.MIB * 0.48)).hex()
        tables.append("runs", [run("orders", number, message=message)])
    found = compaction.crowded(tables, "runs", bounds)
    assert found == ({("orders",): fewer} if fewer else {})
    assert compaction.compact(tables, "runs", found, bounds) == fewer
    assert len(tables.files("runs")) == len(shares) - fewer
    assert compaction.crowded(tables, "runs", bounds) == {}


def test_a_log_that_is_summed_up_reaches_back_as_far_as_lineage_needs(tables: Tables) -> None:
    def aged(name: str) -> int:
        """Make a version, and let its log be of 40 days ago."""
        for _ in range(3):
            tables.append(name, [{"changed_date": DAY} if name == "closings" else {"order_date": DAY}])
        for file in (Path(tables.path(name)) / "_delta_log").glob("*.json"):
            began = datetime.now(UTC).timestamp() - 40 * 86400
            os.utime(file, (began, began))
        return 1

    kept, lost = aged("closings"), aged("orders")
    assert compaction.keep_log(tables, "closings", 800)
    assert not compaction.keep_log(tables, "closings", 800)
    assert compaction.commits_since_checkpoint(tables, "closings") == 5
    for name in ("closings", "orders"):
        compaction.sum_up(tables, name)
        assert compaction.commits_since_checkpoint(tables, name) == 0
    assert tables.read("closings", version=kept).num_rows == 1
    assert not opens(tables, "orders", lost)
    assert tables.read("orders").num_rows == 3


def test_the_newest_report_of_each_kind_stays(home: Path) -> None:
    def report(name: str, ago: int) -> Path:
        file = home / "reports" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
        os.utime(file, ((AT - timedelta(ago)).timestamp(),) * 2)
        return file

    old = [report(f"policies/2017-10-0{day}.html", 10 - day) for day in (1, 2)]
    report("policies/2017-10-03.html", 7)
    report("models/2017-10-01.html", 99)
    # One folder holds the previews of all pages, and the requests of all segmentations.
    report("goals/home.html", 99)
    report("goals/start.html", 98)
    request = report("segments/rfm@2017-10-01-0a1b2c.html", 9)
    report("segments/rfm@2017-10-01-d4e5f6.html", 8)
    report("segments/rfm-consultant@2017-10-01-0a1b2c.html", 99)
    assert old_files.old_reports(home, AT - timedelta(5)) == [*old, request]
    assert old_files.old_reports(home, AT - timedelta(8, hours=1)) == [old[0], request]


def test_a_step_that_fails_holds_none_of_the_others_up(
    config: Config, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    tables.append("runs", [run("orders", 300), run("orders", 200)])
    monkeypatch.setattr(maintenance.care, "collect", full)
    with pytest.raises(maintenance.MaintenanceError, match=r"Clear up the store: .*No space left"):
        maintenance.run(config, DAY, AT, tell=lambda _: None)
    assert [row["run_id"] for row in runs.of_job(tables, "orders")] == ["orders-200-"]
    (row,) = runs.of_job(tables, "maintenance")
    assert row["status"] == "stopped"


def test_airflows_database_is_left_alone_where_it_is_not_at_hand(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task of Airflow's is not told the address; only the embedded one is found without."""
    monkeypatch.setenv(airflow.DATABASE, "airflow-db-not-allowed:///")
    assert airflow.clean(AT, dry_run=True) is None
