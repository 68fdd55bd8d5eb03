"""Click rates free of position and decayed vectors as features: by hand, as of each day, made where named."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import leaks, subject_features, taste_rows
from jobs.config import Consent, Feature, FeatureSet, load
from ml.features.tastes import DECAY_GRID, PRIOR_LOOKS
from tests.jobs.given import rows, table
from tests.jobs.test_subject_features import MONDAY, SCALES, daily, day

NAMED = FeatureSet(
    name="home-x",
    page="home",
    context=[Feature(name="intercept"), Feature(name="vector/0")],
    action=[Feature(name="click_rate/home/{widget}")],
)
PLAIN = FeatureSet(name="home-y", page="home", context=[Feature(name="intercept")], action=[])
LOOK = 0.5  # of the second position, by sightings


def stat(number: int, widget: str, position: int, served: int, clicks: int) -> dict[str, Any]:
    seen = served if position == 0 else int(LOOK * served)
    return {"stat_date": day(number), "page": "home", "widget": widget, "position": position, "seen": seen,
            "served": served, "clicks": clicks, "upper_micros": 0, "lower_micros": 0}  # fmt: skip


def shown(subject: str, number: int, widget: str, served: list[int], clicks: int) -> dict[str, Any]:
    return {"subject": subject, "subject_bucket": 0, "stat_date": day(number), "page": "home",
            "widget": widget, "served": served, "seen": 0, "clicks": clicks, "baskets": 0}  # fmt: skip


def vector(subject: str, number: int, version: str, weight: float, *sums: float) -> dict[str, Any]:
    return {"subject": subject, "subject_bucket": 0, "vector_date": day(number), "version": version,
            "weight": weight, "sums": list(sums)}  # fmt: skip


STATS = [stat(-2, "tea", 0, 10, 4), stat(-2, "tea", 1, 10, 1), stat(1, "tea", 0, 100, 90)]
SHOWN = [shown("u1", -2, "tea", [1, 4], 2), shown("u1", 1, "tea", [5], 5)]
VECTORS = [vector("u1", -7, "v1", 4.0, 4.0, 0.0), vector("u1", 0, "v1", 1.0, 0.0, 1.0),
           vector("u1", 0, "v2", 9.0, 9.0, 9.0), vector("u1", 1, "v1", 1.0, 1.0, 0.0)]  # fmt: skip


def frames(spark: SparkSession, last: date | None = None) -> dict[str, DataFrame]:
    """Inputs up to a day."""

    def upto(name: str, column: str, told: list[dict[str, Any]]) -> DataFrame:
        return table(spark, name, [row for row in told if last is None or row[column] <= last])

    return {
        "subject_daily": upto(
            "subject_daily", "activity_date", [daily("u1", -3, "tea"), daily("u2", -3, "tea")]
        ),
        "subject_totals": table(spark, "subject_totals", []),
        "users": table(spark, "users", []),
        "widgets": table(spark, "widgets", []),
        "consents": table(spark, "consents", []),
        "subject_widgets": upto("subject_widgets", "stat_date", SHOWN),
        "widget_stats": upto("widget_stats", "stat_date", STATS),
        "subject_vectors": upto("subject_vectors", "vector_date", VECTORS),
    }


def arguments(*sets: FeatureSet) -> dict[str, Any]:
    return {
        "consent": Consent(purpose="personalisation", by_default=True),
        "feature_declarations": load().feature_declarations,
        "feature_sets": {one.name: one for one in sets},
        "demographics": SCALES,
        "vector_version": "v1",
        "vector_half_life_days": 7.0,
    }


def test_values_by_hand_alike_in_a_range_and_in_days_alone(spark: SparkSession) -> None:
    days = [day(0), day(1)]
    given = arguments(NAMED)
    together = rows(
        subject_features.build(**frames(spark, days[-1]), days=days, **given), "feature_date", "subject"
    )
    built = subject_features.build(**frames(spark, days[0]), days=days[:1], **given).toArrow()
    alone = sorted(built.to_pylist(maps_as_pydicts="strict"), key=lambda row: row["subject"])
    assert together[:2] == alone

    first = next(row for row in alone if row["subject"] == "u1")
    population = (4 + 1) / (10 + LOOK * 10)
    looks = 1 + LOOK * 4
    assert first["widget_click_rates"] == pytest.approx(
        {"home/tea": (2 + PRIOR_LOOKS * population) / (looks + PRIOR_LOOKS)}
    )
    half = round(DECAY_GRID / 2) / DECAY_GRID
    assert first["vector"] == pytest.approx({"0": 4 * half / (4 * half + 1), "1": 1 / (4 * half + 1)})
    other = next(row for row in alone if row["subject"] == "u2")
    assert (other["widget_click_rates"], other["vector"]) == ({}, {})
    names = ["vector/1", "click_rate/home/tea"]
    columns = subject_features.feature_columns(built.sort_by("subject").combine_chunks(), names)
    assert columns["vector/1"][0] == pytest.approx(first["vector"]["1"])
    assert np.isnan(columns["click_rate/home/tea"][1])


def test_nothing_of_later_days_is_in_it(spark: SparkSession) -> None:
    known, later = frames(spark, MONDAY), frames(spark)
    assert leaks.compare(subject_features.JOB, known, later, MONDAY, arguments(NAMED)) == {}
    planted = table(spark, "subject_widgets", [*SHOWN, shown("u1", -2, "coffee", [1], 1)])
    stats = table(spark, "widget_stats", [*STATS, stat(-2, "coffee", 0, 2, 1)])
    peeking = {**later, "subject_widgets": planted, "widget_stats": stats}
    found = leaks.compare(subject_features.JOB, known, peeking, MONDAY, arguments(NAMED))
    assert found == {"widget_click_rates": 1}


def test_they_are_made_where_a_set_names_them_only() -> None:
    assert subject_features.names_tastes({"x": NAMED}, {})
    assert not subject_features.names_tastes({"y": PLAIN}, {})
    own = load()
    assert not subject_features.names_tastes(own.feature_sets, own.segmentation_specs)


def test_examination_is_of_sightings_else_of_swaps_and_of_the_days_before() -> None:
    def row(number: int, position: int, **more: int) -> dict[str, Any]:
        counts = {"served": 10, "seen": 0, "upper_micros": 0, "lower_micros": 0}
        return {"page": "p", "stat_date": day(number), "position": position, **counts, **more}

    swaps = [
        row(0, 0, upper_micros=8),
        row(0, 1, upper_micros=4, lower_micros=4),
        row(0, 2, lower_micros=3),
        row(0, 3),
    ]
    assert taste_rows.examination(swaps) == {("p", day(0)): [1_000_000, 500_000, 375_000, 375_000]}
    sights = [row(0, 0, seen=10), row(0, 1, seen=8), row(28, 0, seen=5), row(28, 1, seen=2)]
    found = taste_rows.examination(sights)
    assert found == {("p", day(0)): [1_000_000, 800_000], ("p", day(28)): [500_000, 200_000]}
    near = [*sights[:2], row(27, 0, seen=0), row(27, 1, seen=0)]
    assert taste_rows.examination(near)["p", MONDAY + timedelta(27)] == [500_000, 400_000]
