"""Goals combined to one relevance, each in its own typical difference, so that weights mean something.

    relevance(a) = Σ_g w_g · v_g(a) / σ_g / Σ_g w_g

σ_g is how much goal g differs between the candidates of a row, typically: the root of the mean variance
within rows. A weight twice another's gives a typical difference in its goal twice the say, whether goals are
counted in cents or in clicks. σ is measured once on a sample and kept, so a row's relevance is its own.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Goals = Mapping[str, NDArray[np.floating]]


def typical_differences(goals: Goals, eligible: NDArray[np.bool_] | None = None) -> dict[str, float]:
    """Return σ of each goal, from (n, k) values by goal; 0 for one that never differs within a row.

    Raises
    ------
    ValueError
        On shapes that do not fit, or a value that is not finite; it names goal, row and column.

    """
    found = {}
    for name, values in goals.items():
        could = _checked(name, values, eligible)
        rows, count = could.any(axis=1), np.maximum(could.sum(axis=1, keepdims=True), 1)
        known = np.where(could, values, 0.0).astype(np.float64)
        gaps = np.where(could, known - known.sum(axis=1, keepdims=True) / count, 0.0)
        variances = (gaps**2).sum(axis=1) / count[:, 0]
        # What never differs has no variance, whatever rounding left of it.
        low, high = (np.where(could, values, fill) for fill in (np.inf, -np.inf))
        variances[low.min(axis=1) >= high.max(axis=1)] = 0.0
        found[name] = float(np.sqrt(variances[rows].mean())) if rows.any() else 0.0
    return found


def relevance(
    goals: Goals,
    weights: Mapping[str, float],
    differences: Mapping[str, float],
    eligible: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Return (n, k) relevance, in typical differences of the weighted goals; 0 for ineligible candidates.

    Parameters
    ----------
    goals
        (n, k) values by goal; higher is better.
    weights
        by goal, 0 or more, not all 0; goals without a weight do not count.
    differences
        σ by goal, from `typical_differences`; a goal with σ = 0 cannot order anything, and adds nothing.
    eligible
        (n, k) whose values are looked at; None for all.

    Raises
    ------
    ValueError
        On a weight that is negative, not finite or of an unknown goal, on weights that are all 0, or values
        as in `typical_differences`.

    """
    check_weights(weights, goals)
    shape = next(iter(goals.values())).shape
    combined, total = np.zeros(shape), sum(weights.values())
    for name, weight in sorted(weights.items()):
        could = _checked(name, goals[name], eligible)
        if goals[name].shape != shape:
            raise ValueError(f"goal {name!r} has shape {goals[name].shape}, another {shape}")
        if weight > 0 and differences[name] > 0:
            combined += np.where(could, goals[name], 0.0) * (weight / total / differences[name])
    return combined.astype(np.float32)


def check_weights(weights: Mapping[str, float], goals: Mapping[str, object]) -> None:
    """Refuse weights that cannot be, with one sentence."""
    if unknown := sorted(set(weights) - set(goals)):
        raise ValueError(f"weight of {unknown[0]!r}: there is no such goal, only {', '.join(sorted(goals))}")
    for name, weight in weights.items():
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight of {name!r} is {weight}, but a weight is a number of 0 or more")
    if not any(weights.values()):
        raise ValueError("all weights are 0: give at least one goal a weight above 0")


def _checked(
    name: str, values: NDArray[np.floating], eligible: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    could = np.ones(values.shape, dtype=np.bool_) if eligible is None else eligible
    if values.ndim != 2 or could.shape != values.shape:
        raise ValueError(f"goal {name!r} has shape {values.shape}, eligible {could.shape}: both are (n, k)")
    wrong = could & ~np.isfinite(values)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(f"goal {name!r} of candidate {column} in row {row} is {values[row, column]}")
    return could
