"""model_values: figures of planted examples; the champion beside them, even when its features are gone."""

from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn.metrics import log_loss, roc_auc_score

from jobs.champions import model_of
from jobs.publish import Stopped
from tests.jobs.closings_given import DAY, PERIOD, examples, figure, measure, spec, train
from tests.jobs.given import table
from tests.jobs.test_champions import verdict

BEFORE = DAY - PERIOD


@pytest.fixture(scope="module")
def given(spark: SparkSession) -> DataFrame:
    """Return the examples of five closings, once."""
    return table(spark, "closing_examples", examples(5, 150)).cache()


@pytest.fixture(scope="module")
def trained(spark: SparkSession, given: DataFrame) -> list[dict[str, Any]]:
    """Train after two closings, the older churn on fewer features."""
    old = train(spark, given, [spec(features=["visits"], last_period="visits")], day=BEFORE)
    return [*old, *train(spark, given, [spec(), spec("reward")])]


def champion_of(trained: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a yes to the older churn."""
    [old] = [row for row in trained if row["is_candidate"] and row["as_of_date"] == BEFORE]
    said = verdict(old["model_version"], 1)
    return {**said, "as_of_date": BEFORE}


@pytest.fixture(scope="module")
def values(spark: SparkSession, given: DataFrame, trained: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Measure them against that champion."""
    return measure(spark, given, trained, [champion_of(trained)])


def test_figures_are_those_of_the_test_closing(
    trained: list[dict[str, Any]], values: list[dict[str, Any]]
) -> None:
    new = [row for row in trained if row["is_candidate"] and row["as_of_date"] == DAY]
    [churn] = [row for row in new if row["name"] == "churn"]
    mine = [row for row in values if row["model_version"] == churn["model_version"]]
    test = [row for row in examples(5, 150) if row["closing_id"] == "2017-04"]
    x = np.array([[row["features"][name] for name in churn["features"]] for row in test], np.float32)
    roles = np.array([row["role"] for row in test], dtype=object)
    p = model_of(churn).predict(x, [roles])[:, 0]
    y = np.array([row["churn"] for row in test])
    auc = figure(mine, "catboost", "auc")
    assert auc["value"] == pytest.approx(roc_auc_score(y, p))
    assert auc["low"] < auc["value"] < auc["high"]
    assert (auc["rows"], auc["closing_id"]) == (150, "2017-05")
    assert figure(mine, "catboost", "log_loss")["value"] == pytest.approx(log_loss(y, p))
    customers = figure(mine, "catboost", "log_loss", slice="role/customer")
    own = roles == "customer"
    assert (customers["value"], customers["rows"]) == (pytest.approx(log_loss(y[own], p[own])), own.sum())
    assert {row["learner"] for row in mine} == {"catboost", "xgboost", "logistic", "last_period", "champion"}
    change = figure(mine, "catboost", "change_from_champion")
    ours, theirs = (figure(mine, name, "log_loss")["value"] for name in ("catboost", "champion"))
    assert change["value"] == pytest.approx(ours / theirs - 1)
    assert change["high"] < 0
    assert change["against"] == champion_of(trained)["version"]


def test_reliability_gains_importance_and_drift_are_there(values: list[dict[str, Any]]) -> None:
    churn = [row for row in values if row["name"] == "churn"]
    bins = {row["slice"]: row["value"] for row in churn if row["metric"] == "observed"}
    assert len(bins) == 10
    assert bins["bin/0"] < 0.1 < 0.9 < bins["bin/9"]
    assert figure(churn, "catboost", "gain", slice="decile/10")["value"] == pytest.approx(1)
    shap = {row["slice"]: row["value"] for row in churn if row["metric"] == "shap"}
    assert max(shap, key=lambda name: shap[name]) == "feature/recency"
    drift = {row["slice"]: row["value"] for row in churn if row["metric"] == "psi"}
    assert all(0 <= value < 0.5 for value in drift.values())
    assert set(drift) == set(shap)


def test_rewards_are_judged_by_error_and_by_what_choosing_by_them_earns(values: list[dict[str, Any]]) -> None:
    reward = [row for row in values if row["name"] == "reward"]
    ours, plain = (figure(reward, name, "squared_error")["value"] for name in ("catboost", "last_period"))
    assert ours < plain
    # The better of 3s and 3 - 3s earns 2.25 on average when both were shown; where only one was, it is that.
    assert 1.9 < figure(reward, "catboost", "reward")["value"] < 2.4


def test_a_champion_whose_features_are_gone_is_told(
    spark: SparkSession, trained: list[dict[str, Any]], given: DataFrame
) -> None:
    less = [
        {**row, "features": {name: value for name, value in row["features"].items() if name != "visits"}}
        for row in examples(5, 60)
    ]
    current = train(spark, less, [spec(small=["recency"], last_period="recency")])
    old = [row for row in trained if row["as_of_date"] == BEFORE]
    found = measure(spark, less, [*old, *current], [champion_of(trained)])
    assert [row["slice"] for row in found if row["metric"] == "lacks"] == ["feature/visits"]
    assert not [row for row in found if row["metric"] == "change_from_champion"]
    broken = [{**row, "model": bytearray(b"x")} if row["as_of_date"] == BEFORE else row for row in trained]
    with pytest.raises(Stopped, match="cannot be used: the bytes of the model are not those that were kept"):
        measure(spark, given, broken, [champion_of(trained)])
    with pytest.raises(Stopped, match="is not in models: train its closing again, or roll back"):
        measure(spark, given, [row for row in trained if row["as_of_date"] == DAY], [champion_of(trained)])
    with pytest.raises(Stopped, match="No model was trained as of 2017-06-18: run models for it first"):
        measure(spark, given, trained, day=DAY + PERIOD)
