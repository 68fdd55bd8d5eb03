"""How much of the looks at a page a policy gives each widget: its marginals by position, weighed by sight."""

import numpy as np
from numpy.typing import NDArray

from ml.draw import NOBODY, DrawRule
from ml.ope.log import Floats
from ml.ope.slates import Exposures
from ml.rank.ruled import position_means
from ml.rank.rules import Rules

DRAWS = 32
"""Draws that a serving's marginals are simulated from: their error is small beside one logged slate's."""


def exposures(
    values: NDArray[np.floating],
    slates: NDArray[np.integer],
    rule: DrawRule,
    seen: Floats,
    predictions: NDArray[np.floating] | None,
    *,
    seed: int,
    keys: NDArray[np.uint64],
    rules: Rules | None = None,
) -> Exposures:
    """Return the exposures of the logged widgets under a policy, and what a model expects of it.

    Parameters
    ----------
    values
        (n, k) what the policy draws by.
    slates
        (n, K) columns of the logged widgets, -1 where there is none.
    rule
        how the policy draws.
    seen
        (K,) chance that each position is seen.
    predictions
        (n, k) r̂, made without the rewards of these rows; None without a model.
    seed, keys
        of the simulation, as for `ml.marginals.marginals`.
    rules
        under which the policy draws.

    """
    of_all = of_widgets(values, rule, seen, seed=seed, keys=keys, rules=rules)
    return of_logged(of_all, slates, seen, predictions)


def of_widgets(
    values: NDArray[np.floating],
    rule: DrawRule,
    seen: Floats,
    *,
    seed: int,
    keys: NDArray[np.uint64],
    rules: Rules | None = None,
    eligible: NDArray[np.bool_] | None = None,
) -> Floats:
    """Return the (n, k) exposures of all widgets under a policy, of those that are eligible."""
    everyone = np.ones(values.shape, dtype=np.bool_) if eligible is None else eligible
    means = position_means(
        values, everyone, positions=len(seen), rule=rule, rules=rules, draws=DRAWS, seed=seed, keys=keys
    )
    return of_marginals(means, seen)


def of_marginals(means: Floats, seen: Floats) -> Floats:
    """Return the exposures of a policy whose (n, K, k) marginals by position are known; else as `of_widgets`.

    Raises
    ------
    ValueError
        When `seen` is not a number a position.

    """
    if seen.shape != means.shape[1:2]:
        raise ValueError(f"seen must have shape {means.shape[1:2]}, not {seen.shape}")
    shares = seen / seen[0] if seen[0] > 0 else np.ones(len(seen))
    return np.asarray(np.einsum("nka,k->na", means, shares))


def of_logged(
    of_all: Floats,
    slates: NDArray[np.integer],
    seen: Floats,
    predictions: NDArray[np.floating] | None,
) -> Exposures:
    """Return what the estimator needs of the (n, k) exposures of all widgets."""
    if seen.shape != slates.shape[1:]:
        raise ValueError(f"seen must have shape {slates.shape[1:]}, not {seen.shape}")
    logged = _at(of_all, slates, empty=np.nan)
    if predictions is None:
        return Exposures(logged)
    modelled = seen[0] * (of_all * predictions).sum(axis=1)
    return Exposures(logged, _at(predictions, slates, empty=0.0), modelled)


def _at(values: NDArray[np.floating], slates: NDArray[np.integer], *, empty: float) -> Floats:
    """Pick from (n, k) the (n, K) logged columns; `empty` where there is none."""
    return np.where(slates == NOBODY, empty, np.take_along_axis(values, np.maximum(slates, 0), axis=1))
