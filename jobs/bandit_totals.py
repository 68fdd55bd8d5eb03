"""bandit_totals: one row per monthly checkpoint, page, feature set, reward version, half-life and arm.

It holds the sums of bandit_statistics up to the end of a month, added as `policies` adds them: days from the
oldest, aged by each half-life that a spec of conf/policies has. So a policy of any later day, made of the
newest checkpoint and the days since, has the same bits, and a night does not read a whole history. Specs with
a window read their window, and need none.

Reads   bandit_statistics since the checkpoint before, and that checkpoint
Writes  bandit_totals, partition settled_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import checkpoints
from jobs.config import Policy
from jobs.contracts import contract
from jobs.shell import Job, State, Until
from jobs.statistic_rows import NUMBERS, ORDER, daily, first_of
from ml.bandits import statistics

NONE = 0.0
"""The half-life of sums that do not age."""
GROUP = ("page", "feature_set", "reward_version")
Spans = Sequence[tuple[date, date]]
Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Start:
    """Where sums begin: after the days of a checkpoint, told by its two dates, or at the first day."""

    until: date | None = None
    settled: date | None = None

    def rows_of(self, rows: pa.Table, half_life_days: float | None) -> pa.Table:
        """Keep of joined rows the checkpoint of a half-life and the days after it."""
        if self.until is None:
            return rows
        is_day = pc.field("half_life_days").is_null()
        mine = pc.field("half_life_days") == (half_life_days or NONE)
        return rows.filter((is_day & (pc.field("decision_date") > self.until)) | mine)


def build(
    bandit_statistics: DataFrame,
    bandit_totals: DataFrame,
    *,
    days: Sequence[date],
    late_days: int,
    policies: Mapping[str, Policy],
) -> DataFrame:
    """Make the checkpoints that settle on these days; on most days there is none."""
    settled = [day for day in days if checkpoints.is_settled(day, late_days)]
    if not settled:
        return bandit_totals.limit(0)
    lives = half_lives(policies.values())
    spans = [(day, day - timedelta(late_days)) for day in settled]
    start = newest(bandit_statistics, bandit_totals, before=spans[0][1], lives=lives)
    about = contract("bandit_totals")
    rows = joined(bandit_statistics, bandit_totals, start)
    compute = partial(
        _checkpoints, spans=spans, start=start, lives=lives, schema=about.arrow_schema.remove_metadata()
    )
    return rows.repartition(*GROUP).sortWithinPartitions(*GROUP, *ORDER).mapInArrow(compute, about.ddl)


def late(
    bandit_statistics: DataFrame,  # noqa: ARG001 - bound by name
    bandit_totals: DataFrame,
    *,
    days: Sequence[date],
) -> DataFrame:
    """Name the checkpoints that counted the earliest of the days."""
    return checkpoints.that_count(bandit_totals, days[0])


def half_lives(specs: Collection[Policy]) -> list[float]:
    """Return the half-lives of specs that learn from all days."""
    from_all = [one for one in specs if one.window_days is None]
    return sorted({one.half_life_days or NONE for one in from_all})


def newest(
    bandit_statistics: DataFrame,
    bandit_totals: DataFrame,
    *,
    before: date,
    lives: Collection[float],
    groups: Collection[tuple[str, ...]] | None = None,
) -> Start:
    """Return the newest checkpoint that ends before a day and stands for all days up to its end.

    One that lacks a half-life, or a feature set, that has such days (a spec or set that came later) does not:
    then sums begin with the first day there is. `groups` are those that are wanted, all by default.
    """
    ended = checkpoints.newest(bandit_totals, before=before)
    if ended is None:
        return Start()
    held = ended.rows.select(*GROUP, "half_life_days")
    known = {tuple(row) for row in held.distinct().collect()}
    if groups is None or any((*group, life) not in known for group in groups for life in lives):
        there = bandit_statistics.where(F.col("decision_date") <= F.lit(ended.until)).select(*GROUP)
        found = {tuple(row) for row in there.distinct().collect()}
        wanted = found if groups is None else found & set(groups)
        if any((*group, life) not in known for group in wanted for life in lives):
            return Start()
    return Start(ended.until, ended.settled)


def joined(
    bandit_statistics: DataFrame, bandit_totals: DataFrame, start: Start, first: date | None = None
) -> DataFrame:
    """Return the days since a checkpoint, or since `first` where that is earlier, and the checkpoint's rows.

    A row of the checkpoint stands on the last day that it sums, and has a half-life.
    """
    columns = [*dict.fromkeys((*GROUP, *ORDER)), *NUMBERS]
    days = bandit_statistics
    if start.until is not None:
        since = start.until + timedelta(1)
        days = days.where(F.col("decision_date") >= F.lit(min(since, first or since)))
    none = {"half_life_days": F.lit(None).cast("double"), "first_date": F.lit(None).cast("date")}
    days = days.select(*columns).withColumns(none)
    if start.until is None:
        return days
    totals = bandit_totals.where(F.col("settled_date") == F.lit(start.settled))
    dated = totals.withColumns({"decision_date": F.col("summed_date"), "subject_bucket": F.lit(0)})
    return days.unionByName(dated.select(*columns, *none))


def _checkpoints(
    batches: Batches, *, spans: Spans, start: Start, lives: Sequence[float], schema: pa.Schema
) -> Batches:
    read = list(batches)
    if not read:
        return
    rows = pa.Table.from_batches(read)
    groups = rows.select(list(GROUP)).group_by(list(GROUP)).aggregate([]).to_pylist()
    for group in groups:
        is_own = pc.scalar(True)
        for name, value in group.items():
            is_own = is_own & (pc.field(name) == value)
        for life in lives:
            own = start.rows_of(rows.filter(is_own), life)
            if own.num_rows:
                made = [row for span in spans for row in _checkpoint(own, span, life or None, group)]
                yield pa.RecordBatch.from_pylist(made, schema=schema)


def _checkpoint(
    rows: pa.Table, span: tuple[date, date], half_life_days: float | None, group: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return an arm's row each, of what was seen until the end of a month."""
    settled, until = span
    counted = rows.filter(pc.field("decision_date") <= until)
    if not counted.num_rows:
        return []
    widgets, by_day = daily(counted)
    found = statistics.running(by_day, half_life_days)
    if found is None:
        return []
    last, sums = found
    about = {
        **group,
        "settled_date": settled,
        "until_date": until,
        "half_life_days": half_life_days or NONE,
        "first_date": first_of(counted),
        "summed_date": last,
    }
    numbers = {name: getattr(sums, name) for name in NUMBERS}
    return [
        {**about, "widget": widget, **{name: of[arm] for name, of in numbers.items()}}
        for arm, widget in enumerate(widgets)
    ]


JOB = Job(
    build, reads=(Until("bandit_statistics"), State("bandit_totals")), writes="bandit_totals", late=late
)

if __name__ == "__main__":
    JOB.main()
