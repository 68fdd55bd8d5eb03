"""How far a refit moved a policy's scores: what a night's parameters are held to before they are served."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ml.bandits import statistics


def score_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Return the root mean square change of the arms' scores, over what they were seen in, in reward.

    With Δ the change of an arm's coefficients and C its covariance, C⁻¹ is λI + Σxxᵀ, so Δᵀ C⁻¹ Δ is what the
    scores changed by, squared and summed over all it was fitted on (and λ|Δ|², which only makes it larger).
    Arms that only one of the two knows count with all of their score. 0 for policies that learn nothing.
    """
    one, other = (dict(zip(each["widgets"], _arms(each), strict=True)) for each in (before, after))
    counts = dict(zip(after["widgets"], after["n"], strict=True))
    width = len(after["theta"]) // max(len(after["widgets"]), 1)
    if not len(after["covariance"] or ()):
        return 0.0
    packed = np.asarray(after["covariance"], dtype=np.float64).reshape(len(after["widgets"]), -1)
    covariances = statistics.unpack(packed, width)
    total = 0.0
    for widget, covariance in zip(after["widgets"], covariances, strict=True):
        moved = other[widget] - one.get(widget, np.zeros(width))
        total += float(moved @ np.linalg.solve(covariance, moved)) if counts[widget] else 0.0
    return float(np.sqrt(max(total, 0.0) / max(sum(counts.values()), 1)))


def _arms(row: Mapping[str, Any]) -> np.ndarray:
    theta = np.asarray(row["theta"], dtype=np.float64)
    return theta.reshape(len(row["widgets"]), -1)
