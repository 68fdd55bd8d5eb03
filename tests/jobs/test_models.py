"""models: each target learned by each learner, the same twice; what cannot be learned is one sentence."""

import logging
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from jobs.champions import model_of
from jobs.config import ConfigError
from jobs.publish import Stopped
from tests.jobs.closings_given import DAY, PERIOD, examples, spec, train

ALL = ["churn", "purchase", "reward", "segment"]


@pytest.fixture(scope="module")
def trained(spark: SparkSession) -> list[dict[str, Any]]:
    """Train every target once."""
    specs = [spec(name) for name in ALL]
    return train(spark, examples(), specs)


def of(trained: list[dict[str, Any]], name: str, algorithm: str = "catboost") -> dict[str, Any]:
    """Return the row of a spec and learner."""
    [found] = [row for row in trained if row["name"] == name and row["algorithm"] == algorithm]
    return found


def test_each_target_is_learned_by_each_learner(trained: list[dict[str, Any]]) -> None:
    assert len(trained) == 16
    churn = of(trained, "churn")
    assert churn["model_version"].startswith(f"churn@{DAY}-")
    assert of(trained, "churn", "xgboost")["model_version"].startswith(f"churn/xgboost@{DAY}-")
    assert [row["name"] for row in trained if row["is_candidate"]] == ALL
    assert (churn["closing_id"], churn["train"], churn["validate"], churn["test"]) == (
        "2017-05", ["2017-01", "2017-02"], ["2017-03"], ["2017-04"],
    )  # fmt: skip
    assert (churn["rows"], churn["inputs"]) == (480, {"closing_examples": 4})
    assert churn["features"] == ["recency", "visits", "share/category:cheese"]
    assert churn["notes"] == ["flat is the same in all 480 examples: left out."]
    assert churn["category_values"] == {"role": ["consultant", "customer"]}
    assert churn["metrics"]["auc"] > 0.85
    assert of(trained, "purchase")["classes"] == ["CHEESE"]
    assert (
        "ODD is in fewer than 20 examples, or in all but so few: left out."
        in of(trained, "purchase")["notes"]
    )
    assert of(trained, "reward")["classes"] == ["start/bestsellers", "start/trending"]
    assert of(trained, "segment")["classes"] == ["core", "fading"]


def test_models_say_what_was_planted(trained: list[dict[str, Any]]) -> None:
    x = np.array([[5, 5, 0.9], [75, 5, 0.1]], np.float32, order="F")
    roles = [np.array(["customer", None], dtype=object)]
    stays, leaves = model_of(of(trained, "churn")).predict(x, roles)[:, 0]
    assert stays < 0.1 < 0.8 < leaves
    rewards = model_of(of(trained, "reward")).predict(x, roles)
    # Three times the share for trending, three less that for bestsellers.
    assert rewards == pytest.approx(np.array([[0.3, 2.7], [2.7, 0.3]]), abs=0.35)
    assert model_of(of(trained, "segment")).predict(x, roles).sum(axis=1) == pytest.approx([1, 1])


def test_trained_again_it_is_the_same_and_what_was_released_is_kept(
    spark: SparkSession, trained: list[dict[str, Any]]
) -> None:
    churn = of(trained, "churn")
    released = [{"kind": "model", "verdict": "yes", "version": churn["model_version"]}]
    again = train(spark, examples(), [spec()], kept=trained, releases=released)
    assert again == trained
    more = train(spark, examples(seed=9), [spec()], kept=trained, releases=released)
    mine = [row for row in more if row["name"] == "churn" and row["algorithm"] == "catboost"]
    assert {row["model_version"]: row["is_current"] for row in mine}[churn["model_version"]] is False
    assert len(mine) == 2
    assert sum(row["name"] == "purchase" for row in more) == 4


def test_a_spec_without_labels_is_told_and_the_others_go_on(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    given = [{**row, "next_segment": None} for row in examples(subjects=120)]
    with caplog.at_level(logging.WARNING):
        made = train(spark, given, [spec(), spec("segment")])
    assert {row["name"] for row in made} == {"churn"}
    assert caplog.messages == [
        (
            "Not trained: segment: of 0 closings it is known what came after, and 3 are needed: one to"
            " train on, one to validate, 1 to test. It is trained once more have ended."
        )
    ]


def changed(**more: Any) -> list[dict[str, Any]]:
    """Return examples with other columns; a function is given the row."""
    given = examples(subjects=60)
    return [{**row, **{key: made(row) for key, made in more.items()}} for row in given]


NOT_SO = {
    "no labels": (
        changed(churn=lambda _: None),
        {},
        "churn: of 0 closings it is known what came after",
    ),
    "one example of a class": (
        changed(churn=lambda row: float(row["subject"] == "u007" and row["closing_id"] == "2017-01")),
        {},
        (
            "churn: fewer than 20 of 120 examples have one of the answers (churn): nothing can be learned"
            " from so few. Lower `fewest` in conf/models/churn.yaml, or wait for more closings."
        ),
    ),
    "vanished columns": (
        changed(),
        {"features": ["frequency", "volume"]},
        (
            "churn: no example has any of its features (frequency, volume): mend their spelling in"
            " conf/models, or see why closing_examples has none."
        ),
    ),
    "constant": (changed(), {"features": ["flat"]}, "churn: every feature is the same in all examples"),
    "a leak": (
        changed(features=lambda row: {**row["features"], "visits": row["churn"] * 2 + 1}),
        {},
        (
            "churn: visits alone tells the answer with AUC 1.000, above 0.97: it has most likely seen it."
            " Find out, or list it under ignored in conf/models/churn.yaml."
        ),
    ),
    "features of later": (
        changed(features_until=lambda row: row["labels_from"]),
        {},
        f"240 of closing_examples up to {DAY} have features of the days that their labels are",
    ),
}


@pytest.mark.parametrize(("given", "more", "sentence"), NOT_SO.values(), ids=NOT_SO)
def test_what_cannot_be_learned_is_said(
    spark: SparkSession, given: list[dict[str, Any]], more: dict[str, Any], sentence: str
) -> None:
    more = {"last_period": "recency", **more}
    with pytest.raises(Stopped) as error:
        train(spark, given, [spec(**more)])
    assert sentence in str(error.value)


def test_an_ignored_leak_is_left_out_and_a_vanished_column_is_noted(spark: SparkSession) -> None:
    given = changed(features=lambda row: {**row["features"], "leak": row["churn"]})
    features = ["recency", "leak", "frequency"]
    [churn] = [
        row
        for row in train(spark, given, [spec(features=features, ignored=["le*"], fewest=5)])
        if row["is_candidate"]
    ]
    assert churn["features"] == ["recency"]
    assert churn["notes"] == ["No example has frequency: left out."]


def test_a_day_without_a_closing_and_unknown_models_are_refused(spark: SparkSession) -> None:
    given = examples(1, 5)
    with pytest.raises(Stopped, match="No closing ends on 2017-05-22: models are trained after one"):
        train(spark, given, [spec()], day=DAY + timedelta(1))
    with pytest.raises(Stopped, match="The closing 2017-09 does not end on 2017-05-21"):
        train(spark, given, [spec()], closing_id="2017-09")
    with pytest.raises(ConfigError, match="There is no model 'chrun'; conf/models has churn"):
        train(spark, given, [spec()], only=["chrun"])
    with pytest.raises(Stopped, match=r"No model can be trained as of 2017-06-18\. churn: of 1 closings"):
        train(spark, given, [spec()], day=DAY + PERIOD)
