"""What estimates leave when summed over clusters: totals and cross products, a few numbers that add.

With u_c the sums of a cluster's columns (the first counts its rows), Σ_c u_c and Σ_c u_c u_cᵀ are enough for
the value of every estimate, for its Student's t interval by cluster, and for that of any difference: a
value's influence is a linear combination a of columns, so its variance is aᵀ (Σ_c u_c u_cᵀ) a. They add over
disjoint sets of clusters, so workers sum what they have, and what is left to do does not grow with clusters.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import stats

from ml.ope.intervals import Interval, checked
from ml.ope.log import Floats, Integers
from ml.ope.terms import Terms, columns_of

Recipe = tuple[tuple[float, int, int], ...]


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
    def of(cls, terms: Mapping[str, Terms], clusters: Integers | None) -> Self:
        """Sum terms of the same rows. A cluster must not be split over several sums that are then added."""
        columns = columns_of(list(terms.values()), clusters)
        return cls(
            dict(zip(terms, columns.recipes, strict=True)),
            columns.sums.sum(axis=1),
            columns.sums @ columns.sums.T,
            columns.sums.shape[1],
        )

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
        half = float(stats.t.ppf((1 + checked(level)) / 2, self.clusters - 1)) * error
        return Interval(value, value - half, value + half, error)

    def spread(self, name: str) -> float:
        """Return Σ_c (Σᵢ∈c ψᵢ)²: the variance by cluster, not yet divided by rows."""
        _, along = self._influence(name)
        return max(float(along @ self.products @ along), 0.0)

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


def growing(days: Iterable[tuple[Terms, Integers]], name: str, width: int) -> list[Sums]:
    """Return the sums of a mean after each day, over all days so far.

    Parameters
    ----------
    days
        of each day in its order the terms and their clusters, codes from 0 below `width` that mean the same
        on all days; terms must be a plain mean.
    name
        of the estimate.
    width
        number of codes.

    """
    found: list[Sums] = []
    so_far = np.zeros((width, 2))
    for terms, clusters in days:
        if not terms.is_mean:
            raise ValueError("a sequence needs a mean; a self-normalised value is none")
        so_far[:, 0] += np.bincount(clusters, minlength=width)
        so_far[:, 1] += np.bincount(clusters, weights=terms.contributions, minlength=width)
        there = int(np.count_nonzero(so_far[:, 0]))
        found.append(Sums({name: ((1.0, 1, 0),)}, so_far.sum(axis=0), so_far.T @ so_far, there))
    return found


def added(parts: Sequence[Sums]) -> Sums:
    """Return the sum of sums, in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
