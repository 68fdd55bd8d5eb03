"""How good predictions are, with any weights on the rows: a bootstrap is many weightings of one table.

All take p and y (n,) and w (b, n), b weightings of the rows, and return (b,).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.classify.calibration import LEAST
from ml.classify.examples import Floats, Task

BINS = 10


@dataclass(frozen=True)
class Ranked:
    """Rows in order of their prediction, with ties together: what rank metrics share.

    order : rows by rising prediction; starts : where each group of ties begins.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, p: Floats) -> "Ranked":
        """Sort the rows."""
        order = np.argsort(p, kind="stable")
        return cls(order, np.flatnonzero(np.r_[True, np.diff(p[order]) > 0]))

    def sums(self, w: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return (b, groups) weights of yes and of no."""
        yes = np.add.reduceat((w * y)[:, self.order], self.starts, axis=1)
        return yes, np.add.reduceat(w[:, self.order], self.starts, axis=1) - yes


def auc(p: Floats, y: Floats, w: Floats) -> Floats:
    """Return the area under the ROC curve: how often a yes is ranked above a no, ties half (Fawcett 2006)."""
    yes, no = Ranked.of(p).sums(w, y)
    below = np.cumsum(no, axis=1) - no
    with np.errstate(invalid="ignore", divide="ignore"):
        return (yes * (below + no / 2)).sum(axis=1) / (yes.sum(axis=1) * no.sum(axis=1))


def average_precision(p: Floats, y: Floats, w: Floats) -> Floats:
    """Return Σ (Rₖ - Rₖ₋₁) Pₖ over falling thresholds, as scikit-learn's."""
    yes, no = Ranked.of(p).sums(w, y)
    yes, no = yes[:, ::-1], no[:, ::-1]
    found = np.cumsum(yes, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = found / (found + np.cumsum(no, axis=1))
        return np.nansum(yes * precision, axis=1) / yes.sum(axis=1)


def log_loss(p: Floats, y: Floats, w: Floats) -> Floats:
    """Return the mean of -log of what the answer was given."""
    q = np.clip(p, LEAST, 1 - LEAST)
    return _mean(-(y * np.log(q) + (1 - y) * np.log1p(-q)), w)


def brier(p: Floats, y: Floats, w: Floats) -> Floats:
    """Return the mean squared difference (Brier 1950)."""
    return _mean((p - y) ** 2, w)


def calibration_error(p: Floats, y: Floats, w: Floats) -> Floats:
    """Return the expected calibration error: |mean p - mean y| over ten bins of as many rows, weighted."""
    gaps = [np.abs((w[:, rows] * (p - y)[rows]).sum(axis=1)) for rows in bins(p)]
    return np.sum(gaps, axis=0) / w.sum(axis=1)


METRICS: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "log_loss": log_loss,
    "auc": auc,
    "average_precision": average_precision,
    "brier": brier,
    "calibration_error": calibration_error,
}


def bins(p: Floats, count: int = BINS) -> list[NDArray[np.intp]]:
    """Cut rows by rising prediction into groups of as many; fewer where there are fewer rows."""
    return [rows for rows in np.array_split(np.argsort(p, kind="stable"), count) if len(rows)]


def reliability(p: Floats, y: Floats) -> list[tuple[float, float, int]]:
    """Return mean prediction, mean outcome and rows of each bin."""
    return [(float(p[rows].mean()), float(y[rows].mean()), len(rows)) for rows in bins(p)]


def gains(p: Floats, y: Floats) -> list[tuple[float, float]]:
    """Return lift, and share of all yes up to there, of each tenth of the rows, the likeliest first."""
    total, mean, found, so_far = max(y.sum(), LEAST), max(y.mean(), LEAST), [], 0.0
    for rows in reversed(bins(p)):
        so_far += float(y[rows].sum())
        found.append((float(y[rows].mean() / mean), so_far / float(total)))
    return found


def cell_losses(p: Floats, targets: Floats, task: Task) -> Floats:
    """Return (n, c) losses, NaN where the target is unknown: what a decision rests on.

    labels: log loss of each question; rewards: squared error of each action; classes: (n, 1), -log of what
    the true class was given.
    """
    if task == "rewards":
        return (p - targets) ** 2
    q = np.clip(p, LEAST, 1 - LEAST)
    if task == "classes":
        given = np.take_along_axis(q, np.nan_to_num(targets).argmax(axis=1)[:, None], axis=1)
        return np.where(np.isnan(targets).all(axis=1, keepdims=True), np.nan, -np.log(given))
    return -(targets * np.log(q) + (1 - targets) * np.log1p(-q))


def mean_loss(losses: Floats, cell_weights: Floats, w: Floats) -> Floats:
    """Return (b,) weighted means of (n, c) losses, unknown ones left out."""
    weights = np.where(np.isnan(losses), 0.0, cell_weights)
    sums, count = (weights * np.nan_to_num(losses)).sum(axis=1), weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (w @ sums) / (w @ count)


def _mean(values: Floats, w: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return (w @ values) / w.sum(axis=1)
