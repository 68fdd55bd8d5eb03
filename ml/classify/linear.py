"""The small model: logistic regression (rewards: ridge) on a few features, scaled, the missing ones flagged.

What is missing has the mean's place (0 after scaling) and a flag of its own. Counts and money go in as
sign(x)·log(1 + |x|), which keeps the heaviest buyers from ruling the fit.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from ml.classify.examples import Codes, Examples, Floats, Task


class Linear:
    """Coefficients over (place, center, scale) of each feature: x, then flags, then 1."""

    def __init__(
        self, task: Task, places: Sequence[int], centers: Floats, scales: Floats, weights: Floats
    ) -> None:
        self.task: Task = task
        self.places = list(places)
        self.centers = centers
        self.scales = scales
        self.weights = weights

    @classmethod
    def fit(cls, train: Examples, *, features: Sequence[str], ridge: float = 1.0) -> Self:
        """Learn from the features named, of `train`."""
        shape = train.shape
        places = [shape.features.index(name) for name in features]
        taken = _logs(train.features[:, places])
        centers = np.nan_to_num(np.nanmean(taken, axis=0))
        scales = np.nanstd(taken, axis=0)
        scales = np.where(np.nan_to_num(scales) > 0, np.nan_to_num(scales), 1.0)
        made = cls(shape.task, places, centers, scales, np.empty((0, 0)))
        x = made._x(train.features)[:, :-1]
        if shape.task == "classes":
            fitted = LogisticRegression(C=1 / ridge, max_iter=500).fit(
                x, train.targets.argmax(axis=1), sample_weight=train.weights.max(axis=1)
            )
            coefficients, intercepts = _all_classes(fitted, len(shape.classes))
            made.weights = np.column_stack([coefficients, intercepts])
            return made
        rows = []
        for number in range(len(shape.classes)):
            known = ~np.isnan(train.targets[:, number])
            kind = (
                Ridge(alpha=ridge)
                if shape.task == "rewards"
                else LogisticRegression(C=1 / ridge, max_iter=500)
            )
            fitted = kind.fit(
                x[known], train.targets[known, number], sample_weight=train.weights[known, number]
            )
            rows.append([*np.ravel(fitted.coef_), *np.ravel(fitted.intercept_)])
        made.weights = np.array(rows)
        return made

    def predict(self, features: NDArray[np.float32], codes: Codes) -> Floats:  # noqa: ARG002
        """Return (n, c)."""
        z = self._x(features) @ self.weights.T
        if self.task == "rewards":
            return z
        if self.task == "labels":
            return 1 / (1 + np.exp(-z))
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def dump(self) -> bytes:
        """Return its parameters as JSON."""
        told = {
            "task": self.task,
            "places": self.places,
            "centers": self.centers.tolist(),
            "scales": self.scales.tolist(),
            "weights": self.weights.tolist(),
        }
        return json.dumps(told).encode()

    def digest(self) -> str:
        """Return the hash of its parameters."""
        return hashlib.blake2b(self.dump(), digest_size=16).hexdigest()

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Make one of `dump`'s bytes."""
        told = json.loads(data)
        arrays = (np.array(told[name]) for name in ("centers", "scales", "weights"))
        return cls(told["task"], told["places"], *arrays)

    def _x(self, features: NDArray[np.float32]) -> Floats:
        z = (_logs(features[:, self.places]) - self.centers) / self.scales
        missing = np.isnan(z)
        return np.column_stack([np.where(missing, 0.0, z), missing.astype(np.float64), np.ones(len(z))])


def _logs(values: NDArray[np.float32]) -> Floats:
    wide = values.astype(np.float64)
    return np.sign(wide) * np.log1p(np.abs(wide))


def _all_classes(fitted: LogisticRegression, classes: int) -> tuple[Floats, Floats]:
    """Return coefficients by class; scikit-learn has one row where there are two."""
    if classes == 2 and len(fitted.coef_) == 1:
        return np.vstack([-fitted.coef_, fitted.coef_]) / 2, np.concatenate(
            [-fitted.intercept_, fitted.intercept_]
        ) / 2
    return fitted.coef_, fitted.intercept_
