"""drift: what is compared with which day, what moved, what is gone, by segment; and that counts add."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs import drift
from jobs.closing_periods import periods
from jobs.drift_counts import LAST_PERIOD, TRAINING, Bounds, Pair, count
from jobs.releases import APPROVED, MODEL
from ml.drift import SIZE, compare, deciles
from tests.jobs.given import rows, table
from tests.jobs.test_closing_periods import WEEKS, day

PEOPLE = range(300)
MAP = pa.map_(pa.string(), pa.float64())
TODAY, WEEK_AGO, TRAINED, SAME_POINT = day(-4), day(-11), day(-15), day(-18)


def verdict(version: str, number: int) -> dict[str, Any]:
    at = datetime(2017, 10, 1, tzinfo=UTC)
    told = {"kind": MODEL, "name": "churn", "version": version, "verdict": APPROVED, "decided_at": at}
    return {**told, "release_id": version, "as_of_date": day(number)}


def test_a_day_is_compared_with_the_same_point_of_earlier_periods() -> None:
    known = periods(WEEKS)
    assert list(drift.pairs(TODAY, known, [verdict("v1", -15)])) == [
        Pair(TODAY, LAST_PERIOD, WEEK_AGO),
        Pair(TODAY, TRAINING, SAME_POINT),
        Pair(TODAY, TRAINING, TRAINED, "churn"),
    ]
    assert list(drift.pairs(day(-1), known, [])) == [Pair(day(-1), LAST_PERIOD, day(-8))]
    assert list(drift.pairs(day(-25), known, [])) == []  # the first period
    assert list(drift.pairs(day(5), known, [])) == []  # no period is declared for it


def test_the_last_day_of_a_longer_period_is_like_the_last_of_a_shorter() -> None:
    short, long = periods([WEEKS[0], {**WEEKS[1], "last_date": day(-8)}])
    points = [drift.same_point(day(number), long, short) for number in (-21, -16, -12, -8)]
    assert points == [day(-28), day(-23), day(-22), day(-22)]


def features(number: int, moved: float, *, has_gone: bool = True) -> list[dict[str, Any]]:
    return [
        {
            "subject": f"s{n}", "subject_bucket": n % 2, "feature_date": day(number),
            "features": {
                "steady": float(n % 7),
                "moved": n % 7 + moved * (n < 150),
                **({"gone": 1.0} if has_gone else {}),
                **({"rare": 2.0} if n < 30 else {}),
            },
            "widget_shares": {"w": 0.5}, "widget_reward_means": {"home/w": 1.0},
        }
        for n in PEOPLE
    ]  # fmt: skip


@pytest.fixture(scope="module")
def found(spark: SparkSession) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    some = [*features(-4, 40, has_gone=False), *features(-11, 40), *features(-18, 0)]
    scores = [
        {"score_date": day(number), "subject": f"s{n}", "subject_bucket": n % 2, "model": "churn",
         "model_version": "v1", "scores": {"churn": (n % 10 + shift) / 20}}
        for number, shift, people in ((-15, 0, PEOPLE), (-6, 9, range(200)), (-4, 9, range(100)))
        for n in people
    ]  # fmt: skip
    seen = [
        {"decision_id": f"d{number}-{n}", "position": 0, "decision_date": day(number), "subject": f"s{n}",
         "subject_bucket": n % 2, "page": "home", "widget": "w", "is_seen": n != 0,
         "reward": 3.0 * (n % share == 0)}
        for number, share in ((-5, 2), (-12, 10))
        for n in PEOPLE
    ]  # fmt: skip
    named = [
        {"segmentation": "rfm", "segmentation_version": "1", "as_of_date": day(-30), "subject": f"s{n}",
         "subject_bucket": n % 2, "segment": 0, "name": "loyal" if n < 150 else "new"}
        for n in range(290)
    ]  # fmt: skip
    made = drift.build(
        table(spark, "subject_features", some),
        table(spark, "subject_scores", scores),
        table(spark, "feedback", seen),
        table(spark, "segments", named),
        table(spark, "closings", WEEKS),
        table(spark, "releases", [verdict("v1", -15)]),
        days=[TODAY],
    )
    told = rows(made, "kind", "name", "who", "against")
    keys = ("kind", "name", "who", "against")
    return {tuple(row[key] for key in keys): row for row in told}


def test_what_moved_since_training_alarms_and_what_did_not_is_steady(found: Any) -> None:
    moved = found["feature", "moved", "everyone", TRAINING]
    then, now = (np.array([n % 7 + shift * (n < 150) for n in PEOPLE], dtype=np.float64) for shift in (0, 40))
    # Each of seven numbers is a bin of its own; beyond them nobody was.
    p, q = (np.bincount(np.minimum(each, 7).astype(int), minlength=8) / 300 for each in (then, now))
    p[7] = 1e-4
    assert moved["psi"] == pytest.approx(((q - p) * np.log(q / p)).sum())
    assert (moved["level"], moved["n"], moved["n_earlier"]) == ("alarm", 300, 300)
    assert (moved["drift_date"], moved["against_date"]) == (TODAY, SAME_POINT)
    assert found["feature", "moved", "everyone", LAST_PERIOD]["psi"] == 0
    steady = found["feature", "steady", "everyone", TRAINING]
    assert (steady["psi"], steady["js"], steady["chance"], steady["level"]) == (0, 0, 1, "steady")


def test_segments_are_compared_each(found: Any) -> None:
    levels = {
        group: found["feature", "moved", group, TRAINING]["level"] for group in ("everyone", "loyal", "new")
    }
    assert levels == {"everyone": "alarm", "loyal": "alarm", "new": "steady"}
    counted = {group: found["feature", "steady", group, TRAINING]["n"] for group in ("loyal", "new")}
    assert counted == {"loyal": 150, "new": 140}


def test_a_feature_that_is_gone_is_missing_of_all(found: Any) -> None:
    gone = found["feature", "gone", "everyone", LAST_PERIOD]
    assert (gone["js"], gone["level"], gone["n"]) == (pytest.approx(1.0), "alarm", 300)
    rare = found["feature", "rare", "everyone", LAST_PERIOD]
    assert (rare["psi"], rare["n"]) == (0, 300)
    assert ("feature", "share/w", "everyone", LAST_PERIOD) in found
    assert ("feature", "reward_mean/home/w", "everyone", LAST_PERIOD) in found


def test_scores_are_each_subject_s_newest_beside_the_champion_s_first(found: Any) -> None:
    scores = found["score", "churn/churn", "everyone", TRAINING]
    assert (scores["n"], scores["n_earlier"], scores["against_date"]) == (200, 300, TRAINED)
    assert scores["level"] == "alarm"
    last = found["score", "churn/churn", "everyone", LAST_PERIOD]
    assert (last["n"], last["n_earlier"], last["against_date"]) == (200, 300, WEEK_AGO)


def test_rewards_are_of_seen_positions(found: Any) -> None:
    for name in ("home", "home/w"):
        home = found["reward", name, "everyone", LAST_PERIOD]
        assert (home["n"], home["n_earlier"], home["level"]) == (299, 299, "alarm")


def test_counts_add_over_batches() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "day": pa.array([TODAY, TODAY, WEEK_AGO, TODAY], pa.date32()),
            "group": ["a", None, "a", "a"],
            "values": pa.array([{"x": 1.0}, {"x": 1.0, "y": 2.0}, {"y": 2.0}, {"x": 1.0}], MAP),
        }
    )
    whole, halves = (
        pa.Table.from_batches(count(batches, kind="feature", maps_of={"values": ""}))
        .group_by(["name", "day", "group", "code"])
        .aggregate([("n", "sum")])
        .sort_by([("name", "ascending"), ("day", "ascending"), ("n_sum", "ascending")])
        for batches in ([batch], [batch.slice(0, 2), batch.slice(2)])
    )
    assert whole.equals(halves)
    assert whole["n_sum"].to_pylist() == [1, 2, 1, 1]


def test_small_groups_do_not_alarm_by_chance() -> None:
    rng = np.random.default_rng(0)
    bounds = Bounds(watch=0.1, alarm=0.25, shift=0.1, chance=1e-4)
    levels = []
    for _ in range(200):
        then, now = (np.bincount(rng.integers(200, 210, 30), minlength=SIZE) for _ in range(2))
        assert deciles(then).max() <= 10
        levels.append(bounds.level(compare(then, now)))
    assert levels.count("steady") >= 199
