"""`vitrine doctor`: looks at all that a night needs on this machine, and says what to do where it is ill.

Reads   versions, Java, jars, conf/, the environment, disk, memory and permissions; asks engine, PostgreSQL,
        Airflow, store and MLflow whether they answer, where they should
Writes  nothing but an empty file in the data home, and that is gone at once
"""

import importlib.metadata
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil

from jobs.config import ROOT, Config, ConfigError, home, load
from jobs.house import HouseError, java
from jobs.house.jars import file_sha256, pinned

State = Literal["well", "note", "mend"]

GIB = 2**30
LEAST_FREE, ENOUGH_FREE = 1 * GIB, 5 * GIB
BESIDE_ENGINE = 2 * GIB
"""Memory that Airflow and the jobs' own processes take beside the engine."""
SECONDS = 5
EXACT = re.compile(r"^    ([\w.-]+)==([\w.]+)$", re.MULTILINE)
SECRETS = ("airflow/secrets.json", "airflow/passwords.json", "engine/remote")


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do: `mend` must be mended, a `note` is good to know."""

    what: str
    state: State
    told: str
    do: str = ""


def examine() -> list[Finding]:
    """Look at everything; what depends on a broken conf/ is left out."""
    data_home = home()
    found = [python(), *packages(), *java_and_jars(data_home), *environment()]
    found += [*room(data_home), *permissions(data_home)]
    try:
        config = load()
    except ConfigError as error:
        return [*found, Finding("conf", "mend", str(error), "Mend that file, then run vitrine doctor again.")]
    found.append(Finding("conf", "well", f"overlays {os.environ.get('VITRINE_OVERLAY', 'demo') or 'none'}"))
    return [*found, *key(config), memory(config), *connections(config)]


def show(found: list[Finding], *, as_json: bool = False) -> bool:
    """Print what was found; return whether nothing must be mended."""
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        for one in found:
            print(f"{one.state:5} {one.what:12} {one.told}")
            if one.do:
                print(f"{'':18} → {one.do}")
        ill = sum(one.state == "mend" for one in found)
        print("All is well." if not ill else f"{ill} to mend.")
    return all(one.state != "mend" for one in found)


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Look at Python's version."""
    told = ".".join(map(str, version))
    if version[:2] == (3, 11):
        return Finding("python", "well", told)
    return Finding(
        "python", "mend", f"{told}, and 3.11 is needed", "Run make setup PYTHON=path/to/python3.11."
    )


def packages(setup: Path = ROOT / "setup.cfg") -> Iterator[Finding]:
    """Compare installed packages with the exact pins of setup.cfg."""
    wrong = []
    pins = dict(EXACT.findall(setup.read_text(encoding="utf-8"))) if setup.exists() else {}
    for name, wanted in sorted(pins.items()):
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != wanted:
            wrong.append(f"{name} {found} (pinned {wanted})")
    if wrong:
        yield Finding("packages", "mend", ", ".join(wrong), "Run make setup.")
    else:
        yield Finding("packages", "well", f"{len(pins)} as pinned")


def java_and_jars(data_home: Path) -> Iterator[Finding]:
    """Look for a Java, and check every jar against its hash."""
    try:
        yield Finding("java", "well", str(java.home_of(data_home)))
    except HouseError as error:
        yield Finding(
            "java", "mend", str(error).partition(":")[0] + ".", "Run make setup, or install Java 17."
        )
    wrong = [jar.file for jar in pinned() if not _is_whole(data_home / "jars" / jar.file, jar.sha256)]
    if wrong:
        yield Finding("jars", "mend", f"missing or damaged: {', '.join(wrong)}", "Run make setup.")
    else:
        yield Finding("jars", "well", f"{len(pinned())} with their pinned hashes")


def _is_whole(path: Path, sha256: str) -> bool:
    return path.exists() and file_sha256(path) == sha256


def environment() -> Iterator[Finding]:
    """Look for variables that would lead Spark or a job elsewhere."""
    for name in ("SPARK_HOME", "SPARK_REMOTE", "SPARK_CONF_DIR"):
        if value := os.environ.get(name):
            told = f"{name}={value} leads Spark away from what is installed here"
            yield Finding("environment", "mend", told, f"Unset {name}.")
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        told = "PYTHONDONTWRITEBYTECODE lets every process compile what it imports"
        yield Finding("environment", "note", told, "Unset it: tasks then start seconds earlier.")


def key(config: Config) -> Iterator[Finding]:
    """Look for the key of pseudonyms."""
    try:
        demo = " of the demo" if config.ids.key.decode() == config.ids.demo_key else ""
        yield Finding("key", "well", f"{config.ids.key_id}{demo}")
    except ConfigError as error:
        yield Finding(
            "key", "mend", str(error), "Set it where Airflow is started, and keep it safe elsewhere."
        )


def room(data_home: Path, free: int | None = None) -> Iterator[Finding]:
    """Look at the disk of the data home."""
    there = next(path for path in (data_home, *data_home.parents) if path.exists())
    left = shutil.disk_usage(there).free if free is None else free
    told = f"{left / GIB:,.1f} GiB free for {data_home}"
    if left < LEAST_FREE:
        do = "Free some: a full disk stops the night; vitrine maintenance DAY removes what nobody needs."
        yield Finding("disk", "mend", told, do)
    elif left < ENOUGH_FREE:
        yield Finding("disk", "note", told, "A night of the demo writes far less; watch it.")
    else:
        yield Finding("disk", "well", told)


def permissions(data_home: Path) -> Iterator[Finding]:
    """Try to write into the data home, and look who may read its secrets."""
    try:
        data_home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_home):
            yield Finding("data home", "well", str(data_home))
    except OSError as error:
        do = "Give its owner the right to write, or set VITRINE_HOME to a folder of yours."
        yield Finding("data home", "mend", f"{data_home} cannot be written: {error.strerror}", do)
    for name in SECRETS:
        path = data_home / name
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding("secrets", "mend", f"others may read {path}", f"chmod 600 {path}")


def memory(config: Config, total: int | None = None) -> Finding:
    """Compare the machine's memory with what the engine may take."""
    have = psutil.virtual_memory().total if total is None else total
    units = {"k": 2**10, "m": 2**20, "g": GIB, "t": 2**40}
    match = re.fullmatch(r"(\d+)([kmgt])b?", config.engine.memory.lower())
    engine = int(match[1]) * units[match[2]] if match else 0
    told = f"{have / GIB:,.1f} GiB; the engine may take {config.engine.memory}"
    if config.engine.kind != "submit" and have < engine + BESIDE_ENGINE:
        return Finding("memory", "mend", told, "Lower engine.memory in conf/ by an overlay, or add memory.")
    return Finding("memory", "well", told)


def connections(config: Config) -> Iterator[Finding]:
    """Ask each part that should be up whether it answers."""
    yield from _parts()
    asked: list[tuple[str, Callable[[Config], Finding]]] = [
        ("database", _database), ("store", _store), ("mlflow", _mlflow),
    ]  # fmt: skip
    for what, ask in asked:
        try:
            yield ask(config)
        except Exception as error:  # whatever a driver raises: it does not answer
            said = str(error).strip().partition("\n")[0][:200]
            yield Finding(
                what, "mend", f"does not answer: {said}", f"Start it, or mend its address ({what})."
            )


def _parts() -> Iterator[Finding]:
    from jobs.house import house, process

    started = {name for name in ("engine", "airflow") if process.running(name, home()) is not None}
    if "airflow" in started and not os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"):
        started.add("postgres")
    for part in house.parts():
        if part.runs:
            yield Finding(part.name, "well", f"answers {part.where}".strip())
        elif part.name in started:
            do = f"See {home() / 'logs'}; then make down and make up."
            yield Finding(part.name, "mend", "was started and does not answer", do)
        else:
            yield Finding(part.name, "note", "does not run", "Start it with make up.")


def _database(_: Config) -> Finding:
    address = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    if not address:
        return Finding("database", "well", "the embedded PostgreSQL, started with Airflow")
    from sqlalchemy import create_engine, text

    more = {"connect_timeout": SECONDS} if address.startswith("postgresql") else {}
    engine = create_engine(address, connect_args=more)
    try:
        with closing(engine.connect()) as connection:
            connection.execute(text("select 1"))
            return Finding("database", "well", f"{engine.url.render_as_string(hide_password=True)} answers")
    finally:
        engine.dispose()


def _store(config: Config) -> Finding:
    from jobs.store.status import live, status

    pointer = live(config.store_url)
    stands = pointer is not None and config.store.clock == "generation"
    found = status(config.store_url, pointer.noon if pointer and stands else datetime.now(UTC))
    if found.problem:
        return Finding(
            "store", "mend", found.problem, "Roll back with vitrine store rollback, or export anew."
        )
    if found.live is None:
        return Finding("store", "note", "is empty", "Run lake_etl and nightly_layouts: the export fills it.")
    until = f"{found.live.valid_until:%Y-%m-%d %H:%M} UTC"
    told = f"generation {found.live.generation}, {found.state}, until {until}"
    if found.state == "past its validity":
        return Finding("store", "mend", told, "Readers get defaults: clear nightly_layouts' failed task.")
    return Finding("store", "well", told)


def _mlflow(config: Config) -> Finding:
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if address.startswith("http"):
        import requests

        requests.get(f"{address.rstrip('/')}/health", timeout=SECONDS).raise_for_status()
        return Finding("mlflow", "well", f"{address} answers")
    path = config.home / "mlflow" / "mlflow.db"
    if not path.exists():
        return Finding("mlflow", "note", "has no database yet", "The first report makes it.")
    import sqlite3

    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=SECONDS)) as connection:
        (runs,) = connection.execute("select count(*) from runs").fetchone()
    return Finding("mlflow", "well", f"{runs:,} runs in {path}")
