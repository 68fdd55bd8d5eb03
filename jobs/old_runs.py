"""Old rows of `runs`: those leave it that nothing rests on any more.

A row stays while it is young; while it is the newest that did a day of its table, since `vitrine ready`, late
data and an unchanged rerun ask for it; and while a closing, a generation of the store or a change of key is
known by it. Pins, runs that were stopped and those that were done again go.

Reads   runs, exports; the store's pointer and heartbeats
Writes  runs, a job's partition in one transaction; a row that is appended meanwhile stays
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Any

import pyarrow.dataset as ds
from deltalake import write_deltalake

from jobs import runs
from jobs.lineage import exporting_runs
from jobs.store.backends import Address
from jobs.tables import Tables, dataset_of

COLUMNS = ("run_id", "job", "dag_run", "days", "status", "started_at")
TRAINING = "closing_training/"

Row = Mapping[str, Any]


def superfluous(rows: Iterable[Row], before: datetime, kept: Collection[str] = ()) -> dict[str, list[str]]:
    """Return by job the ids of rows of before an instant that nothing rests on; `kept` are ids that stay."""
    in_order = sorted(rows, key=lambda row: row["started_at"])
    newest: dict[tuple[str, date, str], str] = {}
    for row in in_order:
        if row["status"] in runs.DONE:
            # Late data asks for the newest that was done, a rerun for the newest that published.
            for day in row["days"] or ():
                newest[row["job"], day, "done"] = row["run_id"]
                if row["status"] == "published":
                    newest[row["job"], day, "published"] = row["run_id"]
    needed = {*newest.values(), *kept}
    found: dict[str, list[str]] = {}
    for row in in_order:
        is_known_by = row["job"] == runs.REKEY or (row["dag_run"] or "").startswith(TRAINING)
        is_pin = row["job"] == runs.PIN
        if row["started_at"] < before and (is_pin or not (is_known_by or row["run_id"] in needed)):
            found.setdefault(row["job"], []).append(row["run_id"])
    return found


def find(tables: Tables, store: Address, before: datetime) -> dict[str, list[str]]:
    """Return by job the ids of the rows that may go."""
    rows = tables.read("runs", None, COLUMNS).to_pylist()
    return superfluous(rows, before, exporting_runs(tables, store).keys())


def drop(tables: Tables, gone: Mapping[str, Collection[str]]) -> None:
    """Take rows out of the table."""
    for job, ids in gone.items():
        table = tables.open("runs")
        others = (ds.field("job") == job) & ~ds.field("run_id").isin(list(ids))
        kept = dataset_of(table).to_table(filter=others)
        # Against the version that was read: what came since is not replaced.
        write_deltalake(table, kept, mode="overwrite", predicate=f"job = '{job}'")
