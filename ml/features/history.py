"""What is known of a subject at the end of a day, from its daily rows.

A block holds the daily rows of some subjects, whole and sorted; values are computed for every subject and
every requested day d at once, by cumulative sums and one binary search, and use rows of days up to d only.
They serve decisions of the day after, d + 1. All sums are over integers, so values do not depend on how
subjects were split into blocks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ml.features.population import MICRO, Population

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PRIOR_VISITS = 2.0
"""A category's share counts the population's habit as so many visits of the subject's own."""
PRIOR_REWARDS = 5.0
"""A mean reward counts the population's mean as so many seen positions of the subject's own."""
LIFT_FLOOR = 0.01


class Declaration(Protocol):
    """A number made of a subject's daily rows: what is counted, over which days, and how."""

    @property
    def of(self) -> str | None: ...
    @property
    def window(self) -> int | None: ...
    @property
    def how(self) -> str: ...


@dataclass(frozen=True)
class Block:
    """Daily rows of subjects, n rows sorted by subject and then day, one row a subject and day.

    A subject's first row may be the sum of many days, when all windows begin later; with it, on its day, may
    be rows that take out what later ones count again: their numbers are below 0, and they have no dates.

    Args:
        subject: number of the row's subject, 0 … subjects - 1, non-decreasing, (n,).
        day: day number, (n,).
        last_active: last day with any activity: the day itself, but in a sum of many, (n,).
        visits: days on which something was bought, (n,).
        first_visit, last_visit: the first and the last of them, where there is one, (n,).
        lines, sales_cents: of that day's orders, (n,).
        categories: (row, category code, visits) of each category bought: three arrays of equal length.
        rewards: (row, arm code, seen positions, sum of rewards in millionths): four arrays of equal length.
        subjects: number of subjects.

    """

    subject: Integers
    day: Integers
    last_active: Integers
    visits: Integers
    first_visit: Integers
    last_visit: Integers
    lines: Integers
    sales_cents: Integers
    categories: tuple[Integers, Integers, Integers]
    rewards: tuple[Integers, Integers, Integers, Integers]
    subjects: int


class History:
    """A block as of the end of each of `days`: every result has the shape (subjects, days, …).

    Args:
        block: the subjects' rows.
        days: requested days as day numbers, sorted.

    """

    def __init__(self, block: Block, days: Integers) -> None:
        self.block = block
        self.days = days
        self._width = int(max(block.day.max(initial=0), days.max(initial=0))) + 1
        self._keys = block.subject * self._width + block.day

    @cached_property
    def rows(self) -> Integers:
        """Number of a subject's rows up to each day: 0 where it has no history yet."""
        return self._position(self.days) - self._start

    @cached_property
    def last_active_day(self) -> Integers:
        """Last day with any activity; -1 where there is none."""
        day = np.append(self.block.last_active, -1)
        return np.where(self.rows > 0, day[self._position(self.days) - 1], -1)

    @cached_property
    def visits(self) -> Integers:
        """Days on which the subject bought something."""
        return self.total(self.block.visits)

    def declared(self, features: Mapping[str, Declaration]) -> dict[str, Floats]:
        """Recency, frequency and monetary values, as declared: by name, NaN where they do not exist.

        sum             Σ over the last `window` days, the day itself included; over all days without a window
        per_visit       that over the visits of the same days; NaN where there are none
        any             1 where the sum is above 0, else 0
        days_since_first, days_since_last   from the first or last visit to the day that is served

        """
        first, last = self._visit_days()
        served = self.days[None, :] + 1
        values: dict[str, Floats] = {}
        for name, feature in features.items():
            if feature.how.startswith("days_since"):
                values[name] = served - (first if feature.how == "days_since_first" else last)
                continue
            counted = self._measured(feature.of, feature.window)
            if feature.how == "per_visit":
                visits = self._measured("visits", feature.window)
                counted = counted / np.where(visits > 0, visits, np.nan)
            values[name] = (counted > 0).astype(np.float64) if feature.how == "any" else counted
        return values

    def _measured(self, measure: str | None, window: int | None) -> Floats:
        columns = {"visits": self.block.visits, "lines": self.block.lines, "sales": self.block.sales_cents}
        column = columns[str(measure)]
        sums = (self.total(column) if window is None else self.window(column, window)).astype(np.float64)
        return sums / 100.0 if measure == "sales" else sums

    def category_shares(self, population: Population) -> Floats:
        """(visits with c + 2·pop_c) / (visits + 2), for each category: (subjects, days, categories)."""
        shares = PRIOR_VISITS * population.category_shares + self._category_counts(len(population.categories))
        shares /= self.visits[:, :, None] + PRIOR_VISITS
        return shares

    def reward_means(self, population: Population) -> Floats:
        """(Σ reward + 5·population's mean) / (seen + 5) for each arm, NaN where nobody has seen it yet."""
        row, arm, seen, reward = self.block.rewards
        arms = len(population.arms)
        n = self._as_of(_table(row, arm, seen, (len(self.block.day), arms)))
        total = self._as_of(_table(row, arm, reward, (len(self.block.day), arms))) / MICRO
        means: Floats = (total + PRIOR_REWARDS * population.arm_means[None, :, :]) / (n + PRIOR_REWARDS)
        return means

    def total(self, values: Integers) -> Integers:
        """Sum over all rows up to each day."""
        return self._as_of(values)

    def window(self, values: Integers, length: int) -> Integers:
        """Sum over the last `length` days, each day included."""
        cumulative = _cumulative(values)
        return cumulative[self._position(self.days)] - cumulative[self._position(self.days - length)]

    @cached_property
    def _start(self) -> Integers:
        subjects = np.arange(self.block.subjects, dtype=np.int64)
        return np.searchsorted(self.block.subject, subjects)[:, None].astype(np.int64)

    def _position(self, days: Integers) -> Integers:
        """Index after the last row of each subject up to each day."""
        subjects = np.arange(self.block.subjects, dtype=np.int64)[:, None] * self._width
        found = np.searchsorted(self._keys, subjects + np.maximum(days, -1)[None, :], side="right")
        return found.astype(np.int64)

    def _as_of(self, values: Integers) -> Integers:
        cumulative = _cumulative(values)
        return cumulative[self._position(self.days)] - cumulative[self._start]

    def _visit_days(self) -> tuple[Floats, Floats]:
        """First and last visit, NaN where there is none."""
        has_visit = self.block.visits > 0
        nth = _cumulative(has_visit.astype(np.int64))
        before, upto = nth[self._start], nth[self._position(self.days)]
        none = upto == before
        first = np.append(self.block.first_visit[has_visit].astype(np.float64), np.nan)
        last = np.append(self.block.last_visit[has_visit].astype(np.float64), np.nan)
        return np.where(none, np.nan, first[before]), np.where(none, np.nan, last[upto - 1])

    def _category_counts(self, categories: int) -> Integers:
        row, category, visits = self.block.categories
        return self._as_of(_table(row, category, visits, (len(self.block.day), categories)))


def two_strongest(shares: Floats) -> tuple[Integers, Integers]:
    """Codes of the largest and the second largest along the last axis, the lower code first among equals.

    -1 where no share above 0 is left.
    """
    if shares.shape[-1] == 0:
        none = np.full(shares.shape[:-1], -1, dtype=np.int64)
        return none, none
    first = shares.argmax(axis=-1)[..., None]
    rest = shares.copy()
    np.put_along_axis(rest, first, -1.0, axis=-1)
    second = rest.argmax(axis=-1)[..., None]
    return (
        np.where(np.take_along_axis(shares, first, axis=-1) > 0, first, -1)[..., 0],
        np.where(np.take_along_axis(rest, second, axis=-1) > 0, second, -1)[..., 0],
    )


def lift(share: Floats, population_share: Floats) -> Floats:
    """How much stronger a habit is than the population's: share / (population's share + 0.01)."""
    ratio: Floats = share / (population_share + LIFT_FLOOR)
    return ratio


def _cumulative(values: Integers) -> Integers:
    """Sums of the first 0, 1, …, n rows."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]), dtype=np.int64)
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def _table(row: Integers, column: Integers, values: Integers, shape: tuple[int, int]) -> Integers:
    table = np.zeros(shape, dtype=np.int64)
    table[row, column] = values
    return table
