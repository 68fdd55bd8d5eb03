"""What estimates leave when summed over clusters: totals and cross products, a few numbers that add.

With u_c the sums of a cluster's columns (the first counts its rows), Σ_c u_c and Σ_c u_c u_cᵀ are enough for
the value of every estimate, for its Student's t interval by cluster, and for that of any difference: a
value's influence is a linear combination a of columns, so its variance is aᵀ (Σ_c u_c u_cᵀ) a. They add over
disjoint sets of clusters, so workers sum what they have, and what is left to do does not grow with clusters.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.ope.intervals import Interval, quantile_t
from ml.ope.log import Floats, Integers
from ml.ope.terms import Recipe, Terms, distinct_columns


@dataclass(frozen=True, eq=False)
class Sums:
    """Several estimates of the same rows, summed over clusters.

    Attributes
    ----------
    recipes
        by name of an estimate (sign, numerator's column, normaliser's column) of its parts.
    totals
        (m,) Σ_c u_c; column 0 counts rows.
    products
        (m, m) Σ_c u_c u_cᵀ.
    clusters
        how many.

    """

    recipes: Mapping[str, Recipe]
    totals: Floats
    products: Floats
    clusters: int

    @classmethod
    def of(cls, terms: Mapping[str, Terms], clusters: Integers | None) -> "Sums":
        """Sum terms of the same rows. A cluster must not be split over several sums that are then added."""
        return Addends.of(terms, clusters).sums()

    def __add__(self, other: Self) -> Self:
        """Return the sums over both sets of clusters."""
        if self.recipes != other.recipes:
            raise ValueError("sums of different estimates do not add")
        return type(self)(
            self.recipes,
            self.totals + other.totals,
            self.products + other.products,
            self.clusters + other.clusters,
        )

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.totals[0])

    def value(self, name: str) -> float:
        """Return an estimate; NaN where a normaliser is 0."""
        return self._influence(name)[0]

    def interval(self, name: str, minus: str | None = None, *, level: float = 0.95) -> Interval:
        """Return an estimate, or its difference to another, with Student's t by cluster.

        As `ml.ope.intervals.student_t`; without an interval (NaN) where there are fewer than 2 clusters.
        """
        value, along = self._influence(name)
        if minus is not None:
            other, against = self._influence(minus)
            value, along = value - other, along - against
        if self.clusters < 2:
            return Interval(value, np.nan, np.nan, np.nan)
        square = self.clusters / (self.clusters - 1) * float(along @ self.products @ along)
        error = float(np.sqrt(max(square, 0.0))) / self.rows
        half = quantile_t(level, self.clusters - 1) * error
        return Interval(value, value - half, value + half, error)

    def _influence(self, name: str) -> tuple[float, Floats]:
        value, along = 0.0, np.zeros(len(self.totals))
        with np.errstate(invalid="ignore", divide="ignore"):
            for sign, above, below in self.recipes[name]:
                ratio = self.totals[above] / self.totals[below]
                mean = self.totals[below] / self.totals[0]
                value += sign * ratio
                along[above] += sign / mean
                along[below] -= sign * ratio / mean
        return float(value), along


@dataclass(frozen=True, eq=False)
class Addends:
    """The columns of several estimates, row by row: summed over any of the rows, worked out once.

    Attributes
    ----------
    recipes
        as those of `Sums`.
    columns
        (n, m) rows in the order of their clusters; column 0 is 1.
    clusters
        (n,) codes, never falling.
    order
        (n,) which row of the terms each is.

    """

    recipes: Mapping[str, Recipe]
    columns: Floats
    clusters: Integers
    order: Integers

    @classmethod
    def of(cls, terms: Mapping[str, Terms], clusters: Integers | None) -> Self:
        """Line up the distinct columns of terms of the same rows."""
        recipes, found = distinct_columns(list(terms.values()))
        rows = len(next(iter(terms.values())))
        codes = np.arange(rows) if clusters is None else clusters
        order = np.argsort(codes, kind="stable")
        columns = np.ones((rows, 1 + len(found)))
        for place, column in enumerate(found, 1):
            columns[:, place] = column[order]
        return cls(dict(zip(terms, recipes, strict=True)), columns, codes[order], order)

    def sums(self, wanted: NDArray[np.bool_] | None = None) -> Sums:
        """Sum rows: those wanted (n,) of the terms, all by default."""
        columns, clusters = self.columns, self.clusters
        if wanted is not None:
            kept = wanted[self.order]
            columns, clusters = columns[kept], clusters[kept]
        by_cluster = np.add.reduceat(columns, _starts(clusters), axis=0) if len(clusters) else columns
        return Sums(self.recipes, by_cluster.sum(axis=0), by_cluster.T @ by_cluster, len(by_cluster))

    def largest(self, name: str, wanted: NDArray[np.bool_] | None = None) -> float:
        """Return the largest numerator of an estimate's first part among rows (n,) of the terms."""
        column = self.columns[:, self.recipes[name][0][1]]
        return float((column if wanted is None else column[wanted[self.order]]).max())

    def growing(self, days: Integers, count: int) -> Iterator[tuple[Sums, Floats]]:
        """Sum rows up to each day, over all days so far.

        days : (n,) codes of the terms' rows, from 0 below `count`.

        Yields after each day the sums, and by cluster the columns so far (clusters without rows are 0).
        """
        width = int(self.clusters[-1]) + 1
        so_far = np.zeros((width, self.columns.shape[1]))
        of_day = days[self.order]
        for day in range(count):
            rows = of_day == day
            clusters = self.clusters[rows]
            if len(clusters):
                starts = _starts(clusters)
                so_far[clusters[starts]] += np.add.reduceat(self.columns[rows], starts, axis=0)
            there = int(np.count_nonzero(so_far[:, 0]))
            yield Sums(self.recipes, so_far.sum(axis=0), so_far.T @ so_far, there), so_far


def _starts(clusters: Integers) -> Integers:
    return np.flatnonzero(np.diff(clusters, prepend=clusters[0] - 1))
