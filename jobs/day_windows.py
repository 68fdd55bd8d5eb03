"""Days of a job that look back on a row: a row for each of them, whatever else a job then makes of it."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column
from pyspark.sql import functions as F


def held_until(days: Sequence[date], since: str, until: Column) -> Column:
    """Return the days from a row's own, in column `since`, to `until`, both included: a row for each."""
    return F.explode(F.filter(F.array(*map(F.lit, days)), lambda day: day.between(F.col(since), until)))


def held_within(days: Sequence[date], since: str, window: Column | int) -> Column:
    """Return the days whose window of so many days, each included, holds a row's: a row for each."""
    return held_until(days, since, F.date_add(since, window - 1))
