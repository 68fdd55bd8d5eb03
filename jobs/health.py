"""Health: how much is in each table, how fresh it is, what its last run said, and what was turned away.

Reads   the tables' logs, `runs` and `quarantine`
Writes  nothing
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from rich.console import Console
from rich.table import Table

from jobs import runs
from jobs.contracts import all_tables, contract
from jobs.tables import Tables
from jobs.volume import stored_rows

QUARANTINE_DAYS = 7


@dataclass(frozen=True)
class TableHealth:
    """How a table is."""

    table: str
    rows: int
    newest: date | None
    behind: int | None  # days from its newest to the night
    allowed: int | None  # how many the contract allows
    status: str
    message: str

    @property
    def is_well(self) -> bool:
        """Whether it is as fresh as its contract says, and its last run was not stopped."""
        is_stale = self.behind is not None and self.allowed is not None and self.behind > self.allowed
        return not is_stale and self.status != "stopped"


def last_night(tables: Tables) -> date | None:
    """The last day that any job has done."""
    done = (ds.field("job") != runs.PIN) & ds.field("status").isin(runs.DONE)
    ends = tables.read("runs", done, ["to_date"])["to_date"].to_pylist()
    return max(ends) - timedelta(1) if ends else None


def health(tables: Tables, night: date) -> list[TableHealth]:
    """Tell how each table is as of a night."""
    return tables_as_of(tables, night, _in_order(tables))


def tables_as_of(tables: Tables, night: date, in_order: Sequence[Mapping[str, Any]]) -> list[TableHealth]:
    """Tell how each table is as of a night, by the runs that are known, the oldest first."""
    last = {row["job"]: row for row in in_order}
    found = []
    for name in all_tables():
        if not tables.exists(name):
            continue
        about, run = contract(name), last.get(name, {})
        by_day = stored_rows(tables, about)
        newest = max((day for day, rows in by_day.items() if rows), default=None)
        rows = sum(by_day.values()) if about.day else _rows(tables, name)
        behind = None if newest is None else (night - newest).days
        status, message = run.get("status", ""), run.get("message", "")
        found.append(TableHealth(name, rows, newest, behind, about.fresh_days, status, message))
    return found


def turned_away(tables: Tables, night: date) -> list[tuple[str, str, int]]:
    """Rows of quarantine of the last days, by table and reason, most first."""
    recent = ds.field("quarantine_date") > night - timedelta(QUARANTINE_DAYS)
    rows = tables.read("quarantine", recent & (ds.field("quarantine_date") <= night), ["table", "reason"])
    counted = rows.group_by(["table", "reason"]).aggregate([([], "count_all")]).to_pylist()
    told = [(row["table"], row["reason"], row["count_all"]) for row in counted]
    return sorted(told, key=lambda row: (-row[2], row[0], row[1]))


def show(tables: Tables, night: date, console: Console) -> bool:
    """Print both; return whether all is well."""
    found = health(tables, night)
    _print(
        console,
        f"Tables on {night}",
        ("table", "rows", "newest", "behind", "may be", "last run", "said"),
        [
            (
                one.table if one.is_well else f"{one.table} !",
                f"{one.rows:,}",
                str(one.newest or ""),
                "" if one.behind is None else str(one.behind),
                "" if one.allowed is None else str(one.allowed),
                one.status,
                one.message,
            )
            for one in found
        ],
    )
    away = turned_away(tables, night)
    if away:
        title = f"Turned away in {QUARANTINE_DAYS} days"
        _print(console, title, ("table", "reason", "rows"), [(a, b, f"{n:,}") for a, b, n in away[:20]])
    return all(one.is_well for one in found)


def _print(console: Console, title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in ("rows", "behind", "may be") else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _in_order(tables: Tables) -> list[dict[str, str]]:
    found = tables.read("runs", None, ["job", "status", "message", "started_at"]).sort_by("started_at")
    return found.select(["job", "status", "message"]).to_pylist()


def _rows(tables: Tables, name: str) -> int:
    return sum(pa.table(tables.open(name).get_add_actions(flatten=True))["num_records"].to_pylist())
