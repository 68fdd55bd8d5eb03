"""Rows of tastes for subject_features: what a subject clicked and looked at, and its vectors, by day.

A serving counts as much as its position was examined, by the curve of the 28 days that end with its own day:
so a day's looks never change when later days come, and they add.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import maps
from ml import position_bias
from ml.features import MICRO
from ml.features.tastes import (
    CURVE_DAYS,
    GRID,
    TASTE_DAYS,
    Tastes,
    click_rates,
    decayed_means,
    population_rates,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

EPOCH = date(1970, 1, 1)
CLICK_RATE, VECTOR = "click_rate/", "vector/"
READ_DAYS = TASTE_DAYS + CURVE_DAYS
COLUMNS = {
    "clicks": "map<string,bigint>",
    "looks": "map<string,bigint>",
    "weight": "bigint",
    "sums": "array<bigint>",
}
COUNTED = ("served", "seen", "upper_micros", "lower_micros")
Curves = dict[tuple[str, date], list[int]]


@dataclass(frozen=True)
class Measures:
    """What is the same for all subjects: arms, the population's click rates by day, the half-life."""

    arms: tuple[str, ...]
    rates: Floats
    half_life_days: float
    dimensions: int

    def values(self, tastes: Tastes, days: Integers) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Click rates by arm, and the vector by dimension: each (subjects, days)."""
        rates = click_rates(tastes, days, self.rates)
        vectors = decayed_means(tastes, days, self.half_life_days)
        return (
            {arm: rates[:, :, code] for code, arm in enumerate(self.arms)},
            {str(j): vectors[:, :, j] for j in range(self.dimensions)},
        )


def prepare(
    subject_widgets: DataFrame,
    widget_stats: DataFrame,
    subject_vectors: DataFrame,
    *,
    days: Sequence[date],
    version: str,
    half_life_days: float,
) -> tuple[DataFrame, Measures]:
    """Return rows of tastes, one a subject and day and kind, and what is the same for all."""
    stats = widget_stats.groupBy("stat_date", "page", "widget", "position").agg(
        *[F.sum(name).alias(name) for name in (*COUNTED, "clicks")]
    )  # days × widgets × positions
    rows = [row.asDict() for row in stats.collect()]
    curves = examination(rows)
    arms, rates = _population(rows, curves, days)
    first = F.lit(days[0] - timedelta(TASTE_DAYS - 1))
    vectors = subject_vectors.where((F.col("version") == version) & (F.col("vector_date") >= first))
    width = vectors.select(F.size("sums").alias("width")).limit(1).collect()
    clicked = _clicked(subject_widgets.where(F.col("stat_date") >= first), curves)
    dealt = vectors.select(
        "subject",
        "subject_bucket",
        F.col("vector_date").alias("day"),
        (F.col("weight") * GRID).cast("bigint").alias("weight"),
        F.transform("sums", lambda number: (number * GRID).cast("bigint")).alias("sums"),
    )
    found = clicked.unionByName(dealt, allowMissingColumns=True)
    return found, Measures(arms, rates, half_life_days, width[0]["width"] if width else 0)


def examination(rows: Sequence[dict[str, Any]]) -> Curves:
    """By page and day the probability that each position is examined, in millionths.

    A day's follows from rows up to it.
    From sightings where the page's front end logs any, else from swaps (ml.position_bias); a position that
    cannot be told is looked at as often as the one above it.
    """
    found: Curves = {}
    for page in sorted({row["page"] for row in rows}):
        own = [row for row in rows if row["page"] == page]
        for day in sorted({row["stat_date"] for row in own}):
            near = [row for row in own if day - timedelta(CURVE_DAYS) < row["stat_date"] <= day]
            sums = np.zeros((4, max(row["position"] for row in near) + 1), dtype=np.int64)
            for row in near:
                sums[:, row["position"]] += [row[name] for name in COUNTED]
            served, seen, upper, lower = sums
            curve = (
                position_bias.from_seen(served, seen)
                if seen.any()
                else position_bias.from_swaps(upper[:-1].astype(float), lower[1:].astype(float))
            )
            at = np.maximum.accumulate(np.where(np.isnan(curve), 0, np.arange(len(curve))))
            known = np.clip(np.nan_to_num(curve[at], nan=1.0), 0.0, 1.0)
            found[page, day] = [int(value) for value in np.round(known * MICRO)]
    return found


def tastes_of(rows: pa.Table, subject: Integers, day: Integers, measures: Measures, subjects: int) -> Tastes:
    """Take the rows of tastes into arrays; `subject` and `day` are theirs."""
    row, arm, clicks = maps.entries(rows.column("clicks"), measures.arms)
    looks = np.nan_to_num(maps.table(rows.column("looks"), measures.arms))[row, arm]
    sums = np.zeros((rows.num_rows, measures.dimensions), dtype=np.int64)
    lists = rows.column("sums").combine_chunks()
    at = np.flatnonzero(np.asarray(lists.is_valid()))
    if len(at):
        sums[at] = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(at), -1)
    weight = np.asarray(rows.column("weight").fill_null(0), dtype=np.int64)
    counts = clicks.astype(np.int64), looks.astype(np.int64)
    return Tastes(subject, day, (row, arm, *counts), weight, sums, subjects)


def _clicked(subject_widgets: DataFrame, curves: Curves) -> DataFrame:
    listed = [(page, day, curve) for (page, day), curve in curves.items()]
    ddl = "page string, stat_date date, curve array<bigint>"
    known = F.broadcast(subject_widgets.sparkSession.createDataFrame(listed, ddl))
    looks = F.aggregate(
        F.zip_with("served", "curve", lambda n, look: F.coalesce(n * look, F.lit(0).cast("bigint"))),
        F.lit(0).cast("bigint"),
        lambda total, part: total + part,
    )
    arm = F.concat_ws("/", "page", "widget")
    counted = subject_widgets.join(known, on=["page", "stat_date"], how="inner").select(
        "subject", "subject_bucket", F.col("stat_date").alias("day"),
        F.struct(arm, F.col("clicks").cast("bigint")).alias("clicked"), F.struct(arm, looks).alias("looked"),
    )  # fmt: skip
    return counted.groupBy("subject", "subject_bucket", "day").agg(
        F.map_from_entries(F.collect_list("clicked")).alias("clicks"),
        F.map_from_entries(F.collect_list("looked")).alias("looks"),
    )


def _population(
    rows: Sequence[dict[str, Any]], curves: Curves, days: Sequence[date]
) -> tuple[tuple[str, ...], Floats]:
    arms = tuple(sorted({f"{row['page']}/{row['widget']}" for row in rows}))
    stat_days = sorted({row["stat_date"] for row in rows})
    counts = np.zeros((2, len(stat_days), len(arms)), dtype=np.int64)
    places, codes = {day: at for at, day in enumerate(stat_days)}, {arm: at for at, arm in enumerate(arms)}
    for row in rows:
        at = places[row["stat_date"]], codes[f"{row['page']}/{row['widget']}"]
        counts[0][at] += row["clicks"]
        counts[1][at] += row["served"] * curves[row["page"], row["stat_date"]][row["position"]]
    return arms, population_rates(_numbers(days), _numbers(stat_days), *counts)


def _numbers(days: Sequence[date]) -> Integers:
    return np.array([(day - EPOCH).days for day in days], dtype=np.int64)
