"""The population as of the end of each day: the prior of every subject's own numbers.

Small arrays, days × categories and days × arms, made once for an interval; a day uses days up to itself only.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MICRO = 1_000_000
"""Rewards are summed in millionths, as integers: such sums are the same in any order."""
RECENT_DAYS = 28


@dataclass(frozen=True)
class Population:
    """Shares and mean rewards by day.

    Args:
        days: day numbers, sorted, (D,).
        categories: names, sorted, C of them.
        category_shares: share of all visits with the category so far, (D, C).
        arms: 'page/widget', sorted, A of them.
        arm_means: mean reward of the arm's seen positions so far, NaN where nobody has seen it, (D, A).
        recent_arm_means: the same over the last 28 days, (D, A).

    """

    days: Integers
    categories: tuple[str, ...]
    category_shares: Floats
    arms: tuple[str, ...]
    arm_means: Floats
    recent_arm_means: Floats

    @property
    def category_codes(self) -> dict[str, int]:
        """Column of each category."""
        return {name: code for code, name in enumerate(self.categories)}

    @property
    def arm_codes(self) -> dict[str, int]:
        """Column of each arm."""
        return {name: code for code, name in enumerate(self.arms)}

    def at(self, days: slice) -> "Population":
        """The same for some of the days."""
        return Population(
            self.days[days],
            self.categories,
            self.category_shares[days],
            self.arms,
            self.arm_means[days],
            self.recent_arm_means[days],
        )


def population_as_of(
    days: Sequence[int],
    visits: Mapping[int, int],
    categories: Sequence[tuple[int, str, int]],
    rewards: Sequence[tuple[int, str, int, int]],
    shown: Collection[str] = (),
) -> Population:
    """Add up daily counts to the population as of the end of each of `days`.

    Args:
        days: requested days, sorted.
        visits: visits by day.
        categories: (day, category, visits with it).
        rewards: (day, arm, seen positions, sum of rewards in millionths).
        shown: categories that a widget shows, bought by anyone or not.

    """
    wanted = np.asarray(days, dtype=np.int64)
    visit_days = np.array(sorted(visits), dtype=np.int64)
    total = _running(visit_days, np.array([visits[int(d)] for d in visit_days], dtype=np.int64), wanted)
    names = tuple(sorted({name for _, name, _ in categories} | set(shown)))
    counts = _by_name(names, [(d, name, n) for d, name, n in categories], wanted, None)
    arms = tuple(sorted({arm for _, arm, _, _ in rewards}))
    seen = [(d, arm, n) for d, arm, n, _ in rewards]
    earned = [(d, arm, r) for d, arm, _, r in rewards]
    return Population(
        wanted,
        names,
        counts / np.maximum(total, 1)[:, None],
        arms,
        _mean(_by_name(arms, earned, wanted, None), _by_name(arms, seen, wanted, None)),
        _mean(_by_name(arms, earned, wanted, RECENT_DAYS), _by_name(arms, seen, wanted, RECENT_DAYS)),
    )


def _by_name(
    names: Sequence[str], rows: Sequence[tuple[int, str, int]], wanted: Integers, window: int | None
) -> Integers:
    """Sums by name up to each wanted day, or over the `window` days that end with it: (D, names)."""
    codes = {name: code for code, name in enumerate(names)}
    days = np.array([row[0] for row in rows], dtype=np.int64)
    code = np.array([codes[row[1]] for row in rows], dtype=np.int64)
    values = np.array([row[2] for row in rows], dtype=np.int64)
    sums = np.zeros((len(wanted), len(names)), dtype=np.int64)
    for column in range(len(names)):
        here = code == column
        order = np.argsort(days[here], kind="stable")
        day, value = days[here][order], values[here][order]
        sums[:, column] = _running(day, value, wanted)
        if window is not None:
            sums[:, column] -= _running(day, value, wanted - window)
    return sums


def _running(days: Integers, values: Integers, wanted: Integers) -> Integers:
    sums = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(values, dtype=np.int64)])
    return sums[np.searchsorted(days, wanted, side="right")]


def _mean(total: Integers, count: Integers) -> Floats:
    mean: Floats = np.where(count > 0, total / MICRO / np.maximum(count, 1), np.nan)
    return mean
