"""Calibration of probabilities: Platt's sigmoid (Platt 1999) or isotonic regression (Zadrozny, Elkan 2002).

A calibration is fitted on the validation closing, class by class, and only kept where it helps on the half
that it was not fitted on. Of several classes the calibrated probabilities are divided by their sum.

What only fitting needs is imported there: every worker that scores would pay for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml.classify.examples import Floats, Task

LEAST = 1e-6
"""No probability is nearer to 0 or 1."""
WORTH = 1e-3
"""By so much, as a share of the log loss, a calibration must lower it to be kept."""
FEWEST = 200
"""Fewer rows than this say nothing about calibration."""


@dataclass(frozen=True)
class Calibration:
    """One class's: `platt` with (a, b) of sigmoid(a·logit(p) + b); `isotonic` with knots x₁…xₙ, y₁…yₙ."""

    kind: Literal["none", "platt", "isotonic"] = "none"
    values: tuple[float, ...] = ()

    def __call__(self, p: Floats) -> Floats:
        """Return calibrated probabilities."""
        if self.kind == "none":
            return p
        if self.kind == "platt":
            a, b = self.values
            return np.clip(1 / (1 + np.exp(-(a * logit(p) + b))), LEAST, 1 - LEAST)
        half = len(self.values) // 2
        return np.clip(np.interp(p, self.values[:half], self.values[half:]), LEAST, 1 - LEAST)


def calibrated(p: Floats, calibration: Sequence[Calibration], task: Task) -> Floats:
    """Return (n, c) predictions, each class with its own calibration."""
    if not any(one.kind != "none" for one in calibration):
        return p
    found = np.stack([one(p[:, number]) for number, one in enumerate(calibration)], axis=1)
    return found / found.sum(axis=1, keepdims=True) if task == "classes" else found


def choose(p: Floats, y: Floats, seed: int) -> Calibration:
    """Return the calibration that helps: (n,) probabilities and 0 or 1, of the validation closing.

    Each kind is fitted on one half of the rows and judged on the other, twice.
    """
    if len(p) < FEWEST or not 0 < y.mean() < 1:
        return Calibration()
    half = np.random.default_rng(seed).permutation(len(p)) % 2 == 0
    best, found = log_loss(p, y) * (1 - WORTH), Calibration()
    for fit in (_platt, _isotonic):
        apart = np.empty_like(p)
        for part in (half, ~half):
            apart[~part] = fit(p[part], y[part])(p[~part])
        if (loss := log_loss(apart, y)) < best:
            best, found = loss, fit(p, y)
    return found


def log_loss(p: Floats, y: Floats) -> float:
    """Return the mean log loss of yes/no answers."""
    q = np.clip(p, LEAST, 1 - LEAST)
    return float(-np.mean(y * np.log(q) + (1 - y) * np.log1p(-q)))


def logit(p: Floats) -> Floats:
    """Return log(p / (1 - p))."""
    q = np.clip(p, LEAST, 1 - LEAST)
    return np.log(q) - np.log1p(-q)


def _platt(p: Floats, y: Floats) -> Calibration:
    from scipy.optimize import minimize

    x = logit(p)

    def loss(ab: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = ab[0] * x + ab[1]
        gap = 1 / (1 + np.exp(-z)) - y
        return float(np.mean(np.logaddexp(0, z) - y * z)), np.array([np.mean(gap * x), np.mean(gap)])

    a, b = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return Calibration("platt", (float(a), float(b)))


def _isotonic(p: Floats, y: Floats) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    # A step at its very end would be 0 or 1 by a single row: both ends keep half a row of the other answer.
    fitted = IsotonicRegression(y_min=0.5 / len(y), y_max=1 - 0.5 / len(y), out_of_bounds="clip").fit(p, y)
    return Calibration("isotonic", (*map(float, fitted.X_thresholds_), *map(float, fitted.y_thresholds_)))
