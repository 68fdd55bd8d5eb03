"""policies: a day's policy is the ridge regression of all rows up to it, however the days are processed."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import algorithms, policies
from jobs.config import FeatureSet, Page, Policy, Reward
from jobs.contracts import contract
from ml.bandits import statistics
from ml.bandits.constant import Constant
from ml.bandits.epsilon_greedy import EpsilonGreedy
from ml.bandits.household_mean import HouseholdMean
from ml.bandits.linear import Linear
from ml.bandits.lints import LinTS
from ml.bandits.linucb import LinUCB
from ml.bandits.softmax import Softmax
from ml.bandits.statistics import Statistics
from ml.bandits.uniform import Uniform
from tests.jobs.given import rows, table

FIRST = date(2017, 9, 1)
WIDTH = 3
WIDGETS = ["bakery", "bestsellers", "trending"]
FEATURES = FeatureSet.model_validate(
    {
        "name": "home-1",
        "page": "home",
        "context": [{"name": "intercept"}, {"name": "recency"}],
        "action": [{"name": "reward_mean/home/{widget}", "center": 0.5, "scale": 0.25}],
    }
)
# dairy has the labels of bakery, and nobody has seen it; coupons stands on another page.
WIDGET_ROWS: list[dict[str, Any]] = [
    {
        "widget": widget,
        "changed_date": FIRST - timedelta(9),
        "pages": [page],
        "is_deleted": False,
        "core_theme": core_theme,
        "intent": "replenish",
    }
    for widget, page, core_theme in (
        ("bakery", "home", "assortment"),
        ("bestsellers", "home", "popular"),
        ("coupons", "start", "popular"),
        ("dairy", "home", "assortment"),
        ("trending", "home", "popular"),
    )
]
PAGE = Page(page="home", positions=2, policy="one", temperature=0.2, floor=0.01)
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
        table(spark, "widgets", WIDGET_ROWS),
        days=[FIRST + timedelta(day) for day in days],
        policies={one.name: one for one in specs},
        feature_sets={"home-1": FEATURES},
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


def test_what_comes_with_a_reward_is_of_the_page_and_the_last_28_days(spark: SparkSession) -> None:
    def earned(day: int, page: str, widget: str, clicks: int) -> dict[str, Any]:
        return {"stat_date": FIRST + timedelta(day), "page": page, "widget": widget, "position": 0,
                "clicks": clicks, "baskets": 0, "revenue_cents": 100 * clicks,
                "reward_micros": 20_000_000}  # fmt: skip

    stats = [earned(2, "home", "bakery", 10), earned(-25, "home", "bestsellers", 20)]
    others = [
        earned(-26, "home", "bakery", 99),
        earned(3, "home", "bakery", 99),
        earned(2, "start", "trending", 9),
    ]
    made = [{**row, "created_date": FIRST + timedelta(2 - 90)} for row in WIDGET_ROWS]
    frame = policies.build(
        table(spark, "bandit_statistics", HISTORY),
        table(spark, "widgets", made),
        widget_stats=table(spark, "widget_stats", stats + others),
        days=[FIRST + timedelta(2)],
        policies={name: spec(name, open_days=open_days) for name, open_days in (("plain", 0), ("waits", 1))},
        feature_sets={"home-1": FEATURES},
        reward=REWARD,
    )
    by_spec = {row["spec"]: row for row in rows(frame)}
    waits = np.reshape(by_spec["waits"]["worths"], (4, -1))
    assert waits[0] == pytest.approx(
        [1.0] * waits.shape[1]
    )  # the newest day is open: 20 clicks for 20 remain
    found = np.reshape(by_spec["plain"]["worths"], (4, 3))
    assert found[0] == pytest.approx([(10 + 15) / 40, (20 + 15) / 40, 0.75])
    assert found[2] == pytest.approx(100 * found[0])
    assert found[3].tolist() == [0.5] * 3
    assert not found[1].any()


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
    fitted = policies.fit_each(
        spec, FEATURES, about, WIDGET_ROWS, [FIRST + timedelta(number) for number in day]
    )
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


def of_all(history: list[dict[str, Any]], *days: int) -> Statistics:
    """The statistics of all home widgets, without Spark; of dairy there are none."""
    found = statistics.empty(4, WIDTH)
    for arm, widget in enumerate(("bakery", "bestsellers", "dairy", "trending")):
        for row in history:
            if row["widget"] == widget and (row["decision_date"] - FIRST).days in days:
                found.n[arm] += row["n"]
                found.xx[arm] += row["xx"]
                found.rx[arm] += row["rx"]
                found.rr[arm] += row["rr"]
    return found


def test_widgets_that_share_start_from_their_labels() -> None:
    sharing = spec("shared", labels=["core_theme", "intent"], shared_ridge=0.5, open_days=1)
    row = fit(range(2, 3), sharing, HISTORY)[0]
    assert row["widgets"] == ["bakery", "bestsellers", "dairy", "trending"]
    # Day 2 is open yet: of trending nothing counts.
    assert row["n"] == [24, 24, 0, 0]
    labels = np.array([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 0, 1, 1.0]])
    expected = LinUCB(2.0, 0.5, shared_ridge=0.5).fit(of_all(HISTORY, 0, 1), labels)
    assert np.allclose(np.reshape(row["theta"], (4, WIDTH)), expected.theta_, rtol=1e-10)
    assert np.allclose(row["covariance"], statistics.pack(expected.covariance_).ravel(), rtol=1e-9)
    assert row["common"] == []
    assert np.abs(expected.theta_[2]).max() > 0.01


@pytest.mark.parametrize(
    ("about", "kind"),
    [
        ({"algorithm": "linucb", "ridge": 2.0, "alpha": 0.5}, LinUCB),
        ({"algorithm": "lints", "ridge": 2.0, "alpha": 0.5}, LinTS),
        (
            {"algorithm": "lints", "ridge": 2.0, "alpha": 0.5, "labels": ["intent"], "shared_ridge": 1.0},
            LinTS,
        ),
        ({"algorithm": "epsilon_greedy", "ridge": 2.0, "epsilon": 0.1}, EpsilonGreedy),
        ({"algorithm": "softmax", "ridge": 2.0, "temperature": 0.3, "floor": 0.01}, Softmax),
        ({"algorithm": "uniform"}, Uniform),
        ({"algorithm": "constant", "widgets": ["dairy", "bakery"]}, Constant),
        ({"algorithm": "household_mean"}, HouseholdMean),
    ],
)
def test_every_algorithm_is_restored_from_its_row(about: dict[str, Any], kind: type[Linear]) -> None:
    one = Policy.model_validate({"name": "one", "page": "home", "feature_set": "home-1", **about})
    row = fit(range(2, 3), one, HISTORY)[0]
    model = algorithms.restore(one, FEATURES, row, PAGE)
    assert type(model) is kind
    assert kind is Uniform or model.rule == algorithms.rule_of(one, PAGE)
    shared = np.random.default_rng(1).normal(size=(30, 2)).astype(np.float32)
    own = np.random.default_rng(2).normal(size=(30, len(row["widgets"]), 1)).astype(np.float32)
    shared[:, 0] = 1.0
    keys = np.arange(30, dtype=np.uint64)
    normals = model.normals(1, keys, page="home", epoch=1, arms=row["widgets"])
    found = model.values(shared, own, normals)
    labels = {row["widget"]: row for row in WIDGET_ROWS}
    sums = of_all(HISTORY, 0, 1, 2)
    places = [["bakery", "bestsellers", "dairy", "trending"].index(name) for name in row["widgets"]]
    sums = Statistics(sums.n[places], sums.xx[places], sums.rx[places], sums.rr[places])
    fresh = algorithms.fit(one, FEATURES, row["widgets"], sums, labels, PAGE)
    assert np.allclose(fresh.values(shared, own, normals), found, rtol=1e-5, atol=1e-6)
    assert np.allclose(
        fresh.propensities(shared, own, normals=normals),
        model.propensities(shared, own, normals=normals),
        atol=1e-4,
    )


def test_what_learns_nothing_needs_no_row_and_a_learner_without_one_knows_no_arm() -> None:
    shared, own = np.ones((3, 2), dtype=np.float32), np.array([[[1.0], [2.0]]] * 3, dtype=np.float32)
    about = {"name": "one", "page": "home", "feature_set": "home-1"}
    mean = Policy.model_validate({**about, "algorithm": "household_mean"})
    found = algorithms.before_anything_was_seen(mean, FEATURES, ["a", "b"], PAGE)
    assert np.allclose(found.scores(shared, own), [[0.75, 1.0]] * 3)
    found = algorithms.before_anything_was_seen(spec(), FEATURES, ["a", "b"], PAGE)
    assert not found.scores(shared, own).any()
    assert np.allclose(found.bonuses(shared, own), 0.5 * np.sqrt([[3 / 2, 6 / 2]] * 3))


def test_a_rule_without_its_feature_is_an_error_that_names_it() -> None:
    bare = FEATURES.model_copy(update={"action": []})
    mean = Policy.model_validate(
        {"name": "mean", "page": "home", "feature_set": "home-1", "algorithm": "household_mean"}
    )
    with pytest.raises(ValueError, match="policy mean: feature set home-1 has no reward_mean/home/bakery"):
        algorithms.before_anything_was_seen(mean, bare, ["bakery"])
