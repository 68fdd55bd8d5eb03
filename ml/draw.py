"""The last step of every ranking: a seeded draw, position after position, with exact propensities.

At each position, over the m candidates that are left,

    p = ε/m + (1 - ε) · [floor + (1 - m·floor) · softmax(score / temperature)]

so that every candidate keeps at least `floor` wherever it may stand, and the softmax always looks at those
that are left (the sequential draw of Plackett 1975 and Luce 1959, mixed with a uniform one). At temperature 0
the softmax is the best candidate, the first column among equals: with ε alone that is ε-greedy.

p is rounded to multiples of 2⁻²⁴ that sum to 1 (the largest takes what rounding left over). These are exact
as float32, and the draw compares numbers of these steps: the propensity that is stored is, to the bit, the
probability of what was drawn. Nothing here depends on the rows beside a row, so any split of the rows gives
the same draw.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

STEPS = 1 << 24
# The largest p has at least STEPS / m steps, rounding takes at most m / 2 of them: so m² < 2 · STEPS.
MOST_CANDIDATES = 5792
NOBODY = -1


@dataclass(frozen=True)
class DrawRule:
    """How scores become propensities.

    temperature : in units of the scores: a candidate better by it is drawn e times as often; 0 is greedy.
    floor : least probability of a candidate at each position; 0 lets hopeless ones vanish.
    epsilon : share of positions that are drawn uniformly.
    """

    temperature: float
    floor: float = 0.0
    epsilon: float = 0.0


class Slates(NamedTuple):
    """Drawn slates.

    slates : (n, positions) int32 columns of the candidates, -1 where no candidate was left.
    propensities : (n, positions) float32, each given the positions before it; 1 where no candidate was left.
    """

    slates: NDArray[np.int32]
    propensities: NDArray[np.float32]


def draw(
    scores: NDArray[np.floating],
    eligible: NDArray[np.bool_],
    *,
    positions: int,
    temperature: float,
    floor: float,
    uniforms: NDArray[np.float64],
    epsilon: float = 0.0,
) -> Slates:
    """Draw one slate a row.

    Parameters
    ----------
    scores
        (n, k) expected rewards; those of ineligible candidates are not looked at.
    eligible
        (n, k) which candidates may stand in the row's slate.
    positions
        length of a slate; a row with fewer eligible candidates has a shorter one.
    temperature, floor, epsilon
        see `DrawRule`.
    uniforms
        (n, positions) numbers in (0, 1), see `ml.randomness.uniform`.

    Raises
    ------
    ValueError
        On shapes that do not fit, an eligible score that is not finite (naming row and column), a temperature
        below 0, a floor that does not leave room for the candidates, or an ε outside 0 to 1.

    """
    values = checked(scores, eligible, temperature, floor, epsilon)
    if positions < 1:
        raise ValueError(f"positions must be at least 1, not {positions}")
    if uniforms.shape != (len(values), positions):
        raise ValueError(f"uniforms must have shape {(len(values), positions)}, not {uniforms.shape}")
    if uniforms.size and not ((uniforms > 0) & (uniforms < 1)).all():
        raise ValueError("uniforms must lie between 0 and 1, both excluded")
    slates = np.full(uniforms.shape, NOBODY, dtype=np.int32)
    propensities = np.ones(uniforms.shape, dtype=np.float32)
    _draw(values, eligible, temperature, floor, epsilon, uniforms, slates, propensities)
    return Slates(slates, propensities)


def slate_propensities(
    scores: NDArray[np.floating],
    eligible: NDArray[np.bool_],
    slates: NDArray[np.integer],
    *,
    temperature: float,
    floor: float,
    epsilon: float = 0.0,
) -> NDArray[np.float32]:
    """Return (n, length) probabilities of given slates (or prefixes), each given the positions before it.

    A candidate that is not eligible has propensity 0; so has all that follows it in its slate. Positions with
    -1 have 1. A slate that repeats a candidate is a ValueError.
    """
    values = checked(scores, eligible, temperature, floor, epsilon)
    if slates.ndim != 2 or len(slates) != len(values):
        raise ValueError(f"slates must have shape ({len(values)}, length), not {slates.shape}")
    if slates.size and (slates.min() < NOBODY or slates.max() >= values.shape[1]):
        raise ValueError(f"slates must name columns 0 to {values.shape[1] - 1}, or -1 for none")
    ordered = np.sort(slates, axis=1)
    repeats = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NOBODY)
    if repeats.any():
        raise ValueError(f"the slate of row {int(np.argmax(repeats.any(axis=1)))} repeats a candidate")
    propensities = np.ones(slates.shape, dtype=np.float32)
    _walk(values, eligible, temperature, floor, epsilon, slates.astype(np.int32), propensities)
    return propensities


def first_position_probabilities(
    scores: NDArray[np.floating],
    eligible: NDArray[np.bool_],
    *,
    temperature: float,
    floor: float,
    epsilon: float = 0.0,
) -> NDArray[np.float64]:
    """Return the (n, k) probabilities that the first position is drawn from; 0 for ineligible ones."""
    values = checked(scores, eligible, temperature, floor, epsilon)
    probabilities = np.zeros(values.shape, dtype=np.float64)
    _first(values, eligible, temperature, floor, epsilon, probabilities)
    return probabilities


def checked(
    scores: NDArray[np.floating],
    eligible: NDArray[np.bool_],
    temperature: float,
    floor: float,
    epsilon: float,
) -> NDArray[np.float64]:
    """Return scores as they are drawn from, in float64, or say what is wrong."""
    if scores.ndim != 2 or eligible.shape != scores.shape:
        raise ValueError(
            f"scores and eligible must have one shape (n, k), not {scores.shape} and {eligible.shape}"
        )
    if eligible.dtype != np.bool_:
        raise ValueError(f"eligible must be boolean, not {eligible.dtype}")
    if not (np.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature must be 0 or more, not {temperature}")
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon must lie in 0 to 1, not {epsilon}")
    if scores.shape[1] > MOST_CANDIDATES:
        raise ValueError(f"at most {MOST_CANDIDATES} candidates can be drawn from, not {scores.shape[1]}")
    most = int(eligible.sum(axis=1).max(initial=0))
    if not 0 <= floor * most <= 1:
        raise ValueError(
            f"floor {floor} leaves no room for {most} candidates: it must lie in 0 to {1 / most:.4g}"
        )
    wrong = eligible & ~np.isfinite(scores)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(f"the score of candidate {column} in row {row} is {scores[row, column]}")
    return np.ascontiguousarray(scores, dtype=np.float64)


@numba.njit(cache=True, nogil=True)
def weigh(scores, left, temperature, floor, epsilon, odds, weights):  # type: ignore[no-untyped-def]
    """Fill `weights` with the probabilities of those left, in steps of 2⁻²⁴; return how many are left."""
    best = -1
    count = 0
    for column in range(len(scores)):
        weights[column] = 0
        if left[column]:
            count += 1
            if best < 0 or scores[column] > scores[best]:
                best = column
    if count == 0:
        return 0
    total = 0.0
    for column in range(len(scores)):
        if left[column]:
            if temperature > 0:
                odds[column] = np.exp((scores[column] - scores[best]) / temperature)
            else:
                odds[column] = 1.0 if column == best else 0.0
            total += odds[column]
    least = epsilon / count + (1.0 - epsilon) * floor
    share = (1.0 - epsilon) * (1.0 - count * floor) / total
    sum_of_steps = 0
    largest = -1
    for column in range(len(scores)):
        if left[column]:
            weights[column] = np.int64(np.rint((least + share * odds[column]) * STEPS))
            sum_of_steps += weights[column]
            if largest < 0 or weights[column] > weights[largest]:
                largest = column
    weights[largest] += STEPS - sum_of_steps
    return count


@numba.njit(cache=True, nogil=True)
def _draw(scores, eligible, temperature, floor, epsilon, uniforms, slates, propensities):  # type: ignore[no-untyped-def]
    odds = np.zeros(scores.shape[1], dtype=np.float64)
    weights = np.zeros(scores.shape[1], dtype=np.int64)
    for row in range(scores.shape[0]):
        left = eligible[row].copy()
        for position in range(uniforms.shape[1]):
            if weigh(scores[row], left, temperature, floor, epsilon, odds, weights) == 0:
                break
            threshold = uniforms[row, position] * STEPS
            chosen = 0
            passed = weights[0]
            while passed <= threshold:
                chosen += 1
                passed += weights[chosen]
            slates[row, position] = chosen
            propensities[row, position] = weights[chosen] / STEPS
            left[chosen] = False


@numba.njit(cache=True, nogil=True)
def _walk(scores, eligible, temperature, floor, epsilon, slates, propensities):  # type: ignore[no-untyped-def]
    odds = np.zeros(scores.shape[1], dtype=np.float64)
    weights = np.zeros(scores.shape[1], dtype=np.int64)
    for row in range(scores.shape[0]):
        left = eligible[row].copy()
        for position in range(slates.shape[1]):
            chosen = slates[row, position]
            if chosen < 0:
                continue
            if not left[chosen]:
                propensities[row, position:] = 0.0
                break
            weigh(scores[row], left, temperature, floor, epsilon, odds, weights)
            propensities[row, position] = weights[chosen] / STEPS
            left[chosen] = False


@numba.njit(cache=True, nogil=True)
def _first(scores, eligible, temperature, floor, epsilon, probabilities):  # type: ignore[no-untyped-def]
    odds = np.zeros(scores.shape[1], dtype=np.float64)
    weights = np.zeros(scores.shape[1], dtype=np.int64)
    for row in range(scores.shape[0]):
        weigh(scores[row], eligible[row], temperature, floor, epsilon, odds, weights)
        for column in range(scores.shape[1]):
            probabilities[row, column] = weights[column] / STEPS
