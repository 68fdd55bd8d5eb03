"""runs: what ran, on which versions, and what it made: the memory that makes a night repeatable.

One row per run of a job. A DAG run reads each table at the version that an earlier task of it wrote, else
at the version that its first task, `pin`, found: so all its tasks see one state of the world.
"""

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.metadata import version
from typing import Any

import pyarrow.dataset as ds

from jobs.config import ROOT
from jobs.tables import Tables

PIN = "pin"
REKEY = "rekey"
DONE = ("published", "unchanged")
NEVER = -1  # no version of a table


class StalePin(RuntimeError):
    """A DAG run pinned tables before their pseudonyms changed."""


class NotRun(LookupError):
    """A job has not run for a day that is asked for."""


@dataclass
class Run:
    """A row of `runs`."""

    run_id: str
    job: str
    dag_run: str | None
    from_date: date
    to_date: date
    configuration: str
    started_at: datetime
    days: list[date] = field(default_factory=list)
    inputs: dict[str, int] = field(default_factory=dict)
    output: str | None = None
    output_version: int | None = None
    rows_in: int = 0
    rows_out: int = 0
    rows_rejected: int = 0
    content_digest: str = ""
    status: str = "stopped"
    message: str = ""
    seconds: float = 0.0
    peak_mib: int = 0
    cpu_seconds: float | None = None
    engine_cpu_seconds: float | None = None

    def row(self) -> dict[str, Any]:
        """The run as a row of its table."""
        return {**asdict(self), "inputs": list(self.inputs.items()), "code_version": code_version()}


def record(tables: Tables, run: Run) -> None:
    """Keep a run's row."""
    tables.append("runs", [run.row()])


def pin(tables: Tables, dag_run: str, names: Iterable[str], at: datetime) -> dict[str, int]:
    """Find the versions of all tables and keep them for the tasks of a DAG run."""
    versions = {name: found for name in names if (found := tables.version(name)) is not None}
    day = at.date()
    run = Run(f"{PIN}:{dag_run}:{at:%Y%m%dT%H%M%S%f}", PIN, dag_run, day, day, "", at, inputs=versions)
    run.status, run.message = "published", f"{len(versions)} tables"
    record(tables, run)
    return versions


def resolve(tables: Tables, names: Sequence[str], dag_run: str | None) -> dict[str, int | None]:
    """Return the version at which each table is to be read: of this DAG run, else pinned, else newest.

    Raises
    ------
    StalePin
        When the pinned versions are of before the key of pseudonyms changed.

    """
    mine = of_dag_run(tables, dag_run) if dag_run else []
    pins = [row for row in mine if row["job"] == PIN]
    if pins and any(row["started_at"] > pins[0]["started_at"] for row in of_job(tables, REKEY)):
        raise StalePin(
            f"{dag_run} pinned its tables before the key of pseudonyms changed: clear its task `pin`, and"
            " with it all after it."
        )
    pinned = dict(pins[0]["inputs"]) if pins else {}
    written = {
        row["output"]: row["output_version"] for row in mine if row["output"] and row["status"] in DONE
    }
    return {
        name: written[name] if name in written else pinned.get(name) if pins else tables.version(name)
        for name in names
    }


def replaced(tables: Tables, names: Sequence[str], dag_run: str | None) -> dict[str, set[date]]:
    """Days that tasks of this DAG run replaced in each of these tables."""
    rows = of_dag_run(tables, dag_run) if dag_run else []
    done = [row for row in rows if row["output"] in names and row["status"] in DONE]
    return {name: {day for row in done if row["output"] == name for day in row["days"]} for name in names}


def of_dag_run(tables: Tables, dag_run: str) -> list[dict[str, Any]]:
    """Rows of one DAG run since its newest pin, oldest first: a run that is cleared whole pins anew."""
    rows = _sorted(tables, ds.field("dag_run") == dag_run)
    pins = [number for number, row in enumerate(rows) if row["job"] == PIN]
    return rows[pins[-1] :] if pins else rows


def stale(tables: Tables, job: str, name: str, days: Sequence[date], version: int | None) -> set[date]:
    """Return the days that a job made from rows of a table which were replaced since, up to a version."""
    if version is None:
        return set()
    made = {
        day: dict(row["inputs"]).get(name, NEVER)
        for row in of_job(tables, job)
        if row["status"] in DONE
        for day in row["days"]
    }
    replaced = replaced_at(tables, name, version)
    return {day for day in days if day in made and replaced.get(day, NEVER) > made[day]}


def replaced_at(tables: Tables, name: str, version: int) -> dict[date, int]:
    """Return by day of a table the version that replaced it last, up to a version."""
    return {
        day: row["output_version"]
        for row in _sorted(tables, ds.field("output") == name)
        if row["status"] == "published" and row["output_version"] <= version
        for day in row["days"]
    }


def of_job(tables: Tables, job: str) -> list[dict[str, Any]]:
    """Rows of one job, oldest first."""
    return _sorted(tables, ds.field("job") == job)


def is_ready(tables: Tables, job: str, days: Iterable[date]) -> bool:
    """Tell whether finished runs of a job cover all these days."""
    covered = {day for row in of_job(tables, job) if row["status"] in DONE for day in row["days"]}
    return set(days) <= covered


def newest_day(tables: Tables, job: str, *, upto: date | None = None, exactly: bool = False) -> date:
    """Return the newest day, no later than `upto` (or just it), that finished runs of a job cover.

    Raises
    ------
    NotRun
        When there is none.

    """
    covered = {day for row in of_job(tables, job) if row["status"] in DONE for day in row["days"]}
    found = max((day for day in covered if upto is None or day <= upto), default=None)
    if found is None or (exactly and found != upto):
        there = f"the newest day that is there is {max(covered)}" if covered else "no day is there"
        when = f" {'for' if exactly else 'up to'} {upto}" if upto else ""
        raise NotRun(f"{job} has not run{when}; {there}. Run lake_etl for the day, or name another.")
    return found


def days_between(start: date, end: date) -> list[date]:
    """Days of a half-open interval."""
    return [start + timedelta(n) for n in range((end - start).days)]


def now() -> datetime:
    """The instant, for manifests only: no job computes with it."""
    return datetime.now(UTC)


@cache
def code_version() -> str:
    """The package's version, with the commit when the code is a checkout."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{version('vitrine')}+{done.stdout.strip()}" if done.returncode == 0 else version("vitrine")


def _sorted(tables: Tables, where: ds.Expression) -> list[dict[str, Any]]:
    rows: list[Mapping[str, Any]] = tables.read("runs", where).to_pylist()
    return [
        {**row, "inputs": dict(row["inputs"] or []), "days": row["days"] or []}
        for row in sorted(rows, key=lambda row: row["started_at"])
    ]
