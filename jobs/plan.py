"""A plan of a run: which partitions of which tables a DAG would replace, and what that took last time.

Nothing is run and no Spark is started: which tables a DAG makes its file says, which of their days are there
and with how many rows the tables' logs, and how long a day took `runs`. A day that was never done is reckoned
by the median day of the job. Tasks run side by side, so a run takes less than their sum.

Reads   dags/, the tables' logs, runs, the lake's folders and the store's pointer
Writes  nothing
"""

import importlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs import runs, store
from jobs.config import ROOT, Config
from jobs.contracts import contract
from jobs.house.airflow import DATABASE, NOT_FOR_TASKS
from jobs.inputs import missing_days
from jobs.store import StoreError
from jobs.tables import Tables
from jobs.volume import stored_rows

Row = Mapping[str, Any]
TABLES = "vitrine://tables/"
WAITS = "wait_for_"


class PlanError(ValueError):
    """There is no such DAG, or the interval cannot be."""


@dataclass(frozen=True)
class Steps:
    """What a DAG does: its jobs with the tables they write, in order, and the jobs that it waits for."""

    writes: Mapping[str, str]
    waits: Sequence[str] = ()


@dataclass(frozen=True)
class Planned:
    """What a job would do: days to replace, those of them that its table holds, with their rows, and seconds.

    seconds is None where the job has never run; `reckoned` days of them never were, and count as the usual.
    """

    job: str
    table: str
    days: int
    held: int | None
    rows: int
    seconds: float | None
    reckoned: int


def steps_of(dag_id: str, config: Config) -> Steps:
    """Read a DAG's file.

    Raises
    ------
    PlanError
        When there is none.

    """
    known = sorted(file.stem for file in (ROOT / "dags").glob("*.py") if file.stem != "wiring")
    if dag_id not in known:
        raise PlanError(f"There is no DAG {dag_id!r}; there are {', '.join(known)}.")
    if os.environ.get(DATABASE, "").startswith(NOT_FOR_TASKS):
        # What a task finds there cannot even be read as an address; nobody connects to this one.
        os.environ[DATABASE] = f"sqlite:///{config.home / 'airflow' / 'none.db'}"
    # Airflow makes its home where it is imported.
    os.environ.setdefault("AIRFLOW_HOME", str(config.home / "airflow"))
    os.environ.setdefault("AIRFLOW_CONFIG", str(ROOT / "conf" / "airflow" / "airflow.cfg"))
    if str(ROOT / "dags") not in sys.path:
        sys.path.insert(0, str(ROOT / "dags"))
    tasks = importlib.import_module(dag_id).dag.topological_sort()
    found = {
        task.task_id: asset.uri.removeprefix(TABLES)
        for task in tasks
        for asset in task.outlets
        if asset.uri.startswith(TABLES)
    }
    waits = [task.task_id.removeprefix(WAITS) for task in tasks if task.task_id.startswith(WAITS)]
    return Steps(found, waits)


def planned(steps: Steps, days: Sequence[date], tables: Tables, config: Config) -> list[Planned]:
    """Return what each job of a DAG would do for some days."""
    by_job: dict[str, list[Row]] = {}
    for row in tables.read("runs", None, ["job", "days", "seconds", "status", "started_at"]).to_pylist():
        if row["status"] in runs.DONE and row["days"]:
            by_job.setdefault(row["job"], []).append(row)
    found = []
    for job, table in steps.writes.items():
        own = [day for day in days if day >= config.since.get(job, day)]
        has_days = contract(table).day is not None
        held = stored_rows(tables, contract(table)) if has_days else {}
        there = [held[day] for day in own if held.get(day)]
        seconds, reckoned = took(by_job.get(job, ()), own)
        found.append(
            Planned(job, table, len(own), len(there) if has_days else None, sum(there), seconds, reckoned)
        )
    return found


def took(own: Iterable[Row], days: Sequence[date]) -> tuple[float | None, int]:
    """Return the seconds that a job's newest runs took for some days, and how many of these never were done.

    A run over many days counts by its days, equally; a day that never was done counts as the median day.
    """
    by_day: dict[date, float] = {}
    every: list[float] = []
    for row in sorted(own, key=lambda row: row["started_at"]):
        each = row["seconds"] / len(row["days"])
        every.append(each)
        by_day |= dict.fromkeys(row["days"], each)
    if not every:
        return None, len(days)
    never = [day for day in days if day not in by_day]
    return sum(by_day[day] for day in days if day in by_day) + median(every) * len(never), len(never)


def notes(steps: Steps, days: Sequence[date], tables: Tables, config: Config) -> list[str]:
    """Say what else a run of these days would meet: what is missing, and what stays as it was."""
    told = []
    for table in dict.fromkeys(steps.writes.values()):
        for name, missing in missing_days(config, table, days).items():
            told.append(
                f"The lake has no folder of {name} for {spans(missing)}: {table} would stop there. Deliver"
                " it, or name other days."
            )
    for job in steps.waits:
        due = [day for day in days if day >= config.since.get(job, day)]
        covered = {
            day for row in runs.of_job(tables, job) if row["status"] in runs.DONE for day in row["days"]
        }
        if waiting := [day for day in due if day not in covered]:
            told.append(f"It would wait for {job} of {spans(waiting)}: run what makes it first.")
    if "layouts" in steps.writes:
        told += _of_layouts(days, config)
    if "events" in steps.writes:
        told.append(f"Late data may rebuild up to {config.late_days} days before them, too.")
    return told


def _of_layouts(days: Sequence[date], config: Config) -> list[str]:
    try:
        live = store.live(config.store_url)
    except StoreError as error:
        return [f"The store cannot be asked which night is live: {error}"]
    older = [day for day in days if live and day < live.layout_date]
    told = "came before the live night: their layouts go under a scenario, and none is exported."
    return [f"{spans(older)} {told}"] if older else []


def spans(days: Sequence[date]) -> str:
    """Return days as spans: 2017-10-01 to 2017-10-03 and 2017-10-07."""
    breaks = [
        0,
        *(n + 1 for n, (one, other) in enumerate(pairwise(days)) if (other - one).days > 1),
        len(days),
    ]
    parts = [days[first:after] for first, after in pairwise(breaks)]
    told = [str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def show(config: Config, dag_id: str, start: date, end: date, console: Console) -> None:
    """Print the plan of a DAG for the days from `start` to `end`, both included.

    Raises
    ------
    PlanError
        When there is no such DAG, or the days are in the wrong order.

    """
    if start > end:
        raise PlanError(f"{start} is after {end}: give the earlier day first.")
    steps, tables = steps_of(dag_id, config), Tables(config.tables)
    days = runs.days_between(start, date.fromordinal(end.toordinal() + 1))
    found = planned(steps, days, tables, config)
    many = f"{len(days):,} days" if len(days) > 1 else "1 day"
    table = Table(title=f"{dag_id}, {spans(days)} ({many})", title_justify="left", box=None, pad_edge=False)
    for heading in ("table", "job", "days", "of them there", "rows there", "took last time"):
        table.add_column(heading, justify="left" if heading in ("table", "job") else "right")
    for one in found:
        seconds = "never ran" if one.seconds is None else _long(one.seconds)
        mark = " *" if one.seconds is not None and one.reckoned else ""
        held = "adds rows" if one.held is None else f"{one.held:,}"
        table.add_row(one.table, one.job, f"{one.days:,}", held, f"{one.rows:,}", seconds + mark)
    console.print(table)
    total = sum(one.seconds or 0.0 for one in found)
    console.print(f"One task after another {_long(total)}; tasks run side by side, so a run takes less.")
    if any(one.reckoned and one.seconds is not None for one in found):
        console.print("* with days that were never done, reckoned as the job's median day.")
    for note in notes(steps, days, tables, config):
        console.print(note)
    console.print("Nothing was run.")


def _long(seconds: float) -> str:
    return f"{seconds / 60:,.1f} min" if seconds >= 60 else f"{seconds:.1f} s"
