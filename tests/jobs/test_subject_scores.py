"""subject_scores: who is scored on which day, by which champion, from what; champions that cannot be used."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from jobs import closing_features, subject_scores
from jobs.config import load
from jobs.publish import Stopped
from jobs.releases import APPROVED, MODEL, REFUSED
from ml.classify import digest_of
from ml.classify.linear import Linear
from tests.jobs.given import rows, table
from tests.jobs.test_closing_periods import WEEKS, day
from tests.jobs.test_subject_features import SCALES, daily, user

C = day(-8)
PEOPLE = [f"s{number}" for number in range(40)]
FEATURES = ("recency", "share/w", "period_visits_0", "age")
WEIGHTS = (0.5, -1.0, 0.25, 0.125)


def model(version: str, name: str = "churn", features: Sequence[str] = FEATURES) -> dict[str, Any]:
    """A logistic regression whose features are scaled by nothing; what is missing counts 2 more."""
    shape = (np.zeros(len(features)), np.ones(len(features)))
    core = Linear(
        "labels", range(len(features)), *shape, np.array([[*WEIGHTS[: len(features)], 0, 0, 0, 2, -1]])
    )
    data = core.dump()
    return {
        "model_version": version,
        "name": name,
        "closing_id": "c",
        "as_of_date": C,
        "algorithm": "logistic",
        "task": "labels",
        "features": list(features),
        "categories": ["role", "region"],
        "category_values": {"role": ["customer"], "region": []},
        "classes": [name],
        "calibration": ["none"],
        "calibration_values": [[]],
        "model": data,
        "model_digest": digest_of(data),
    }


def verdict(
    version: str, number: int, name: str = "churn", said: str = APPROVED, **details: str
) -> dict[str, Any]:
    at = datetime(2017, 11, 1, 0, 0, number + 50 + len(details), tzinfo=UTC)
    told = {"kind": MODEL, "name": name, "version": version, "verdict": said, "decided_at": at}
    return {**told, "release_id": f"{version}{number}", "as_of_date": day(number), "details": details}


def features(number: int) -> list[dict[str, Any]]:
    return [
        {
            "subject": subject,
            "subject_bucket": 0,
            "feature_date": day(number),
            # Three come every day; the others were there once.
            "last_active_date": day(number if place < 3 else -20),
            "role": "customer",
            "features": {"recency": float(place), **({"age": 1.0} if place else {})},
            "widget_shares": {"w": 0.5},
            "widget_reward_means": {},
        }
        for place, subject in enumerate(PEOPLE)
    ]


DAYS = (-9, -8, -7, -6, -5, -4)


def build(spark: SparkSession, days: Sequence[date], **more: Any) -> list[dict[str, Any]]:
    # One in the closing's first days, which leave the period as it moves on; one on the day after it.
    visits = [daily("s1", -14, "tea"), daily("s1", -9, "tea"), daily("s2", -7, "tea")]
    told: dict[str, list[dict[str, Any]]] = {
        "subject_features": [
            row for number in DAYS for row in features(number) if row["feature_date"] in days
        ],
        "subject_daily": visits,
        "users": [user("s1", -90)],
        "segments": [],
        "closings": WEEKS,
        "models": [model("v1"), model("v2")],
        "releases": [verdict("v1", -8), verdict("v3", -6, said=REFUSED), verdict("v2", -5)],
        **more,
    }
    frames = {name: table(spark, name, given) for name, given in told.items()}
    declared = load().feature_declarations
    built = subject_scores.build(**frames, days=days, feature_declarations=declared, demographics=SCALES)
    return rows(built, "score_date", "subject")


def test_everyone_is_scored_on_a_champion_s_first_day_and_then_who_moved(spark):
    found = build(spark, [day(number) for number in DAYS])
    by_day: dict[date, set[str]] = {}
    for row in found:
        by_day.setdefault(row["score_date"], set()).add(row["subject"])
    assert {row["model_version"] for row in found if row["score_date"] < day(-5)} == {"v1"}
    assert {row["model_version"] for row in found if row["score_date"] >= day(-5)} == {"v2"}
    # Before the first champion nobody; on the first day of each everyone.
    assert [day(number) in by_day for number in (-9, -8)] == [False, True]
    assert by_day[C] == by_day[day(-5)] == set(PEOPLE)
    quiet = {number: by_day[day(number)] for number in (-7, -6, -4)}
    assert all(set(PEOPLE[:3]) <= there < set(PEOPLE) for there in quiet.values())
    # In seven days on end each has one turn.
    turns = [there - set(PEOPLE[:3]) for there in quiet.values()]
    assert sum(map(len, turns)) == len(set.union(*turns)) > 10


def test_after_a_roll_back_everyone_is_scored_on_the_next_day_that_is(spark):
    # v2 was promoted on the sixth day before, and rolled back when that day and the next were scored.
    since = {"everyone_from": day(-4).isoformat()}
    releases = [verdict("v1", -8), verdict("v2", -6), verdict("v1", -6, **since)]
    found = build(spark, [day(-6), day(-5), day(-4)], releases=releases)
    by_day = {
        number: {row["subject"] for row in found if row["score_date"] == day(number)} for number in DAYS
    }
    assert {row["model_version"] for row in found} == {"v1"}
    assert [by_day[number] == set(PEOPLE) for number in (-6, -5, -4)] == [False, False, True]


def test_scores_are_the_model_s_of_that_evening(spark):
    found = {(row["score_date"], row["subject"]): row["scores"] for row in build(spark, [C, day(-7)])}
    log = [math.log1p(value) for value in (1, 0.5, 2, 1)]
    plain = sum(weight * value for weight, value in zip(WEIGHTS, log, strict=True)) - 1
    assert found[C, "s1"] == pytest.approx({"churn": 1 / (1 + math.exp(-plain))})
    # Period 0 is as long as the closing's and ends on the day: one of two visits has left it.
    later = plain + WEIGHTS[2] * (math.log1p(1) - math.log1p(2))
    assert found[day(-7), "s1"] == pytest.approx({"churn": 1 / (1 + math.exp(-later))})
    none = sum(WEIGHTS[at] * math.log1p(value) for at, value in ((0, 0), (1, 0.5), (2, 0))) + 2 - 1
    assert found[C, "s0"] == pytest.approx({"churn": 1 / (1 + math.exp(-none))})


def test_models_read_from_the_maps_what_examples_have_as_one(spark):
    given = [
        ({"recency": 3.0, "visits": 1.0}, {"w": 0.5, "visits": 0.25}, {}, {"period_visits_0": 2.0}),
        ({"visits": 4.0}, {}, {"start/w": 1.5}, {"period_visits_0": 0.0}),
    ]
    ddl = ", ".join(f"{name} map<string,double>" for name in closing_features.MAPS)
    frame = spark.createDataFrame(given, ddl)
    whole = [dict(row[0]) for row in frame.select(closing_features.features()).collect()]
    names = sorted({name for row in whole for name in row}, reverse=True)
    [batch] = frame.toArrow().combine_chunks().to_batches()
    found = subject_scores.inputs(batch, closing_features.places(names))
    plain = np.array([[row.get(name, np.nan) for name in names] for row in whole], np.float32)
    np.testing.assert_array_equal(found, plain)
    assert found.flags.f_contiguous
    assert len(names) == 6


@pytest.mark.parametrize(
    ("models", "said"),
    [
        pytest.param([], "v1 is the champion of churn, and models has no such row: roll back", id="no row"),
        pytest.param(
            [model("v1", features=("recency", "gone_28", "visits", "share/w"))],
            r"v1 needs gone_28, which conf/features\.yaml does not declare any more: declare it, roll back",
            id="a feature that is gone",
        ),
        pytest.param([{**model("v1"), "model_digest": "0"}], "v1 cannot be used", id="tampered"),
    ],
)
def test_a_champion_that_cannot_be_used_stops(spark, models, said):
    with pytest.raises(Stopped, match=said):
        build(spark, [C], models=models)


def test_without_closings_periods_cannot_be_counted(spark):
    with pytest.raises(Stopped, match=r"^No closing with 2 others before it is over on 2017-10-01:"):
        build(spark, [C], closings=WEEKS[:2])
