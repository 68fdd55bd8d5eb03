"""CatBoost (Prokhorenkova et al. 2018) as a learner.

Categories go in as pandas Categoricals with frozen values, the missing one first; a missing feature stays
NaN.
Rewards are learned from the actions that were tried only, each weighted for itself: a row becomes one for
each action it knows, whose other targets are missing, since CatBoost weighs rows and not targets.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from catboost import CatBoost, Pool
from numpy.typing import NDArray

from ml.classify.examples import THREADS, Codes, Examples, Floats, Shape

UNKNOWN = "\x00"
"""The category of what is missing; no value of a table is so."""
ASKED_BY_VALUE = 16
"""Categories of so few values are asked about by value. Statistics of their values need several orders of the
rows, each with predictions of its own: where no category needs them, a tree costs a fraction."""


class CatBoosted:
    """Trees of CatBoost."""

    def __init__(self, shape: Shape, model: CatBoost) -> None:
        self.shape = shape
        self.model = model

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
        max_ctr_complexity: int = 1,
        callbacks: Any = None,
    ) -> Self:
        """Learn from `train`, and stop when `validate` has not become better for `patience` trees."""
        shape = train.shape
        model = CatBoost(
            {
                "loss_function": _loss(shape),
                "iterations": trees,
                "depth": depth,
                "learning_rate": learning_rate,
                "l2_leaf_reg": l2,
                "random_seed": seed,
                "thread_count": THREADS,
                "max_ctr_complexity": max_ctr_complexity,
                "one_hot_max_size": ASKED_BY_VALUE,
                # Of several rewards, most unknown in each row, CatBoost takes some orders of the rows for
                # one value only. Who has learnable answers was asked before.
                "allow_const_label": shape.task == "rewards",
                "od_type": "Iter",
                "od_wait": patience,
                "use_best_model": True,
                "allow_writing_files": False,
                **({"monotone_constraints": dict(monotone)} if monotone else {}),
            }
        )
        model.fit(_pool(train), eval_set=_pool(validate), verbose=False, callbacks=callbacks)
        # What tells when and as which a file was made: without it, the same model is the same bytes.
        for of_file in ("model_guid", "train_finish_time"):
            model.get_metadata()[of_file] = ""
        return cls(shape, model)

    def predict(self, features: NDArray[np.float32], codes: Codes) -> Floats:
        """Return (n, c)."""
        kind = "RawFormulaVal" if self.shape.task == "rewards" else "Probability"
        table = _table(self.shape, features, codes)
        found = np.asarray(self.model.predict(table, prediction_type=kind, thread_count=THREADS))
        if self.shape.task == "labels" and len(self.shape.classes) == 1:
            return found[:, 1:]
        return found.reshape(len(features), -1)

    def dump(self) -> bytes:
        """Return CatBoost's own binary form."""
        return self._saved("cbm")

    def digest(self) -> str:
        """Return a hash of trees, features and scale; of the file's time and identity nothing."""
        content = json.loads(self._saved("json"))
        told = {key: content.get(key) for key in ("oblivious_trees", "trees", "features_info",
                                                  "scale_and_bias", "ctr_data")}  # fmt: skip
        return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()

    @classmethod
    def load(cls, data: bytes, shape: Shape) -> Self:
        """Make one of `dump`'s bytes."""
        model = CatBoost()
        model.load_model(blob=data)
        return cls(shape, model)

    def shap(self, examples: Examples) -> Floats:
        """Return (n, f + categories, c) SHAP values (Lundberg, Lee 2017), in units of the raw score."""
        pool = Pool(
            _table(examples.shape, examples.features, examples.codes),
            cat_features=list(examples.shape.categories),
        )
        values = np.asarray(self.model.get_feature_importance(pool, type="ShapValues", thread_count=THREADS))
        return values[:, :-1, None] if values.ndim == 2 else values[:, :, :-1].transpose(0, 2, 1)

    def _saved(self, form: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model"
            self.model.save_model(str(file), format=form)
            return file.read_bytes()


def _loss(shape: Shape) -> str:
    if shape.task == "labels":
        return "Logloss" if len(shape.classes) == 1 else "MultiLogloss"
    return "MultiClass" if shape.task == "classes" else "MultiRMSEWithMissingValues"


def _pool(examples: Examples) -> Pool:
    """Return what CatBoost takes; rewards become a row for each action that a row knows."""
    if examples.shape.task == "rewards":
        rows, action = np.nonzero(~np.isnan(examples.targets) & (examples.weights > 0))
        targets = np.full((len(rows), examples.targets.shape[1]), np.nan)
        targets[np.arange(len(rows)), action] = examples.targets[rows, action]
        examples = examples.of(rows)
        return _made(examples, targets, examples.weights[np.arange(len(rows)), action])
    if examples.shape.task == "classes":
        return _made(examples, examples.targets.argmax(axis=1), examples.weights.max(axis=1))
    label = examples.targets if examples.targets.shape[1] > 1 else examples.targets[:, 0]
    return _made(examples, label, examples.weights.max(axis=1))


def _made(examples: Examples, label: NDArray[Any], weight: Floats) -> Pool:
    table = _table(examples.shape, examples.features, examples.codes)
    return Pool(table, label=label, weight=weight, cat_features=list(examples.shape.categories))


def _table(shape: Shape, features: NDArray[np.float32], codes: Codes) -> pd.DataFrame:
    table = pd.DataFrame(features, columns=list(shape.features), copy=False)
    named = {
        name: pd.Categorical.from_codes(code + 1, pd.Index([UNKNOWN, *shape.categories[name]]))
        for name, code in zip(shape.categories, codes, strict=True)
    }
    return table.assign(**named) if named else table
