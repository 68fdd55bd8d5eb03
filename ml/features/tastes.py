"""What a subject clicks wherever it stands, and what kind of product it deals with, as of the end of a day.

Both are sums of daily rows over whole numbers, so values depend neither on the order of rows nor on which
days are computed together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.features.population import MICRO

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TASTE_DAYS = 84
"""What is older counts no more."""
CURVE_DAYS = 28
"""Days of servings that an examination curve is estimated on."""
PRIOR_LOOKS = 20.0
"""A click rate counts the population's rate as so many looks of the subject's own."""
GRID = 1 << 18
"""Vectors lie on multiples of 2⁻¹⁶ and weights on quarters: their products are whole multiples of 2⁻¹⁸."""
DECAY_GRID = 1 << 16


@dataclass(frozen=True)
class Tastes:
    """Daily rows of subjects, n rows sorted by subject and then day.

    Args:
        subject: number of the row's subject, 0 … subjects - 1, non-decreasing, (n,).
        day: day number, (n,).
        clicks: (row, arm code, clicks, looks in millionths): four arrays of equal length.
        weight: sum of the interactions' weights, in multiples of 2⁻¹⁸, (n,).
        sums: Σ weight · product vector, in the same, (n, dimensions).
        subjects: number of subjects.

    """

    subject: Integers
    day: Integers
    clicks: tuple[Integers, Integers, Integers, Integers]
    weight: Integers
    sums: Integers
    subjects: int

    def rows(self, days: Integers) -> Integers:
        """Index after the last row of each subject up to each day, (subjects, days)."""
        width = int(max(self.day.max(initial=0), days.max(initial=0))) + 1
        start = np.arange(self.subjects, dtype=np.int64)[:, None] * width
        keys = self.subject * width + self.day
        found = np.searchsorted(keys, start + np.maximum(days, -1)[None, :], side="right")
        return found.astype(np.int64)


def click_rates(tastes: Tastes, days: Integers, population: Floats) -> Floats:
    """Return (clicks + 20·γ) / (looks + 20) of the last 84 days, (subjects, days, arms); NaN without a look.

    Looks are servings weighted by the probability that their position is examined: the click rate of the
    position-based model (`ml.position_bias.click_rate`), shrunk to the population's.

    population: γ of each arm as of each day, (days, arms), NaN where nobody looked.
    """
    row, arm, clicks, looks = tastes.clicks
    shape = (len(tastes.day), population.shape[1])
    upto, before = tastes.rows(days), tastes.rows(days - TASTE_DAYS)
    counted, looked = (_between(_table(row, arm, values, shape), before, upto) for values in (clicks, looks))
    looked_at = looked / MICRO
    rate = (counted + PRIOR_LOOKS * population[None]) / (looked_at + PRIOR_LOOKS)
    return np.where(looked > 0, rate, np.nan)


def population_rates(days: Integers, stat_days: Integers, clicks: Integers, looks: Integers) -> Floats:
    """Return clicks / looks of the last 84 days as of each of `days`, (days, arms), NaN where nobody looked.

    stat_days: sorted, (n,). clicks, looks: by day and arm, looks in millionths, (n, arms).
    """
    upto = np.searchsorted(stat_days, days, side="right")
    before = np.searchsorted(stat_days, days - TASTE_DAYS, side="right")
    counted, looked = _between(clicks, before, upto), _between(looks, before, upto) / MICRO
    return np.where(looked > 0, counted / np.where(looked > 0, looked, 1.0), np.nan)


def decayed_means(tastes: Tastes, days: Integers, half_life_days: float) -> Floats:
    """Return Σ ω sums / Σ ω weight with ω = 2^(-age / half life), (subjects, days, dimensions).

    Age is in days, the day itself 0, up to 84; ω is rounded to 2⁻¹⁶. NaN where nothing counts.
    """
    decay = np.round(DECAY_GRID * np.exp2(-np.arange(TASTE_DAYS) / half_life_days)).astype(np.int64)
    found = np.full((tastes.subjects, len(days), tastes.sums.shape[1]), np.nan)
    for place, day in enumerate(days):
        at = np.array([day])
        upto, before = tastes.rows(at), tastes.rows(at - TASTE_DAYS)
        aged = decay[np.clip(day - tastes.day, 0, TASTE_DAYS - 1)]
        total = _between(tastes.weight * aged, before, upto)
        sums = _between(tastes.sums * aged[:, None], before, upto)
        found[:, place] = np.where(total > 0, sums[:, 0] / np.where(total > 0, total, 1), np.nan)
    return found


def _between(values: Integers, first: Integers, last: Integers) -> Integers:
    """Sum of the rows from each `first` to before each `last`."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]), dtype=np.int64)
    np.cumsum(values, axis=0, out=sums[1:])
    difference: Integers = sums[last] - sums[first]
    return difference


def _table(row: Integers, column: Integers, values: Integers, shape: tuple[int, int]) -> Integers:
    table = np.zeros(shape, dtype=np.int64)
    table[row, column] = values
    return table
