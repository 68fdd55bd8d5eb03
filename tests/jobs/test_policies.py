"""policies: a day's policy is the ridge regression of all rows up to it, however the days are processed."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import policies
from jobs.config import Policy, Reward
from jobs.contracts import contract
from ml.bandits import statistics
from tests.jobs.given import rows, table

FIRST = date(2017, 9, 1)
WIDTH = 3
WIDGETS = ["bakery", "bestsellers", "trending"]
REWARD = Reward(version="r1", basket=3, detail=1, detail_seconds=20)


def spec(name: str = "plain", **more: Any) -> Policy:
    about = {
        "page": "home",
        "algorithm": "linucb",
        "feature_set": "home-1",
        "ridge": 2.0,
        "alpha": 0.5,
        **more,
    }
    return Policy.model_validate({"name": name, **about})


def seen(day: int, widget: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([day, WIDGETS.index(widget)])
    return rng.normal(size=(12, WIDTH)), rng.choice([0.0, 1.0, 3.0], 12)


def sums(day: int, widget: str, **more: Any) -> list[dict[str, Any]]:
    """Statistics of a day and arm, in two buckets."""
    x, reward = seen(day, widget)
    parts = [
        statistics.of_rows(x[half], np.zeros(6, int), reward[half], arms=1)
        for half in (slice(6), slice(6, 12))
    ]
    return [
        {
            "decision_date": FIRST + timedelta(day),
            "page": "home",
            "feature_set": "home-1",
            "reward_version": "r1",
            "widget": widget,
            "subject_bucket": bucket,
            "n": int(part.n[0]),
            "xx": part.xx[0].tolist(),
            "rx": part.rx[0].tolist(),
            "rr": float(part.rr[0]),
            **more,
        }
        for bucket, part in enumerate(parts)
    ]


# trending comes later, bestsellers goes; nothing was seen on days 3 and 4.
HISTORY = [
    row
    for day in (0, 1, 2, 5, 6)
    for widget in WIDGETS
    if not (widget == "trending" and day < 2) and not (widget == "bestsellers" and day > 1)
    for row in sums(day, widget)
]


def build(
    spark: SparkSession, days: range, *specs: Policy, history: list[dict[str, Any]] | None = None
) -> DataFrame:
    return policies.build(
        table(spark, "bandit_statistics", HISTORY if history is None else history),
        days=[FIRST + timedelta(day) for day in days],
        policies={one.name: one for one in specs},
        reward=REWARD,
    )


def plain(widget: str, weights: dict[int, float], ridge: float) -> tuple[np.ndarray, np.ndarray]:
    design, response = ridge * np.eye(WIDTH), np.zeros(WIDTH)
    for day, weight in weights.items():
        x, reward = seen(day, widget)
        design += weight * x.T @ x
        response += weight * x.T @ reward
    return np.linalg.solve(design, response), np.linalg.inv(design)[np.triu_indices(WIDTH)]


def test_parameters_are_those_of_the_formula(spark: SparkSession) -> None:
    found = rows(build(spark, range(2, 3), spec()))
    assert len(found) == 1
    row = found[0]
    assert row["policy_version"] == "plain@2017-09-03"
    assert row["fitted_date"] == date(2017, 9, 3)
    assert row["fitted_from"] == FIRST
    assert row["spec_digest"] == spec().digest
    assert (row["page"], row["spec"], row["feature_set"], row["reward_version"]) == (
        "home",
        "plain",
        "home-1",
        "r1",
    )
    assert row["widgets"] == WIDGETS
    assert row["n"] == [36, 24, 12]
    for arm, days in enumerate(({0, 1, 2}, {0, 1}, {2})):
        theta, covariance = plain(WIDGETS[arm], dict.fromkeys(days, 1.0), 2.0)
        assert np.allclose(row["theta"][arm * 3 : arm * 3 + 3], theta, rtol=1e-10)
        assert np.allclose(row["covariance"][arm * 6 : arm * 6 + 6], covariance, rtol=1e-10)


def test_windows_and_half_lives_weigh_days_by_age_and_drop_arms_that_left(spark: SparkSession) -> None:
    specs = (spec("window", window_days=4), spec("aged", half_life_days=2.0))
    found = {row["spec"]: row for row in rows(build(spark, range(6, 7), *specs))}
    assert found["window"]["widgets"] == ["bakery", "trending"]
    assert found["window"]["fitted_from"] == FIRST + timedelta(5)
    assert np.allclose(found["window"]["theta"][:3], plain("bakery", {5: 1, 6: 1}, 2.0)[0], rtol=1e-10)
    assert found["aged"]["widgets"] == WIDGETS
    aged = {day: 2 ** (-(6 - day) / 2) for day in (0, 1, 2, 5, 6)}
    assert np.allclose(found["aged"]["theta"][:3], plain("bakery", aged, 2.0)[0], rtol=1e-10)
    assert found["aged"]["n"] == [60, 24, 36]


def fit(day: range, spec: Policy, history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fit without Spark."""
    in_order = sorted(history, key=lambda row: (row["decision_date"], row["subject_bucket"], row["widget"]))
    about = pa.Table.from_pylist(in_order, schema=contract("bandit_statistics").arrow_schema)
    settings = {**spec.model_dump(), "digest": spec.digest}
    fitted = policies.fit_each(settings, about, [FIRST + timedelta(number) for number in day])
    return [{name: np.asarray(value).tolist() for name, value in row.items()} for row in fitted]


@pytest.mark.parametrize("more", [{}, {"window_days": 3}, {"half_life_days": 1.5}])
def test_a_range_gives_the_same_bits_as_day_by_day(more: dict[str, Any]) -> None:
    one = spec(**more)
    together = fit(range(8), one, HISTORY)
    assert [row["fitted_date"].day for row in together] == list(range(1, 9))
    for day in (4, 7, 0, 2, 6, 1, 3, 5):
        known = [row for row in HISTORY if row["decision_date"] <= FIRST + timedelta(day)]
        assert fit(range(day, day + 1), one, known) == [together[day]]


def test_a_day_without_statistics_in_reach_has_no_policy(spark: SparkSession) -> None:
    later = [row for row in HISTORY if row["decision_date"] >= FIRST + timedelta(2)]
    found = rows(
        build(spark, range(5), spec(), spec("today", window_days=1), history=later), "policy_version"
    )
    assert [row["policy_version"] for row in found] == [
        "plain@2017-09-03",
        "plain@2017-09-04",
        "plain@2017-09-05",
        "today@2017-09-03",
    ]
    assert found[0]["theta"] == found[2]["theta"]


def test_another_reward_version_page_or_feature_set_is_not_learned_from(spark: SparkSession) -> None:
    others = [
        *sums(0, "bakery", reward_version="r0"),
        *sums(0, "bakery", feature_set="home-0"),
        *sums(0, "bakery", page="start"),
    ]
    assert rows(build(spark, range(1), spec(), history=others)) == []
    found = rows(build(spark, range(1), spec(), history=[*others, *sums(0, "bakery")]))
    assert [row["n"] for row in found] == [[12]]
