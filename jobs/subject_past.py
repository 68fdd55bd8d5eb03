"""What subjects did up to some days: their newest checkpoint, the days since, and what windows look back to.

A row is a subject and day, or a checkpoint, which stands on the last day that it counts; its columns are
those of subject_totals with `day` for its dates. Every number sums, over integers, so what a checkpoint
counts can be taken out of it again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs import checkpoints
from ml.features import MICRO

WHO = ("subject", "subject_bucket")
COUNTS = ("visits", "orders", "lines", "sales_cents", "decisions")
MAPS = ("category_visits", "reward_counts", "reward_micros")
FIRST, LAST = ("first_visit_date",), ("last_active_date", "last_visit_date")
IN_WINDOWS = ("visits", "lines", "sales_cents")
"""What features count over windows."""
ONE_DAY = timedelta(1)


@dataclass(frozen=True)
class Past:
    """Days of subjects, and the sum of all up to one of them."""

    daily: DataFrame
    checkpoint: DataFrame | None
    until: date | None  # the last day that it counts

    @classmethod
    def before(cls, subject_daily: DataFrame, subject_totals: DataFrame, day: date) -> "Past":
        """Take the newest checkpoint that ends before a day; without one, there are only days."""
        found = checkpoints.newest(subject_totals, before=day)
        if found is None:
            return cls(_days(subject_daily), None, None)
        checkpoint = found.rows.select(*WHO, F.col("until_date").alias("day"), *FIRST, *LAST, *COUNTS, *MAPS)
        return cls(_days(subject_daily), checkpoint, found.until)

    def rows(self) -> DataFrame:
        """The checkpoint, and every day since it; without one, every day."""
        return self._since(self.checkpoint)

    def for_windows(self, days: Sequence[date], windows: Collection[int]) -> DataFrame:
        """Return `rows` for sums over all days up to each of `days`, and over windows that end with it.

        Windows begin before the checkpoint ends: the days that they need stand for themselves, without maps,
        and are taken out of the checkpoint, which moves ahead of them. Where no window begins between two of
        a subject's days, these are one row.
        """
        first = days[0] - timedelta(max(windows) - 1)
        if self.checkpoint is None or self.until is None or self.until < first:
            return self.rows()
        begins = {day - timedelta(window - 1) for day in days for window in windows}
        ends = sorted(begin - ONE_DAY for begin in begins if first < begin <= self.until)
        day = F.col("day")
        stretch = F.coalesce(*(F.when(day <= F.lit(end), F.lit(end)) for end in ends), F.lit(self.until))
        older = (
            self.daily.where(day.between(F.lit(first), F.lit(self.until)))
            .groupBy(*WHO, stretch.alias("day"))
            .agg(
                *(F.min(name).alias(name) for name in FIRST),
                *(F.max(name).alias(name) for name in LAST),
                *(F.sum(name).alias(name) for name in IN_WINDOWS),
            )
        )
        signed = older.withColumn("sign", F.explode(F.array(F.lit(1), F.lit(-1))))
        is_own, ahead = F.col("sign") > 0, F.lit(first - ONE_DAY)
        taken_out = signed.select(
            *WHO,
            F.when(is_own, day).otherwise(ahead).alias("day"),
            *(F.when(is_own, F.col(name)).alias(name) for name in (*FIRST, *LAST)),
            *((F.col(name) * F.col("sign")).alias(name) for name in IN_WINDOWS),
        )
        moved = self.checkpoint.withColumn("day", ahead)
        return self._since(moved).unionByName(taken_out, allowMissingColumns=True)

    def _since(self, checkpoint: DataFrame | None) -> DataFrame:
        if checkpoint is None:
            return self.daily
        return self.daily.where(F.col("day") > F.lit(self.until)).unionByName(checkpoint)


def _days(subject_daily: DataFrame) -> DataFrame:
    """Days in the columns of a checkpoint; a visit is a day on which something was bought."""
    day, is_visit = F.col("activity_date"), F.col("lines") > 0
    visit = F.when(is_visit, day)
    return subject_daily.select(
        *WHO,
        day.alias("day"),
        visit.alias("first_visit_date"),
        day.alias("last_active_date"),
        visit.alias("last_visit_date"),
        is_visit.cast("int").alias("visits"),
        "orders",
        F.col("lines").cast("long").alias("lines"),
        "sales_cents",
        "decisions",
        "category_visits",
        "reward_counts",
        F.transform_values("reward_sums", _micros).alias("reward_micros"),
    )


def _micros(_: Column, reward: Column) -> Column:
    return F.round(reward * MICRO).cast("long")
