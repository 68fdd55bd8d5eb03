"""Checkpoints: the sum of all days up to the end of a month, made once it is settled.

Grain: rows of one checkpoint share `until_date`, the last day that they count, and `settled_date`.
"""

from datetime import date, timedelta
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


class Checkpoint(NamedTuple):
    """A checkpoint: the last day that it counts, the day on which it settled, its rows."""

    until: date
    settled: date
    rows: DataFrame


def is_settled(day: date, late_days: int) -> bool:
    """Tell whether a checkpoint is made on this day: a month ended `late_days` before it."""
    return (day - timedelta(late_days - 1)).day == 1


def that_count(checkpoints: DataFrame, counted: date) -> DataFrame:
    """Name the checkpoints that count a day, each by the `day` on which it settled."""
    theirs = checkpoints.where(F.col("until_date") >= F.lit(counted))
    return theirs.select(F.col("settled_date").alias("day"))


def newest(checkpoints: DataFrame, *, before: date) -> Checkpoint | None:
    """Return the newest checkpoint that ends before a day, None without one.

    Where `late_days` was changed, a month may have two: the one that settled later counts.
    """
    ended = checkpoints.where(F.col("until_date") < F.lit(before))
    [last] = ended.agg(F.max(F.struct("until_date", "settled_date")).alias("is")).collect()
    if last["is"] is None:
        return None
    until, settled = last["is"]
    return Checkpoint(until, settled, ended.where(F.col("settled_date") == F.lit(settled)))
