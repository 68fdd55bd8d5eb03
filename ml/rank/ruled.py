"""The draw under rules: `ml.draw`, position after position, from those whom the rules let stand there.

The softmax looks at score - strength · redundancy with what stands on the page already. Temperature, floor
and ε are those of `ml.draw`, over who may stand at the position, and so are the steps of 2⁻²⁴ that make
propensities exact. A pinned widget has propensity 1. Without rules every function is that of `ml.draw` or
`ml.marginals`.
"""

from dataclasses import asdict
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ml import draw as free
from ml.draw import NOBODY, STEPS, DrawRule, Slates, checked, weigh
from ml.marginals import marginals
from ml.normals import uniform_of
from ml.randomness import stream_key
from ml.rank.redundancy import add, nothing_yet
from ml.rank.rules import Rules, begin, options, place

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)

Scores = NDArray[np.floating]
Flags = NDArray[np.bool_]


class _Page(NamedTuple):
    """What a page that is being filled is known by: scratch, made once and used for row after row."""

    left: Any
    counts: Any
    allowed: Any
    values: Any
    odds: Any
    weights: Any
    cost: Any
    residual: Any
    components: Any


def draw(
    scores: Scores, eligible: Flags, *, rule: DrawRule, uniforms: NDArray[np.float64], rules: Rules | None
) -> Slates:
    """Draw one slate a row, as long as the (n, positions) uniform numbers; see `ml.draw.draw`."""
    if rules is None:
        return free.draw(scores, eligible, positions=uniforms.shape[1], uniforms=uniforms, **asdict(rule))
    values = _checked(scores, eligible, rule, rules)
    if uniforms.shape[:1] != values.shape[:1] or not ((uniforms > 0) & (uniforms < 1)).all():
        raise ValueError(f"uniforms must have shape ({len(values)}, positions), all between 0 and 1")
    slates = np.full(uniforms.shape, NOBODY, dtype=np.int32)
    propensities = np.ones(uniforms.shape, dtype=np.float32)
    _draw(values, eligible, _numbers(rule), rules.arrays, uniforms, slates, propensities)
    return Slates(slates, propensities)


def slate_propensities(
    scores: Scores, eligible: Flags, slates: NDArray[np.integer], *, rule: DrawRule, rules: Rules | None
) -> NDArray[np.float32]:
    """Return (n, length) probabilities of given slates or prefixes, each given the positions before it.

    A candidate that the rules do not let stand at its position has 0, and so has all that follows it;
    positions with -1 have 1. See `ml.draw.slate_propensities`.
    """
    if rules is None:
        return free.slate_propensities(scores, eligible, slates, **asdict(rule))
    values = _checked(scores, eligible, rule, rules)
    if slates.ndim != 2 or len(slates) != len(values):
        raise ValueError(f"slates must have shape ({len(values)}, length), not {slates.shape}")
    if slates.size and (slates.min() < NOBODY or slates.max() >= values.shape[1]):
        raise ValueError(f"slates must name columns 0 to {values.shape[1] - 1}, or -1 for none")
    return _along(values, eligible, rule, rules, slates, np.zeros((1, values.shape[1])))[0]


def first_position_probabilities(
    scores: Scores, eligible: Flags, *, rule: DrawRule, rules: Rules | None
) -> NDArray[np.float64]:
    """Return the (n, k) probabilities that the first position is drawn from."""
    if rules is None:
        return free.first_position_probabilities(scores, eligible, **asdict(rule))
    values = _checked(scores, eligible, rule, rules)
    probabilities = np.zeros((len(values), 1, values.shape[1]))
    _simulate(
        values, eligible, _numbers(rule), rules.arrays, 1, _keys(len(values)), _NO_STREAM, probabilities
    )
    return probabilities[:, 0]


def position_means(
    scores: Scores,
    eligible: Flags,
    *,
    positions: int,
    rule: DrawRule,
    rules: Rules | None,
    draws: int,
    seed: int,
    keys: NDArray[np.uint64],
) -> NDArray[np.float64]:
    """Return (n, positions, k) propensities by position, simulated; see `ml.marginals.marginals`."""
    if rules is None:
        return marginals(
            scores, eligible, positions=positions, rule=rule, draws=draws, seed=seed, keys=keys
        ).means
    values = _checked(scores, eligible, rule, rules)
    k0, k1 = stream_key(seed, "", "marginals")
    means = np.zeros((len(values), positions, values.shape[1]))
    _simulate(
        values, eligible, _numbers(rule), rules.arrays, draws, keys, (np.uint64(k0), np.uint64(k1)), means
    )
    return means


def expected_along(
    scores: Scores,
    eligible: Flags,
    slates: NDArray[np.integer],
    worths: NDArray[np.floating],
    *,
    rule: DrawRule,
    rules: Rules,
) -> NDArray[np.float64]:
    """Return (n, length) Σₐ π(a | x, a₁ … aₖ₋₁) worth(a) along logged prefixes; 0 at empty positions.

    A prefix that the rules forbid has no probability: it has 0, too.
    """
    values = _checked(scores, eligible, rule, rules)
    return _along(values, eligible, rule, rules, slates, worths)[1]


def _along(
    values: NDArray[np.floating],
    eligible: NDArray[np.bool_],
    rule: DrawRule,
    rules: Rules,
    slates: NDArray[np.integer],
    worths: NDArray[np.floating],
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Walk along slates; return (n, length) propensities, and expected worths of what could stand there."""
    propensities, expected = np.ones(slates.shape, dtype=np.float32), np.zeros(slates.shape)
    logged, of_all = slates.astype(np.int32), worths.astype(np.float64)
    _walk(values, eligible, _numbers(rule), rules.arrays, logged, of_all, propensities, expected)
    return propensities, expected


_NO_STREAM = (np.uint64(0), np.uint64(0))


def _keys(rows: int) -> NDArray[np.uint64]:
    return np.zeros(rows, dtype=np.uint64)


def _numbers(rule: DrawRule) -> tuple[float, float, float]:
    return float(rule.temperature), float(rule.floor), float(rule.epsilon)


def _checked(scores: Scores, eligible: Flags, rule: DrawRule, rules: Rules) -> NDArray[np.float64]:
    values = checked(scores, eligible, rule.temperature, rule.floor, rule.epsilon)
    if values.shape[1] != len(rules.themes):
        raise ValueError(f"the rules are about {len(rules.themes)} candidates, not {values.shape[1]}")
    return values


@numba.njit(cache=True, nogil=True)
def _page(k, positions, rules):  # type: ignore[no-untyped-def]
    return _Page(
        np.zeros(k, dtype=np.bool_),
        np.zeros(len(rules.caps), dtype=np.int64),
        np.zeros(k, dtype=np.bool_),
        np.zeros(k),
        np.zeros(k),
        np.zeros(k, dtype=np.int64),
        np.zeros(k),
        np.zeros(k),
        np.zeros((positions, k)),
    )


@numba.njit(cache=True, nogil=True)
def _begin(eligible, rules, page):  # type: ignore[no-untyped-def]
    begin(eligible, rules, page.left, page.counts)
    nothing_yet(page.cost, page.residual, page.components)


@numba.njit(cache=True, nogil=True)
def _weigh(scores, eligible, position, slate, numbers, rules, page):  # type: ignore[no-untyped-def]
    """Fill the page's weights, in steps of 2⁻²⁴, of who may stand at a position; return how many may."""
    if options(position, slate, eligible, rules, page.left, page.allowed) == 0:
        return 0
    for column in range(len(scores)):
        page.values[column] = scores[column] - rules.strength * page.cost[column]
    return weigh(page.values, page.allowed, numbers[0], numbers[1], numbers[2], page.odds, page.weights)


@numba.njit(cache=True, nogil=True)
def _place(chosen, position, eligible, rules, page):  # type: ignore[no-untyped-def]
    place(chosen, eligible, rules, page.left, page.counts)
    if rules.kind:
        add(chosen, position, rules, page.cost, page.residual, page.components)


@numba.njit(cache=True, nogil=True)
def _drawn(weights, spot):  # type: ignore[no-untyped-def]
    chosen = 0
    passed = weights[0]
    while passed <= spot:
        chosen += 1
        passed += weights[chosen]
    return chosen


@numba.njit(cache=True, nogil=True)
def _draw(scores, eligible, numbers, rules, uniforms, slates, propensities):  # type: ignore[no-untyped-def]
    page = _page(scores.shape[1], slates.shape[1], rules)
    for row in range(scores.shape[0]):
        _begin(eligible[row], rules, page)
        for position in range(slates.shape[1]):
            if _weigh(scores[row], eligible[row], position, slates[row], numbers, rules, page) == 0:
                continue
            chosen = _drawn(page.weights, uniforms[row, position] * STEPS)
            slates[row, position] = chosen
            propensities[row, position] = page.weights[chosen] / STEPS
            _place(chosen, position, eligible[row], rules, page)


@numba.njit(cache=True, nogil=True)
def _walk(scores, eligible, numbers, rules, slates, worths, propensities, expected):  # type: ignore[no-untyped-def]
    page = _page(scores.shape[1], slates.shape[1], rules)
    for row in range(scores.shape[0]):
        worth = worths[min(row, len(worths) - 1)]
        _begin(eligible[row], rules, page)
        for position in range(slates.shape[1]):
            chosen = slates[row, position]
            if chosen < 0:
                continue
            count = _weigh(scores[row], eligible[row], position, slates[row], numbers, rules, page)
            if count == 0 or not page.allowed[chosen]:
                propensities[row, position:] = 0.0
                break
            for column in range(scores.shape[1]):
                expected[row, position] += page.weights[column] / STEPS * worth[column]
            propensities[row, position] = page.weights[chosen] / STEPS
            _place(chosen, position, eligible[row], rules, page)


@numba.njit(cache=True, nogil=True)
def _simulate(scores, eligible, numbers, rules, draws, keys, stream, means):  # type: ignore[no-untyped-def]
    page = _page(scores.shape[1], means.shape[1], rules)
    slate = np.full(means.shape[1], -1, dtype=np.int32)
    for row in range(scores.shape[0]):
        low, high = keys[row] & _LOW, keys[row] >> _SHIFT
        for number in range(draws):
            slate[:] = -1
            _begin(eligible[row], rules, page)
            for position in range(means.shape[1]):
                if _weigh(scores[row], eligible[row], position, slate, numbers, rules, page) == 0:
                    continue
                for column in range(scores.shape[1]):
                    means[row, position, column] += page.weights[column] / STEPS / draws
                if position + 1 < means.shape[1]:
                    at = np.uint64(position)
                    spot = uniform_of(low, high, np.uint64(number), at, stream[0], stream[1])
                    slate[position] = _drawn(page.weights, spot * STEPS)
                    _place(slate[position], position, eligible[row], rules, page)
