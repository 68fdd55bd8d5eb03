"""Marginals by position: how often each candidate stands at each position of the final draw.

At the first position they are exact. At later ones they would be sums over all orders of what stands before,
so they are estimated: seeded draws of the prefix, and over them the mean of the exact conditional
propensities (Rao-Blackwell: less error than counting what was drawn), with its standard error. A row's
numbers are looked up by its key, so that they do not depend on the rows beside it.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ml.draw import STEPS, DrawRule, checked, weigh
from ml.normals import uniform_of
from ml.randomness import stream_key

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


class Marginals(NamedTuple):
    """Estimated propensities.

    means : (n, positions, k) float64; rows of a position sum to 1, or to 0 where no candidate was left.
    errors : (n, positions, k) float64, standard errors of the means; 0 at the first position.
    """

    means: NDArray[np.float64]
    errors: NDArray[np.float64]


def marginals(
    scores: NDArray[np.floating],
    eligible: NDArray[np.bool_],
    *,
    positions: int,
    rule: DrawRule,
    draws: int,
    seed: int,
    keys: NDArray[np.uint64],
) -> Marginals:
    """Estimate the marginals of n rows of k candidates from `draws` seeded draws a row.

    Parameters
    ----------
    scores, eligible
        (n, k), as for `ml.draw.draw`.
    positions
        length of a slate.
    rule
        how scores become propensities.
    draws
        how often each row's slate is drawn, 2 or more: the error falls with its square root.
    seed, keys
        the draws of row i are a function of the seed and keys[i], (n,).

    Raises
    ------
    ValueError
        As `ml.draw.draw`; and on fewer than 2 draws, or keys that are not one a row.

    """
    values = checked(scores, eligible, rule.temperature, rule.floor, rule.epsilon)
    if positions < 1 or draws < 2:
        raise ValueError(
            f"marginals need 1 position and 2 draws or more, not {positions} positions and {draws} draws"
        )
    if keys.shape != (len(values),):
        raise ValueError(f"keys must have shape ({len(values)},), not {keys.shape}")
    shape = (len(values), positions, values.shape[1])
    means, errors = np.zeros(shape), np.zeros(shape)
    k0, k1 = (np.uint64(word) for word in stream_key(seed, "", "marginals"))
    _simulate(
        values, eligible, rule.temperature, rule.floor, rule.epsilon, draws, keys, k0, k1, means, errors
    )
    return Marginals(means, errors)


@numba.njit(cache=True, nogil=True)
def _simulate(scores, eligible, temperature, floor, epsilon, draws, keys, k0, k1, means, errors):  # type: ignore[no-untyped-def]
    arms = scores.shape[1]
    odds = np.zeros(arms, dtype=np.float64)
    weights = np.zeros(arms, dtype=np.int64)
    for row in range(scores.shape[0]):
        low, high = keys[row] & _LOW, keys[row] >> _SHIFT
        mean, squares = means[row], errors[row]
        for number in range(draws):
            left = eligible[row].copy()
            for position in range(mean.shape[0]):
                if weigh(scores[row], left, temperature, floor, epsilon, odds, weights) == 0:
                    break
                spot = uniform_of(low, high, np.uint64(number), np.uint64(position), k0, k1) * STEPS
                chosen = -1
                passed = 0
                for column in range(arms):
                    p = weights[column] / STEPS
                    # Welford 1962: mean and squared deviations in one pass, without cancellation.
                    step = p - mean[position, column]
                    mean[position, column] += step / (number + 1)
                    squares[position, column] += step * (p - mean[position, column])
                    passed += weights[column]
                    if chosen < 0 and passed > spot:
                        chosen = column
                left[chosen] = False
        for position in range(mean.shape[0]):
            for column in range(arms):
                squares[position, column] = np.sqrt(squares[position, column] / (draws - 1) / draws)
