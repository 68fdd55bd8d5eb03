"""widget_stats: feedback counted by widget and position, clicks weighed by the chance of their order."""

from datetime import date
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from jobs import widget_stats
from ml.position_bias import swap_weight
from tests.jobs.given import rows, table

FRIDAY = date(2017, 11, 3)
EARNED: dict[str, tuple[str, dict[str, float]]] = {
    "": ("none", {"detail": 0.0, "basket": 0.0}),
    "detail": ("trace", {"detail": 1.0, "basket": 0.0}),
    "basket": ("window", {"detail": 0.0, "basket": 1.0}),
}


def serving(decision_id: str, subject: str, *places: tuple[str, float, str]) -> list[dict[str, Any]]:
    """Positions from above, the last of them unseen: widget, propensity and what came of it."""
    told = {"decision_id": decision_id, "subject": subject, "subject_bucket": 1, "decision_date": FRIDAY}
    worth = {"": 0.0, "detail": 1.0, "basket": 3.0}
    return [
        {**told, "page": "home", "position": position, "widget": widget, "propensity": propensity,
         "is_seen": position < len(places) - 1, "match": EARNED[came][0], "reward": worth[came],
         "rewards": {**EARNED[came][1], **({"revenue": 250.0} if came == "basket" else {})}}
        for position, (widget, propensity, came) in enumerate(places)
    ]  # fmt: skip


def some_feedback(spark: SparkSession) -> DataFrame:
    """Three servings of two subjects."""
    told = serving("d1", "u1", ("a", 0.5, "detail"), ("b", 0.6, "basket"), ("c", 0.9, ""))
    told += serving("d2", "u2", ("b", 0.3, ""), ("a", 0.7, "detail"), ("c", 0.8, "detail"))
    told += serving("d3", "u1", ("a", 1.0, "basket"), ("b", 0.5, ""))
    return table(spark, "feedback", told)


def micros(upper: float, lower: float) -> int:
    return round(1e6 * float(swap_weight(np.array([upper]), np.array([lower]))[0]))


def test_positions_are_counted_and_clicks_weighed_by_the_chance_of_their_order(spark: SparkSession) -> None:
    names = ("widget", "position", "served", "seen", "clicks", "baskets", "upper_micros", "lower_micros")
    found = rows(widget_stats.build(some_feedback(spark)), "widget", "position")
    assert {row["page"] for row in found} == {"home"}
    assert [tuple(row[name] for name in names) for row in found] == [
        ("a", 0, 2, 2, 2, 1, micros(0.5, 0.6), 0),  # d3's was pinned: its order is no draw
        ("a", 1, 1, 1, 1, 0, micros(0.7, 0.8), micros(0.3, 0.7)),
        ("b", 0, 1, 1, 0, 0, 0, 0),
        ("b", 1, 2, 1, 1, 1, micros(0.6, 0.9), micros(0.5, 0.6)),
        ("c", 2, 2, 0, 1, 0, 0, micros(0.7, 0.8)),
    ]


def test_what_widgets_earned_is_summed(spark: SparkSession) -> None:
    found = rows(widget_stats.build(some_feedback(spark)), "widget", "position")
    assert [(row["widget"], row["revenue_cents"], row["reward_micros"]) for row in found] == [
        ("a", 250, 4_000_000),
        ("a", 0, 1_000_000),
        ("b", 0, 0),
        ("b", 250, 3_000_000),
        ("c", 0, 0),  # unseen: what it earned counts for nothing
    ]
