"""The one form that every estimator takes: a signed sum of ratios of means over rows.

    V̂ = Σⱼ ±  mean(numeratorⱼ) / mean(normaliserⱼ)

An unbiased estimator has one part without a normaliser; a self-normalised one divides by the mean of its
weights; DR adds two parts; the difference of two policies is the parts of one less those of the other. To
first order (the delta method) the value is a mean of one number a row,

    ψᵢ = Σⱼ ± (numeratorᵢⱼ - ratioⱼ · normaliserᵢⱼ) / mean(normaliserⱼ),

which is what intervals, sequences and clusters are built on; a bootstrap draws numerator and normaliser anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.ope.log import Floats, Integers

Recipe = tuple[tuple[float, int, int], ...]
"""Sign, numerator's column and normaliser's column of each part."""


class Part(NamedTuple):
    """One ratio: a numerator (n,), what normalises it (n,) or None for 1, and its sign."""

    numerator: Floats
    normaliser: Floats | None = None
    sign: float = 1.0


@dataclass(frozen=True, eq=False)
class Terms:
    """An estimate, row by row.

    Attributes
    ----------
    parts
        the ratios that it sums.
    noise
        (n,) standard deviation that each row's term has from simulation (marginals that were simulated, not
        known); None for none. It enters every interval.

    """

    parts: tuple[Part, ...]
    noise: Floats | None = field(default=None)

    @classmethod
    def mean_of(cls, *numerators: Floats) -> "Terms":
        """Return the terms of a plain mean of the sum of some columns."""
        return cls(tuple(Part(numerator) for numerator in numerators))

    def __len__(self) -> int:
        return len(self.parts[0].numerator)

    def __sub__(self, other: "Terms") -> "Terms":
        """Return the difference of two policies over the same rows: paired, row by row."""
        if len(self) != len(other):
            raise ValueError(f"terms of {len(self)} and {len(other)} rows are not of the same log")
        noises = [noise for noise in (self.noise, other.noise) if noise is not None]
        return Terms(
            self.parts + tuple(part._replace(sign=-part.sign) for part in other.parts),
            np.sqrt(np.sum(np.square(noises), axis=0)) if noises else None,
        )

    @property
    def is_mean(self) -> bool:
        """Whether no part is normalised, so that the value is a mean of independent numbers."""
        return all(part.normaliser is None for part in self.parts)

    @property
    def value(self) -> float:
        """The estimate, in units of reward."""
        return float(sum(part.sign * _ratio(part) for part in self.parts))

    @property
    def contributions(self) -> Floats:
        """(n,) numbers whose mean is the value, normalisers held fixed: what each row adds."""
        return _summed(part.sign * part.numerator / _norm(part) for part in self.parts)

    @property
    def influence(self) -> Floats:
        """(n,) ψᵢ, of mean 0: what the value owes to each row, normalisers included."""
        deviations = []
        for part in self.parts:
            ratio = _ratio(part)
            pull = ratio if part.normaliser is None else ratio * part.normaliser
            deviations.append(part.sign * (part.numerator - pull) / _norm(part))
        return _summed(deviations)


class Columns(NamedTuple):
    """The distinct columns of several terms, and how each of them is computed from sums of columns.

    sums : (m, c) float64, by column and cluster; column 0 counts the cluster's rows.
    recipes : for each of the terms, (sign, numerator's column, normaliser's column) of its parts.
    noises : for each of the terms, the standard deviation that simulation gives its value.
    """

    sums: Floats
    recipes: tuple[Recipe, ...]
    noises: tuple[float, ...]

    def values(self, sums: Floats) -> list[Floats]:
        """Return for each of the terms its (b,) values from (b, m) sums; NaN where a normaliser is 0."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return [
                np.asarray(sum(sign * sums[:, above] / sums[:, below] for sign, above, below in recipe))
                for recipe in self.recipes
            ]


def columns_of(terms: Sequence[Terms], clusters: Integers | None) -> Columns:
    """Sum the columns of several terms by cluster, each column once."""
    recipes, found = distinct_columns(terms)
    sums = by_cluster([None, *found], len(terms[0]), clusters)
    return Columns(sums, recipes, tuple(simulation_error(each, clusters) for each in terms))


def distinct_columns(terms: Sequence[Terms]) -> tuple[tuple[Recipe, ...], list[Floats]]:
    """Return how each of the terms is computed from columns of which the first is 1, and the other columns.

    Columns are told apart by where they lie in memory, since `Rows` hands the same one to many estimators. So
    recipes do not depend on what rows hold, and those of any rows are alike.
    """
    rows = len(terms[0])
    if any(len(each) != rows for each in terms):
        raise ValueError("terms that are summed together must be of the same rows")
    numbers: dict[int, int] = {}
    found: list[Floats] = []

    def number(column: Floats | None) -> int:
        if column is None:
            return 0
        where = column.__array_interface__["data"][0]
        if where not in numbers:
            found.append(column)
            numbers[where] = len(found)
        return numbers[where]

    recipes = tuple(
        tuple((part.sign, number(part.numerator), number(part.normaliser)) for part in each.parts)
        for each in terms
    )
    return recipes, found


def by_cluster(columns: Sequence[Floats | None], rows: int, clusters: Integers | None) -> Floats:
    """Return the (m, c) sums of columns by cluster; None is a column of ones, empty clusters are left out."""
    if clusters is None:
        sums = np.empty((len(columns), rows))
        for number, column in enumerate(columns):
            sums[number] = 1.0 if column is None else column
        return sums
    counts = np.bincount(clusters)
    sums = np.empty((len(columns), len(counts)))
    for number, column in enumerate(columns):
        sums[number] = counts if column is None else np.bincount(clusters, weights=column)
    return sums if counts.all() else sums[:, counts > 0]


def simulation_error(terms: Terms, clusters: Integers | None) -> float:
    """Return the standard deviation of the value from simulation; rows of a cluster may share theirs."""
    if terms.noise is None:
        return 0.0
    noise = terms.noise if clusters is None else np.bincount(clusters, weights=terms.noise)
    return float(np.sqrt(np.sum(np.square(noise))) / len(terms))


def _norm(part: Part) -> float:
    if part.normaliser is None:
        return 1.0
    norm = float(part.normaliser.mean())
    if norm == 0:
        raise ValueError(
            "no row of the log has a weight above 0: the target policy never does what was logged, "
            "so nothing can be said of it"
        )
    return norm


def _ratio(part: Part) -> float:
    return float(part.numerator.mean()) / _norm(part)


def _summed(columns: Any) -> NDArray[np.float64]:
    first, *others = list(columns)
    total = np.array(first, dtype=np.float64)
    for column in others:
        total += column
    return total
