"""Checkpoints: the sum of all days up to the end of a month, made once it is settled.

Grain: rows of one checkpoint share `until_date`, the last day that they count, and `settled_date`.
"""

from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def is_settled(day: date, late_days: int) -> bool:
    """Tell whether a checkpoint is made on this day: a month ended `late_days` before it."""
    return (day - timedelta(late_days - 1)).day == 1


def counting(checkpoints: DataFrame, day: date) -> DataFrame:
    """Name the checkpoints that count a day, each by the day on which it settled: `day`."""
    counted = checkpoints.where(F.col("until_date") >= F.lit(day))
    return counted.select(F.col("settled_date").alias("day"))


def newest(checkpoints: DataFrame, *, before: date) -> tuple[date, DataFrame] | None:
    """Return the last day and the rows of the newest checkpoint that ends before a day, None without one.

    Where `late_days` was changed, a month may have two: the later one knows more.
    """
    ended = checkpoints.where(F.col("until_date") < F.lit(before))
    [last] = ended.agg(F.max(F.struct("until_date", "settled_date")).alias("is")).collect()
    if last["is"] is None:
        return None
    until, settled = last["is"]
    return until, ended.where(F.col("settled_date") == F.lit(settled))
