"""The usual volume: a day's rows held against the weeks before it, from file statistics alone.

A source that breaks seldom says so: it delivers an empty file, or a tenth. A day with less than the
contract's share of the median day warns, one with none stops. No row is read: the table's log, and the
footers of what a run staged, know how many there are.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc

from jobs.contracts import Contract
from jobs.tables import Tables, rows_by_partition

LEAST_DAYS = 7  # fewer say nothing about what is usual


@dataclass(frozen=True)
class Unusual:
    """A day with far fewer rows than usual."""

    day: date
    rows: int
    usual: float
    stops: bool

    def __str__(self) -> str:
        return f"{self.day} has {self.rows:,} rows where {self.usual:,.0f} are usual"


def unusual(
    about: Contract,
    tables: Tables,
    staged: str,
    days: Sequence[date],
    quiet_days: Collection[date] = (),
) -> list[Unusual]:
    """Find the days of a run that have far fewer rows than the weeks before them, in the table or the run."""
    if about.volume is None or about.day is None:
        return []
    made = rows_by_partition(staged, about.day)
    known = {day: n for day, n in stored_rows(tables, about).items() if day not in set(days)}
    known |= {day: made.get(day, 0) for day in days}
    return judge(known, days, about, quiet_days)


def judge(
    known: Mapping[date, int], days: Sequence[date], about: Contract, quiet_days: Collection[date] = ()
) -> list[Unusual]:
    """Hold each day's rows against the median of the known days in the weeks before it."""
    assert about.volume is not None
    found = []
    for day in days:
        weeks = (day - timedelta(n) for n in range(1, 7 * about.volume.weeks + 1))
        before = [known[earlier] for earlier in weeks if earlier in known and earlier not in quiet_days]
        if day in quiet_days or len(before) < LEAST_DAYS:
            continue
        usual = float(median(before))
        rows = known.get(day, 0)
        if rows < usual * about.volume.least_share:
            found.append(Unusual(day, rows, usual, stops=rows == 0))
    return found


def stored_rows(tables: Tables, about: Contract, version: int | None = None) -> dict[date, int]:
    """Rows of each day of a table, from its log as of a version, the newest by default."""
    if not tables.exists(about.table) or about.day is None:
        return {}
    actions = pa.table(tables.open(about.table, version).get_add_actions(flatten=True))
    by_day = pa.table({"day": actions[f"partition.{about.day}"], "rows": actions["num_records"]})
    summed = by_day.group_by("day").aggregate([("rows", "sum")])
    days = pc.cast(summed["day"], pa.date32()).to_pylist()
    return dict(zip(days, summed["rows_sum"].to_pylist(), strict=True))
