"""Days of `lake_etl` through Airflow, as one interval and run by run: seconds of both, and equal rows.

Run by run they are asked for by the form of Airflow's page, in a browser.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds
from rich.console import Console

from jobs import runs
from jobs.config import Config
from jobs.contracts import all_tables, contract
from jobs.house import HouseError
from jobs.tables import Tables
from tests.e2e.browser import Person
from tests.week.night import covered
from tests.week.place import FIRST, Place, place

DAG = "lake_etl"
NOT_ROWS = ("runs",)  # of each run its own
OF_RUN, FILE = "run_id", "source_file"
LONGEST_SECONDS = 3 * 3600
BATCH_ROWS = 10_000
Ended = tuple[float, str]
"""When the days were asked for, in seconds since 1970, and the state in which their runs ended."""


@dataclass(frozen=True)
class Loaded:
    """Seconds from the request to the end, those with a job at work, a digest of each table with rows."""

    seconds: float
    work: float
    digests: dict[str, str]

    def compared(self, other: "Loaded") -> tuple[list[str], str]:
        """Return the tables whose rows the other does not have just so, and that in words."""
        names = self.digests.keys() | other.digests.keys()
        others = sorted(name for name in names if self.digests.get(name) != other.digests.get(name))
        told = f"other rows in {', '.join(others)}" if others else f"equal rows in {len(names)} tables"
        return others, told

    def sentence(self, how: str, days: int) -> str:
        """Say it in words."""
        return (
            f"{days} days {how}: {self.seconds:.0f} s, of which {self.work:.0f} s with a job at work and"
            f" {self.seconds - self.work:.0f} s of orchestration; {self.seconds / days:.1f} s a day."
        )


def run(console: Console, fetched: Path, days: int) -> bool:
    """Load the days both ways, each in a house of its own; tell of both and whether their rows are equal."""
    at_once = load(fetched, days, _at_once)
    console.print(at_once.sentence("as one interval", days), highlight=False)
    by_run = load(fetched, days, _run_by_run)
    console.print(by_run.sentence("run by run", days), highlight=False)
    others, told = at_once.compared(by_run)
    console.print(
        f"Run by run over at once: {by_run.seconds / at_once.seconds:.1f}; {told}.", highlight=False
    )
    return not others


def load(fetched: Path, days: int, how: Callable[[Place, date, date], Ended]) -> Loaded:
    """Load the days in one way, in a house of its own."""
    with place(fetched, days) as where:
        began, state = how(where, FIRST, FIRST + timedelta(days - 1))
        ended = time.time()
        if state != "success":
            raise HouseError(f"{DAG} ended as {state}.")
        return Loaded(ended - began, _work(where.config, began, ended), _digests(where.config))


def _at_once(where: Place, first: date, last: date) -> Ended:
    began, run_id = time.time(), where.api.trigger(DAG, first=first, last=last)
    return began, where.api.wait(DAG, run_id, seconds=LONGEST_SECONDS)


def _run_by_run(where: Place, first: date, last: date) -> Ended:
    """Fill the form of the DAG's page, as a person does, and wait."""
    days = (last - first).days + 1
    person = Person(where.api, where.home)
    try:
        person.log_in()
        announced = person.backfill(DAG, first=first, last=last)
    finally:
        person.leave()
    if announced.split()[0] != str(days):
        raise HouseError(f"The form announced {announced!r}, not {days} runs.")
    [backfill] = where.api.call("GET", "backfills", params={"dag_id": DAG})["backfills"]
    ended = where.api.wait_backfill(DAG, backfill["id"], seconds=LONGEST_SECONDS)
    began = datetime.fromisoformat(backfill["created_at"]).timestamp()
    return began, "success" if set(ended) == {"success"} else str(ended)


def _work(config: Config, began: float, ended: float) -> float:
    columns = ["job", "dag_run", "started_at", "seconds"]
    rows = Tables(config.tables).read("runs", ds.field("job") != runs.PIN, columns).to_pylist()
    spans = [
        (row["started_at"].timestamp(), row["started_at"].timestamp() + row["seconds"])
        for row in rows
        if (row["dag_run"] or "").startswith(f"{DAG}/")
    ]
    return covered(spans, began, ended)


def _digests(config: Config) -> dict[str, str]:
    tables = Tables(config.tables)
    names = [name for name in all_tables() if name not in NOT_ROWS and tables.exists(name)]
    return {name: digest for name in names if (digest := _digest(tables, name))}


def _digest(tables: Tables, name: str) -> str | None:
    """Digest a table's rows, if it has any, in the order of its key; neither run nor data home is of them."""
    columns = [column for column in contract(name).columns if column != OF_RUN]
    by = contract(name).key or columns
    rows = tables.read(name, columns=columns)
    if not rows.num_rows:
        return None
    if FILE in columns:
        within = pc.replace_substring(rows[FILE], f"{Path(tables.root).parent}/", "")
        rows = rows.set_column(columns.index(FILE), FILE, within)
    rows = rows.sort_by([(column, "ascending") for column in by])
    found = hashlib.blake2b(digest_size=16)
    for start in range(0, rows.num_rows, BATCH_ROWS):
        found.update(repr(rows.slice(start, BATCH_ROWS).to_pylist()).encode())
    return found.hexdigest()
