"""Planted closings: who is silent leaves, who buys cheese buys it again; what a model must find is known."""

from datetime import date, timedelta
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from jobs import model_values, models
from jobs.model_specs import ModelSpec
from tests.jobs.given import rows, table

FIRST = date(2017, 1, 29)
PERIOD = timedelta(28)
DAY = FIRST + 4 * PERIOD
"""The last day of the fifth closing: four closings' labels are known."""
QUICK = {"trees": 25, "depth": 3, "learning_rate": 0.15, "patience": 10}


def closings(last: int = 6) -> list[dict[str, Any]]:
    """Return rows of closings."""
    return [
        {
            "closing_id": f"2017-{number + 1:02}",
            "changed_date": date(2017, 1, 1),
            "first_date": FIRST + (number - 1) * PERIOD + timedelta(1),
            "last_date": FIRST + number * PERIOD,
            "is_deleted": False,
        }
        for number in range(last)
    ]


def examples(count: int = 4, subjects: int = 240, seed: int = 8) -> list[dict[str, Any]]:
    """Return rows of closing_examples of so many closings."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        closing = FIRST + number * PERIOD
        for subject in range(subjects):
            recency, cheese = float(rng.integers(0, 80)), float(rng.random())
            left = rng.random() < 1 / (1 + np.exp(-(recency - 50) / 8))
            buys = rng.random() < cheese
            segment = "core" if recency < 30 else "fading"
            features = {"recency": recency, "visits": float(rng.poisson(5)), "share/category:cheese": cheese}
            features |= {"flat": 1.0, "reward_mean/start/trending": cheese}
            shown = ["start/trending"] if rng.random() < 0.5 else ["start/trending", "start/bestsellers"]
            reward = {"start/trending": 3 * cheese, "start/bestsellers": 3 - 3 * cheese, "home/trending": 1.0}
            found.append(
                {
                    "closing_id": f"2017-{number + 1:02}",
                    "closing_date": closing,
                    "subject": f"u{subject:03}",
                    "subject_bucket": subject % 2,
                    "role": "customer" if subject % 3 else "consultant",
                    "region": "north",
                    "segment": segment,
                    "features": features,
                    "categories": {"segment": segment, "role": "customer" if subject % 3 else "consultant"},
                    "features_until": closing,
                    "labels_from": closing + timedelta(1),
                    "labels_until": closing + PERIOD,
                    "is_censored": False,
                    "churn": float(left),
                    "purchases": {"CHEESE": float(buys and not left), "ODD": float(subject == 7)},
                    "rewards": {name: reward[name] + rng.normal(0, 0.2) for name in shown},
                    "reward_weights": dict.fromkeys(shown, 2.0),
                    "next_segment": "fading" if left else segment,
                }
            )
    return found


def spec(name: str = "churn", **more: Any) -> ModelSpec:
    """Return a small spec."""
    given: dict[str, Any] = {
        "name": name,
        "meaning": "a test's",
        "target": name,
        "features": ["recency", "visits", "share/*", "flat"],
        "categories": ["role"],
        "small": ["visits"],
        "last_period": {"purchase": "share/category:{slug}", "reward": "reward_mean/{class}"}.get(
            name, "visits"
        ),
        "learning": QUICK,
        "bounds": {"slice_rows": 50, "single_feature": 1.0 if name == "segment" else 0.97},
        **({"page": "start"} if name == "reward" else {}),
        **more,
    }
    return ModelSpec.model_validate(given)


def train(
    spark: SparkSession,
    given: list[dict[str, Any]] | DataFrame,
    specs: list[ModelSpec],
    day: date = DAY,
    kept: list[dict[str, Any]] | None = None,
    releases: list[dict[str, Any]] | None = None,
    **more: Any,
) -> list[dict[str, Any]]:
    """Return rows of models, by version."""
    frame = given if isinstance(given, DataFrame) else table(spark, "closing_examples", given)
    made = models.build(
        frame,
        table(spark, "closings", closings()),
        table(spark, "models", kept or []),
        table(spark, "releases", releases or []),
        days=[day],
        input_versions={"closing_examples": 4, "models": 2},
        model_specs={one.name: one for one in specs},
        **{"seed": 1, "home": None, **more},
    )
    return rows(made, "model_version")


def measure(
    spark: SparkSession,
    given: list[dict[str, Any]] | DataFrame,
    of: list[dict[str, Any]],
    releases: list[dict[str, Any]] | None = None,
    day: date = DAY,
) -> list[dict[str, Any]]:
    """Return rows of model_values."""
    frame = given if isinstance(given, DataFrame) else table(spark, "closing_examples", given)
    made = model_values.build(
        frame, table(spark, "models", of), table(spark, "releases", releases or []), days=[day], seed=1,
        resamples=40,
    )  # fmt: skip
    return rows(made)


def figure(values: list[dict[str, Any]], learner: str, metric: str, **more: str) -> dict[str, Any]:
    """Return the one row of that figure."""
    wanted = {"learner": learner, "metric": metric, "slice": "all", "class": "all", **more}
    [found] = [row for row in values if all(row[key] == value for key, value in wanted.items())]
    return found
