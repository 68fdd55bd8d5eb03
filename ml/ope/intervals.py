"""Intervals of a value from its terms: Student's t and empirical Bernstein, by cluster."""

from typing import NamedTuple

import numpy as np
from scipy import special

from ml.ope.log import Floats, Integers
from ml.ope.terms import Terms, by_cluster, simulation_error


class Interval(NamedTuple):
    """An estimate and the ends of its interval, in units of reward; `error` is its standard error."""

    value: float
    lower: float
    upper: float
    error: float

    @classmethod
    def around(cls, value: float, resampled: Floats, level: float) -> "Interval":
        """Return the interval that holds the middle `level` of resampled values (percentiles)."""
        tail = 100 * (1 - checked(level)) / 2
        lower, upper = np.percentile(resampled, [tail, 100 - tail])
        return cls(value, float(lower), float(upper), float(np.std(resampled, ddof=1)))


def student_t(terms: Terms, clusters: Integers | None = None, *, level: float = 0.95) -> Interval:
    """Return V̂ ± t · error, with error² = c / (c - 1) · Σ_c (Σᵢ∈c ψᵢ)² / n² over c clusters.

    ψ is the influence of the terms, so a normaliser's own error is in it (the delta method); t has c - 1
    degrees of freedom. Liang, Zeger 1986: Longitudinal data analysis using generalized linear models, for
    independent clusters; the factor is the usual one for few of them.
    """
    (sums,) = by_cluster([terms.influence], len(terms), clusters)
    count = len(sums)
    if count < 2:
        raise ValueError("an interval needs at least 2 clusters")
    variance = count / (count - 1) * np.sum(sums**2) / len(terms) ** 2
    error = float(np.sqrt(variance + simulation_error(terms, clusters) ** 2))
    half = quantile_t(level, count - 1) * error
    return Interval(terms.value, terms.value - half, terms.value + half, error)


def empirical_bernstein(
    terms: Terms, clusters: Integers | None = None, *, low: float, high: float, level: float = 0.95
) -> Interval:
    """Return an interval that holds at any n, for terms whose rows lie between `low` and `high`.

    For n independent numbers of [0, 1] and their sample variance s², with probability 1 - δ each side,
    |mean - V| ≤ √(2 s² ln(2/δ) / n) + 7 ln(2/δ) / (3 (n - 1)).
    Maurer, Pontil 2009: Empirical Bernstein bounds and sample variance penalization, theorem 4, with half of
    1 - level for each side. Clusters are the independent numbers: their sums lie between the bounds times the
    rows of the largest one. That size, and how many clusters and rows there are, is taken as given: who comes
    how often is not what is estimated.

    Parameters
    ----------
    terms
        terms of a plain mean; a self-normalised value has no bound of this kind.
    clusters
        (n,) codes of what is independent; None for rows.
    low, high
        bounds that hold before anything is seen, such as 0 and largest weight × largest reward; the largest
        weight is 1 / floor of the draw. Not the smallest and largest that were seen.
    level
        probability that the interval holds the value.

    Raises
    ------
    ValueError
        When the terms are normalised, or a row lies outside the bounds.

    """
    if not terms.is_mean:
        raise ValueError("an empirical Bernstein bound needs a mean; a self-normalised value is none")
    values = terms.contributions
    outside = (values < low) | (values > high)
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(f"terms, row {row}: {values[row]:.6g}, but the bounds are {low:.6g} to {high:.6g}")
    sizes, sums = by_cluster([None, values], len(terms), clusters)
    count, rows = len(sums), len(terms)
    if count < 2:
        raise ValueError("an interval needs at least 2 clusters")
    most = sizes.max()
    span = most * max(high, 0.0) - most * min(low, 0.0) if clusters is not None else high - low
    scaled = sums / span
    delta = (1 - checked(level)) / 2
    logarithm = np.log(2 / delta)
    half = np.sqrt(2 * scaled.var(ddof=1) * logarithm / count) + 7 * logarithm / (3 * (count - 1))
    noise = simulation_error(terms, clusters) * float(special.ndtri(1 - delta))
    half = float(half) * span * count / rows + noise
    value = terms.value
    error = float(np.sqrt(sums.var(ddof=1) * count) / rows)
    return Interval(value, value - half, value + half, error)


def quantile_t(level: float, freedom: int) -> float:
    """Return how many standard errors wide half an interval of Student's t is."""
    return float(special.stdtrit(freedom, (1 + checked(level)) / 2))


def checked(level: float) -> float:
    """Refuse a level that is no probability."""
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval lies between 0 and 1, not {level}")
    return level
