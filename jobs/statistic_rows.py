"""Rows of bandit_statistics as NumPy: the arms, and each day's sums, in the order in which days are added."""

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.bandits import statistics
from ml.bandits.statistics import Statistics

DailyStatistics = list[tuple[date, Statistics]]

ORDER = ("page", "feature_set", "decision_date", "subject_bucket", "widget")
NUMBERS = ("n", "xx", "rx", "rr")


def daily(rows: pa.Table) -> tuple[list[str], DailyStatistics]:
    """Return the arms, in the order of their names, and the statistics of each day, buckets summed in order.

    `rows` are sorted by day, bucket and widget.
    """
    widgets = sorted(set(rows["widget"].to_pylist()))
    places = {widget: place for place, widget in enumerate(widgets)}
    arms = np.array([places[widget] for widget in rows["widget"].to_pylist()], dtype=np.int64)
    columns = {name: rows[name].combine_chunks() for name in ("n", "xx", "rx", "rr")}
    width = len(columns["rx"][0])
    n = columns["n"].to_numpy(zero_copy_only=False)
    rr = columns["rr"].to_numpy(zero_copy_only=False)
    xx = _numbers(columns["xx"], statistics.triangle(width))
    rx = _numbers(columns["rx"], width)
    dates = rows["decision_date"].to_pylist()
    found: DailyStatistics = []
    for row, (day, arm) in enumerate(zip(dates, arms, strict=True)):
        if not found or found[-1][0] != day:
            found.append((day, statistics.empty(len(widgets), width)))
        sums = found[-1][1]
        sums.n[arm] += n[row]
        sums.xx[arm] += xx[row]
        sums.rx[arm] += rx[row]
        sums.rr[arm] += rr[row]
    return widgets, found


def first_of(rows: pa.Table) -> date:
    """Return the first day that rows count, which a checkpoint among them tells as its `first_date`."""
    days = rows["decision_date"]
    if "first_date" in rows.column_names:
        days = pc.coalesce(rows["first_date"], days)
    first: date = pc.min(days).as_py()
    return first


def _numbers(column: pa.ListArray, width: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = column.flatten().to_numpy(zero_copy_only=False)
    if len(values) != len(column) * width:
        raise ValueError(
            f"statistics of one feature set must all have {width} numbers: give a changed set a new name"
        )
    return values.reshape(len(column), width)
