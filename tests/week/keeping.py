"""The house is kept after the last night, by Airflow: what must go goes, and all else stays as it was.

Before the last night somebody asks to be forgotten. Beside the tables, among logs and reports lie old files,
and one that is young, as of a job at work.
"""

import json
import os
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow.dataset as ds

from jobs import compaction, lineage
from jobs.contracts import all_tables, contract
from jobs.ids import pseudonym
from jobs.store import live
from jobs.store.care import verify
from jobs.tables import Tables
from tests.week.place import Place

DAG = "maintenance"
FORGOTTEN = "h1228"  # comes every day
TWO_YEARS = 2 * 365 * 86_400
OLD = (
    "tables/orders/data/left-old/part-0.parquet",
    "airflow/logs/dag_id=lake_etl/run_id=old/attempt=1.log",
    "reports/policies/2015-08-18.html",
)
YOUNG = "tables/orders/data/left-young/part-0.parquet"


@dataclass(frozen=True)
class Found:
    """What the tables hold: rows, rows of who is forgotten, and partitions of many small files."""

    rows: dict[str, int]
    forgotten: dict[str, int]
    crowded: dict[str, int]


def ask(where: Place, day: date) -> None:
    """Let somebody ask to be forgotten on a day."""
    folder = where.home / "lake" / "erasures" / f"date={day}"
    folder.mkdir(parents=True, exist_ok=True)
    asked = {"user_id": FORGOTTEN, "asked_at": f"{day}T09:00:00Z"}
    (folder / "asked.jsonl").write_text(json.dumps(asked) + "\n")


def keep(where: Place) -> tuple[list[str], list[str]]:
    """Run the DAG once; return what it told, and what was not as it should be."""
    _plant(where.home)
    before, shown = _look(where), live(where.config.store_url)
    began = time.time()
    run_id = where.api.call("POST", f"dags/{DAG}/dagRuns", json={"logical_date": None})["dag_run_id"]
    state = where.api.wait(DAG, run_id, seconds=900)
    told = [f"maintenance: {state} after {time.time() - began:.0f} s"]
    if state != "success":
        return told, [f"maintenance ended as {state}: {where.api.failure(DAG, run_id)}"]
    rows = Tables(where.config.tables).read("runs", None, ["job", "message", "started_at"]).to_pylist()
    told += [row["message"] for row in rows if row["job"] == DAG]
    problems = _problems(where, before, _look(where))
    if live(where.config.store_url) != shown:
        problems.append("maintenance moved the store's pointer")
    told.append(str(verify(where.config.store_url)))
    return told, problems


def _problems(where: Place, before: Found, after: Found) -> list[str]:
    found = [f"{name} is still there" for name in OLD if (where.home / name).exists()]
    if not (where.home / YOUNG).exists():
        found.append(f"{YOUNG} is gone, as a file of a job at work might be")
    found += [f"{name} still has {rows} rows of who is forgotten" for name, rows in after.forgotten.items()]
    if not before.forgotten:
        found.append("nobody was there to be forgotten")
    for name, rows in before.rows.items():
        wanted = rows - before.forgotten.get(name, 0) + (name == "runs")  # its own row
        if after.rows[name] != wanted:
            found.append(f"{name} has {after.rows[name]} rows after maintenance, and not {wanted}")
    found += [f"{name} still has {count} partitions of many files" for name, count in after.crowded.items()]
    return found + _unread(where)


def _unread(where: Place) -> list[str]:
    """Say which versions, that generations are from and in which nobody is forgotten, cannot be read."""
    tables, found = Tables(where.config.tables), []
    for name, versions in lineage.needed(tables, where.config.store_url).items():
        if contract(name).pseudonyms("own", "other", "tail"):
            continue
        for version, why in versions.items():
            try:
                tables.read(name, version=version)
            except Exception as error:  # whatever a reader meets
                found.append(f"version {version} of {name}, for {why}, cannot be read: {error}")
    return found


def _look(where: Place) -> Found:
    tables, ids = Tables(where.config.tables), where.config.ids
    who = pseudonym("user", FORGOTTEN, key=ids.key, key_id=ids.key_id)
    rows, forgotten = {}, {}
    for name in all_tables():
        if not tables.exists(name):
            continue
        first = next(iter(contract(name).columns))
        rows[name] = tables.read(name, None, [first]).num_rows
        for column in contract(name).pseudonyms("own"):
            if mine := tables.read(name, ds.field(column) == who, [column]).num_rows:
                forgotten[name] = mine
    there = [name for name in compaction.APPENDED if tables.exists(name)]
    crowded = {name: len(compaction.crowded(tables, name, where.config.maintenance)) for name in there}
    return Found(rows, forgotten, {name: count for name, count in crowded.items() if count})


def _plant(home: Path) -> None:
    for name in (*OLD, YOUNG):
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("left behind")
        if name != YOUNG:
            os.utime(file, (time.time() - TWO_YEARS,) * 2)
