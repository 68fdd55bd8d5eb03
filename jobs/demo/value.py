"""True values of policies, exact over the visits, with intervals over households.

A basket cannot react to a page, so a policy's value is how well it lists what the household was about to buy:
ranking quality, not sales uplift.
Reads, writes: nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.demo.history import Floats
from jobs.demo.replay import HOME_POSITIONS, SEEN_BASE
from jobs.demo.source import Ints

BOOTSTRAPS = 2000
DRAWS = 32
DISCOUNT = SEEN_BASE ** np.arange(HOME_POSITIONS)

Weigh = Callable[[npt.NDArray[np.bool_]], Floats]


@dataclass(frozen=True)
class Value:
    """A policy's mean reward a visit, and its gain on a baseline in percent, each with a 95 % interval."""

    policy: str
    mean: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float


def of_probabilities(rewards: Floats, probabilities: Floats) -> Floats:
    """(n,) expected reward of one position drawn by `probabilities` (n, k)."""
    return np.asarray((rewards * probabilities).sum(axis=1))


def of_layouts(rewards: Floats, layouts: Ints) -> Floats:
    """(n,) values Σₖ 0.8^k · reward of position k, of layouts (n, positions): columns of rewards (n, k)."""
    shown = np.take_along_axis(rewards, layouts, axis=1)
    return np.asarray((shown * DISCOUNT[: layouts.shape[1]]).sum(axis=1))


def of_draws(rewards: Floats, weigh: Weigh, positions: int, seed: int, draws: int = DRAWS) -> Floats:
    """(n,) expected values of layouts drawn one position after another.

    weigh: the probabilities (n, k) of the next position, given which candidates are left (n, k). The first
    position is exact; later ones are expectations over what stands there, averaged over `draws` seeded draws
    of what stands before.
    """
    rng = np.random.default_rng(seed)
    each = np.arange(len(rewards))
    total = np.zeros(len(rewards))
    for _ in range(draws if positions > 1 else 1):
        left = np.ones(rewards.shape, np.bool_)
        for position in range(positions):
            probabilities = weigh(left)
            total += DISCOUNT[position] * (rewards * probabilities).sum(axis=1)
            ahead = probabilities.cumsum(axis=1)
            spot = rng.random(len(rewards)) * ahead[:, -1]
            left[each, (ahead <= spot[:, None]).sum(axis=1)] = False
    return np.asarray(total / (draws if positions > 1 else 1))


def by_weights(weights: Floats) -> Weigh:
    """Draw without replacement by weights (n, k), renormalised over what is left."""

    def weigh(left: npt.NDArray[np.bool_]) -> Floats:
        kept = weights * left
        return np.asarray(kept / kept.sum(axis=1, keepdims=True))

    return weigh


def best_layout(rewards: Floats, positions: int) -> Ints:
    """The fixed layout of most mean reward, best first; ties to the lower column."""
    return np.argsort(-rewards.mean(axis=0), kind="stable")[:positions]


def top(scores: Floats, positions: int) -> Ints:
    """(n, positions) columns of the highest scores, best first; ties to the lower column."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :positions]


def intervals(values: Mapping[str, Floats], household: Ints, baseline: str, seed: int) -> list[Value]:
    """Mean of each policy's values (n,) and its gain on `baseline`, with intervals over resampled households.

    Whole households are drawn with replacement, the same ones for every policy, so that gains are paired.
    """
    if not len(household):
        raise ValueError("no visit to value policies on")
    names, codes = np.unique(household, return_inverse=True)
    sums = np.stack([np.bincount(codes, each, len(names)) for each in values.values()], axis=1)
    visits = np.bincount(codes, minlength=len(names))
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=BOOTSTRAPS)
    means = (draws @ sums) / (draws @ visits)[:, None]
    mean = sums.sum(axis=0) / visits.sum()
    base = list(values).index(baseline)
    gain = 100 * (mean / mean[base] - 1)
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    gain_low, gain_high = np.quantile(100 * (means / means[:, [base]] - 1), (0.025, 0.975), axis=0)
    rows = zip(values, mean, low, high, gain, gain_low, gain_high, strict=True)
    return [Value(name, *(float(number) for number in numbers)) for name, *numbers in rows]
