"""closing_examples: the plain formulas on random rows, who has no row or no label, moved closings, leaks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import closing_examples, leaks, model_values, models
from jobs.config import Consent, load
from jobs.publish import Stopped
from tests.jobs.given import rows, table
from tests.jobs.test_closing_periods import WEEKS, day
from tests.jobs.test_closing_periods import row as closing
from tests.jobs.test_subject_features import SCALES, SETS, daily, user, widget

TASTES = ("milk", "tea", "figs")
C, D = day(-8), day(-1)
"""Last days of the closing that is looked at and of the next one."""


def refusal(subject: str, number: int) -> dict[str, Any]:
    told = {"purpose": "personalisation", "is_granted": False, "changed_date": day(number)}
    return {"subject": subject, "subject_bucket": len(subject) % 2, **told}


def position(subject: str, number: int, widget: str, propensity: float, reward: float, *, seen: bool = True):
    return {
        "subject": subject,
        "decision_date": day(number),
        "page": "start",
        "widget": widget,
        "propensity": propensity,
        "is_seen": seen,
        "reward": reward,
    }


def segment(subject: str, number: int, name: str, segmentation: str = "rfm") -> dict[str, Any]:
    return {"subject": subject, "as_of_date": day(number), "name": name, "segmentation": segmentation}


def activity() -> list[dict[str, Any]]:
    """Thirty subjects on random days, and some with a fate of their own."""
    rng = np.random.default_rng(5)
    drawn = [
        daily(f"r{number}", -int(day), *map(str, rng.choice(TASTES, rng.integers(0, 3), replace=False)))
        for number in range(30)
        for day in sorted(set(rng.integers(1, 40, rng.integers(1, 9))))
    ]
    told = {"u1": (-23, -18, -8, -7, -1), "u2": (-22,), "u3": (-14,), "u4": (-9,), "u5": (-10,), "u6": (-7,)}
    own = [daily(subject, at, "milk") for subject, days in told.items() for at in days]
    return [*drawn, *own, daily("u7", -29, "milk"), daily("u8", -12, lines=0)]


ACTIVITY = activity()
FEEDBACK = [
    position("u1", -7, "tea", 0.5, 3.0),
    position("u1", -1, "tea", 0.25, 0.0),
    position("u1", -2, "tea", 0.1, 3.0, seen=False),
    position("u1", -8, "tea", 0.1, 3.0),
    position("u1", 0, "tea", 0.1, 3.0),
    position("u1", -3, "figs", 1 / 3, 1.0),
    position("u3", -3, "tea", 0.5, 1.0),
]
SEGMENTS = [
    segment("u1", -20, "old"),
    segment("u1", -8, "core"),
    segment("u1", -3, "fading"),
    segment("u1", 0, "gone"),
    segment("u1", -8, "other", "tastes"),
    segment("u3", -1, "core"),
]
GIVEN: Mapping[str, list[dict[str, Any]]] = {
    "closings": WEEKS,
    "subject_daily": ACTIVITY,
    "subject_totals": [],
    "users": [
        user("u1", -90, has_demographics=True, age="25-34"),
        user("u1", -2, "recruiter", region="south"),
        user("u3", -5, is_deleted=True),
    ],
    "widgets": [
        widget("w1", -90, "tea"),
        widget("w2", -90, "milk"),
        widget("w3", -3, "figs"),
        widget("w4", -90, None),
    ],
    "consents": [refusal("u4", -1), refusal("u5", -8)],
    "feedback": FEEDBACK,
    "segments": SEGMENTS,
}
ARGUMENTS: Mapping[str, Any] = {
    "feature_sets": SETS,
    "demographics": SCALES,
    "consent": Consent(purpose="personalisation"),
}


def build(spark: SparkSession, days: Sequence[date], **more: Any) -> DataFrame:
    told = {name: more.pop(name, given) for name, given in GIVEN.items()}
    frames = {name: table(spark, name, given) for name, given in told.items()}
    declared = load().feature_declarations
    return closing_examples.build(**frames, days=days, feature_declarations=declared, **ARGUMENTS, **more)


@pytest.fixture(scope="module")
def examples(spark: SparkSession) -> dict[str, dict[str, Any]]:
    """Return the examples of the closing, by subject."""
    return {row["subject"]: row for row in rows(build(spark, [C, D]), "subject")}


def test_counts_and_labels_are_those_of_the_plain_formulas(examples):
    frame = pd.DataFrame(ACTIVITY).query("lines > 0")
    spans = [(-14, -8), (-21, -15), (-28, -22)]
    for subject, example in examples.items():
        mine = frame[frame["subject"] == subject]
        for number, (first, last) in enumerate(spans):
            then = mine[mine["activity_date"].between(day(first), day(last))]
            told = {
                name: example["features"][f"period_{name}_{number}"] for name in ("visits", "sales", "lines")
            }
            assert told == {
                "visits": len(then),
                "sales": then["sales_cents"].sum() / 100,
                "lines": then["lines"].sum(),
            }
        after = mine[mine["activity_date"].between(day(-7), D)]
        if not example["is_censored"]:
            bought = {category for visit in after["category_visits"] for category in visit}
            assert example["churn"] == float(after.empty)
            # Figs had no carousel yet when the closing ended.
            assert example["purchases"] == {name: float(name in bought) for name in ("milk", "tea")}
    active = frame[frame["activity_date"].between(day(-28), C)]["subject"].unique()
    assert set(examples) == set(active) - {"u5"}
    assert {examples[name]["churn"] for name in examples if name.startswith("r")} == {0.0, 1.0}


def test_rewards_are_weighted_by_inverse_propensity_within_the_next_period(examples):
    assert examples["u1"]["rewards"] == pytest.approx({"start/tea": 3 * 2 / (2 + 4), "start/figs": 1.0})
    assert examples["u1"]["reward_weights"] == pytest.approx({"start/tea": 6.0, "start/figs": 3.0})
    assert (examples["u2"]["rewards"], examples["u2"]["reward_weights"]) == ({}, {})


def test_everything_is_as_of_the_closing_s_end_and_labels_follow(examples):
    u1 = examples["u1"]
    assert (u1["role"], u1["region"], u1["segment"], u1["next_segment"]) == (
        "customer",
        "north",
        "core",
        "fading",
    )
    told = {"role": "customer", "region": "north", "segment": "core", "age": "25-34"}
    assert u1["categories"].items() >= told.items()
    assert examples["u2"]["categories"].keys().isdisjoint({"role", "segment", "age", "kids"})
    dates = {name: u1[name] for name in ("closing_date", "features_until", "labels_from", "labels_until")}
    assert dates == {"closing_date": C, "features_until": C, "labels_from": day(-7), "labels_until": D}
    assert (u1["features"]["recency"], u1["features"]["age"]) == (1, 1)
    assert u1["features"].keys() >= {"share/w1", "share/w2", "has_orders"}


def test_who_left_or_withdrew_in_the_next_period_is_censored_and_before_it_has_no_row(examples):
    censored = {subject for subject, row in examples.items() if row["is_censored"]}
    assert censored == {"u3", "u4"}
    labels = ("churn", "purchases", "rewards", "reward_weights", "next_segment")
    assert [examples[subject][name] for subject in censored for name in labels] == [None] * 10
    # Refused on the last day; only bought later; only bought before; had an order without merchandise.
    assert not {"u5", "u6", "u7", "u8"} & set(examples)


def test_a_closing_has_rows_once_the_next_is_over_as_the_closings_are_told(spark):
    moved = [*WEEKS, closing("c", -14, -6, changed=-5), closing("d", -5, 2, changed=-5)]
    # Its new last day, but the next period is not over.
    assert build(spark, [C, day(-6)], closings=moved).collect() == []
    later = [*ACTIVITY, daily("u2", 2, "tea")]
    found = rows(build(spark, [C, day(-6)], closings=moved, subject_daily=later), "subject")
    by_subject = {row["subject"]: row for row in found}
    assert {(row["closing_date"], row["labels_until"]) for row in found} == {(day(-6), day(2))}
    assert (by_subject["u2"]["churn"], by_subject["u6"]["features"]["period_visits_0"]) == (0, 1)


def test_a_run_rebuilds_all_closings_up_to_it_and_the_days_of_those_that_went(spark):
    closings = table(spark, "closings", [*WEEKS, closing("e", 0, 6)])
    told = [("c", -9), ("c", -8), ("d", 5), ("e", 6), ("f", 9)]
    held = [{"closing_id": name, "closing_date": day(number)} for name, number in told]
    named = closing_examples.late(closings, table(spark, "closing_examples", held), days=[D])
    # c was moved on, d moved back: its old end is after this run's last day; f was called off.
    gone = {day(-9), day(5), day(9)}
    assert {row["day"] for row in named.collect()} == {day(-22), day(-15), C, D} | gone


def test_a_period_without_sales_stops(spark):
    silent = [row for row in ACTIVITY if row["activity_date"] <= C]
    with pytest.raises(Stopped, match=r"^The closing from 2017-10-02 to 2017-10-08 has no sales: everyone"):
        build(spark, [C, D], subject_daily=silent)


def peeking(subject_daily: DataFrame, **more: Any) -> DataFrame:
    """Examples with a feature that shows who buys on the day after the closing."""
    after = subject_daily.where(F.col("activity_date") == F.lit(C + timedelta(1)))
    seen = after.select("subject", F.lit("tomorrow").alias("_seen")).distinct()
    built = closing_examples.build(subject_daily=subject_daily, **more).join(seen, on="subject", how="left")
    return built.withColumn("region", F.coalesce("_seen", "region"))


def test_features_have_no_leak_and_a_planted_one_is_found(spark):
    dated = {"subject_daily": "activity_date", "feedback": "decision_date", "segments": "as_of_date"}
    sides = [
        {
            name: table(
                spark,
                name,
                [row for row in given if last is None or row[dated.get(name, "changed_date")] <= last],
            )
            for name, given in GIVEN.items()
        }
        for last in (C, None)
    ]
    sides[0]["closings"] = sides[1]["closings"]
    arguments = {**ARGUMENTS, "feature_declarations": load().feature_declarations, "unlabelled": True}
    planted = replace(closing_examples.JOB, build=peeking)
    came = {row["subject"] for row in ACTIVITY if row["activity_date"] == C + timedelta(1)}
    # Of all columns but labels only the planted one differs.
    found = leaks.compare(planted, sides[0], sides[1], C, {**arguments, "days": [C]})
    known = {row["subject"] for row in ACTIVITY if day(-28) <= row["activity_date"] <= C and row["lines"]}
    assert found == {"region": len(came & known - {"u5"})}


@pytest.mark.parametrize("job", [models.JOB, model_values.JOB])
def test_who_learns_from_them_does_not_follow_the_days_that_a_run_rebuilt(job):
    [read] = [read for read in job.reads if read.name == "closing_examples"]
    assert read.readers(day(-29), day(0), 3) == []
