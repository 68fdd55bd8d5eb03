"""What a model expects of the rest of a slate, along its logged prefix: q̂ and v̂ of `cascade_dr`.

With r̂(a) the reward that the model expects of a widget when it is seen, sₖ the chance that position k is
seen, and mₖ = Σₐ π(a | x, a₁ … aₖ₋₁) r̂(a) what the target expects at position k,

    q̂ₖ(a) = sₖ r̂(a) + mₖ Σ_{j>k} sⱼ        v̂ₖ = Σₐ π(a | x, a₁ … aₖ₋₁) q̂ₖ(a) = mₖ Σ_{j≥k} sⱼ

What follows is taken to be as good as this position, whichever widget stands here: so v̂ is exactly the mean
of q̂, and cascade-DR unbiased. With one position these are the predictions of DR.
"""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from ml.draw import NOBODY, DrawRule, first_position_probabilities
from ml.ope.log import Floats
from ml.rank.ruled import expected_along
from ml.rank.rules import Rules


def along_prefixes(
    values: NDArray[np.floating],
    slates: NDArray[np.integer],
    rule: DrawRule,
    predictions: NDArray[np.floating],
    seen: Floats,
    rules: Rules | None = None,
    *,
    eligible: NDArray[np.bool_] | None = None,
) -> tuple[Floats, Floats]:
    """Return (n, K) q̂ₖ of the logged widgets and (n, K) v̂ₖ.

    Parameters
    ----------
    values
        (n, k) what the target policy draws by.
    slates
        (n, K) columns of the logged widgets, -1 where there is none.
    rule
        how the target draws.
    predictions
        (n, k) r̂, made without the rewards of these rows.
    seen
        (K,) sₖ.
    rules, eligible
        under which the target draws, and (n, k) from whom; None for no rules, and all.

    """
    if seen.shape != slates.shape[1:]:
        raise ValueError(f"seen must have shape {slates.shape[1:]}, not {seen.shape}")
    predicted, expected = np.zeros(slates.shape), np.zeros(slates.shape)
    everyone = np.ones(values.shape, dtype=np.bool_) if eligible is None else eligible
    if rules is not None:
        return _under_rules(values, everyone, slates, rule, predictions, seen, rules)
    left = everyone.copy()
    rest = np.cumsum(seen[::-1])[::-1]
    for position in range(slates.shape[1]):
        rows = np.flatnonzero(slates[:, position] != NOBODY)
        logged = slates[rows, position]
        chances = first_position_probabilities(values[rows], left[rows], **asdict(rule))
        mean = (chances * predictions[rows]).sum(axis=1)
        after = rest[position] - seen[position]
        predicted[rows, position] = seen[position] * predictions[rows, logged] + after * mean
        expected[rows, position] = rest[position] * mean
        left[rows, logged] = False
    return predicted, expected


def _under_rules(
    values: NDArray[np.floating],
    eligible: NDArray[np.bool_],
    slates: NDArray[np.integer],
    rule: DrawRule,
    predictions: NDArray[np.floating],
    seen: Floats,
    rules: Rules,
) -> tuple[Floats, Floats]:
    means = expected_along(values, eligible, slates, predictions, rule=rule, rules=rules)
    there = slates != NOBODY
    rated = np.take_along_axis(predictions, np.maximum(slates, 0), axis=1)
    rest = np.cumsum(seen[::-1])[::-1]
    predicted = np.where(there, seen * rated + (rest - seen) * means, 0.0)
    return predicted, np.where(there, rest * means, 0.0)
