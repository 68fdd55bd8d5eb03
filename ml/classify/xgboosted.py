"""XGBoost (Chen, Guestrin 2016) as a learner on the same rows: a booster by question or by action."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import xgboost
from numpy.typing import NDArray

from ml.classify.examples import MISSING, THREADS, Codes, Examples, Floats, Shape

ROWS_A_THREAD = 20_000
"""Fewer rows are not worth a second thread: both would wait for each other at each step."""


class XGBoosted:
    """Trees of XGBoost: one booster by class, or one for all of several classes."""

    def __init__(self, shape: Shape, boosters: list[xgboost.Booster]) -> None:
        self.shape = shape
        self.boosters = boosters

    @classmethod
    def fit(
        cls,
        train: Examples,
        validate: Examples,
        *,
        seed: int,
        monotone: Mapping[str, int] | None = None,
        trees: int = 600,
        depth: int = 4,
        learning_rate: float = 0.05,
        l2: float = 3.0,
        patience: int = 50,
    ) -> Self:
        """Learn from `train`, and stop when `validate` has not become better for `patience` trees."""
        shape = train.shape
        options: dict[str, Any] = {
            "max_depth": depth, "eta": learning_rate, "lambda": l2, "seed": seed, "tree_method": "hist",
            "nthread": _threads(len(train)), "objective": _objective(shape),
        }  # fmt: skip
        if shape.task == "classes":
            options["num_class"] = len(shape.classes)
        if monotone:
            signs = [monotone.get(name, 0) for name in shape.features] + [0] * len(shape.categories)
            options["monotone_constraints"] = f"({','.join(map(str, signs))})"
        boosters = []
        for number in range(1 if shape.task == "classes" else len(shape.classes)):
            data, judge = _matrix(train, number), _matrix(validate, number)
            fitted = xgboost.train(
                options, data, trees, evals=[(judge, "validate")], early_stopping_rounds=patience,
                verbose_eval=False,
            )  # fmt: skip
            boosters.append(fitted[: fitted.best_iteration + 1])
        return cls(shape, boosters)

    def predict(self, features: NDArray[np.float32], codes: Codes) -> Floats:
        """Return (n, c)."""
        data = _data(self.shape, features, codes)
        found = [booster.predict(data).astype(np.float64) for booster in self.boosters]
        return found[0] if self.shape.task == "classes" else np.stack(found, axis=1)

    def dump(self) -> bytes:
        """Return a JSON list of XGBoost's own JSON."""
        return json.dumps([json.loads(booster.save_raw("json")) for booster in self.boosters]).encode()

    def digest(self) -> str:
        """Return the hash of that JSON, which holds neither time nor identity."""
        return hashlib.blake2b(self.dump(), digest_size=16).hexdigest()

    @classmethod
    def load(cls, data: bytes, shape: Shape) -> Self:
        """Make one of `dump`'s bytes."""
        boosters = []
        for content in json.loads(data):
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(bytearray(json.dumps(content).encode()))
            boosters.append(booster)
        return cls(shape, boosters)


def _objective(shape: Shape) -> str:
    return {"labels": "binary:logistic", "classes": "multi:softprob", "rewards": "reg:squarederror"}[
        shape.task
    ]


def _matrix(examples: Examples, number: int) -> xgboost.DMatrix:
    if examples.shape.task == "classes":
        label, weight = examples.targets.argmax(axis=1), examples.weights.max(axis=1)
    else:
        known = ~np.isnan(examples.targets[:, number])
        examples = examples.of(np.nonzero(known)[0])
        label, weight = examples.targets[:, number], examples.weights[:, number]
    data = _data(examples.shape, examples.features, examples.codes)
    data.set_info(label=label, weight=weight)
    return data


def _data(shape: Shape, features: NDArray[np.float32], codes: Codes) -> xgboost.DMatrix:
    own = [np.where(code == MISSING, np.nan, code).astype(np.float32) for code in codes]
    return xgboost.DMatrix(
        np.column_stack([features, *own]),
        feature_names=[f"f{number}" for number in range(len(shape.features) + len(own))],
        feature_types=["q"] * len(shape.features) + ["c"] * len(own),
        enable_categorical=True,
        nthread=_threads(len(features)),
    )


def _threads(rows: int) -> int:
    return min(THREADS, 1 + rows // ROWS_A_THREAD)
