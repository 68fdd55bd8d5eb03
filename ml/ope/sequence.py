"""A confidence sequence: bounds and a p-value that hold however often one looks, and whenever one stops.

After each day, over all rows so far, with Sₜ = Σᵢ (dᵢ - μ) and vₜ = Σ_c (Σᵢ∈c (dᵢ - d̄))² over clusters c,

    M(s, v) = 2 √(ρ / (v + ρ)) · exp(s² / (2 (v + ρ))) · Φ(s / √(v + ρ))

is the one-sided normal mixture of Howard, Ramdas, McAuliffe, Sekhon 2021: Time-uniform, nonparametric,
nonasymptotic confidence sequences. If μ is the true mean, M reaches 1/α at any look with
probability α at most: 1/M is a p-value, and the μ with M(Sₜ(μ), vₜ) = 1/α a bound.

The mean may move: specs learn night by night. Then μₜ is the mean over all rows so far, as in Waudby-Smith,
Arbour, Sinha, Kennedy, Ramdas 2024: Time-uniform central limit theory and asymptotic confidence sequences,
and the bounds of all looks hold at once, each for its own μₜ. So each look has bounds of its own: their
maximum over looks, which a mean that stands still allows, would keep for ever what was true of another mean,
or what a log said that was too thin yet. The first look whose lower bound exceeds the margin is wrong with
probability α at most.

vₜ is estimated, so all this is asymptotic. What is rare makes it so: a mean of weighted rewards of which few
are not 0 is skewed, and before the first of them came its variance is none. So looks begin once there are
`fewest_clusters`, and `fewest_rewarded`: of either policy (Σ s)² / Σ s², with s the weighted rewards of a
cluster. From 30 on, a policy that was logged in 1 to 25 % of visits, with rewards in 1 to 30 %, passed
wrongly in at most 3 % of sequences at α = 5 %; without that, in up to 10 %.

A subject that comes back adds to its own cluster, so Sₜ is no sum of independent numbers. But its rows are
alike rather than opposed: Cov(Sₛ, Sₜ) ≥ vₛ for s < t, at least what independent days would have. By
Slepian's inequality (1962) a Gaussian process with the same variances and larger correlations crosses a
boundary no more often, so the bound holds, with the variance by cluster.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

import numpy as np
from scipy import special

from ml.ope.log import Floats, Integers

MOST_STEPS = 100


@dataclass(frozen=True)
class Look:
    """What is known after a day.

    Attributes
    ----------
    rows, clusters
        how many there are so far.
    value
        mean of all numbers so far.
    variance
        vₜ / rows: variance by cluster, for each row.
    lower, upper
        bounds of the mean, each of them with probability 1 - α over all looks.
    p_value
        of the mean being at most the margin, valid together with those of all other looks.
    rewarded
        how many clusters' weighted rewards tell of the policy of which fewer do.

    """

    rows: int
    clusters: int
    value: float
    variance: float
    lower: float
    upper: float
    p_value: float
    rewarded: float = math.inf


class SoFar(NamedTuple):
    """Numbers dᵢ of all days so far, summed: rows, clusters, Σᵢ dᵢ, vₜ = Σ_c (Σᵢ∈c (dᵢ - d̄))², rewarded."""

    rows: int
    clusters: int
    total: float
    variance: float
    rewarded: float = math.inf


@dataclass(frozen=True)
class Sequence:
    """How to look.

    Attributes
    ----------
    alpha
        probability that a bound ever fails, each side.
    margin
        what the mean must exceed, for the p-value.
    planned_rows
        about when bounds should be tightest; any choice is valid, and a tenfold error widens them by a third.
    fewest_clusters, fewest_rewarded
        looks with fewer clusters, or fewer whose rewards tell, say nothing.
    tuned_alpha
        the α at which bounds should be tightest; None for α. Sequences that share it share their p-values.

    """

    alpha: float = 0.05
    margin: float = 0.0
    planned_rows: int = 10_000
    fewest_clusters: int = 100
    tuned_alpha: float | None = None
    fewest_rewarded: float = 0.0

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha lies between 0 and 1, not {self.alpha}")
        if self.planned_rows < 1 or self.fewest_clusters < 2:
            raise ValueError("a sequence plans for at least 1 row, and starts with at least 2 clusters")

    def looks(
        self, days: Iterable[tuple[Floats, Integers]], rewarded: Iterable[float] | None = None
    ) -> list[Look]:
        """Look after each day.

        Parameters
        ----------
        days
            of each day in its order the numbers dᵢ (n,), such as the contributions of a difference of two
            policies, and their clusters (n,), codes from 0 that mean the same on all days.
        rewarded
            after each day how many clusters' rewards tell (`effective`); None for enough.

        """
        enough = repeat(math.inf) if rewarded is None else rewarded
        told = zip(_so_far(days), enough, strict=False)
        return self.looks_at(day._replace(rewarded=known) for day, known in told)

    def looks_at(self, days: Iterable[SoFar]) -> list[Look]:
        """Look after each day at what is summed already.

        Numbers that are all alike tell two policies from each other in nothing: their bounds are their mean.
        """
        found: list[Look] = []
        scale = 0.0
        for rows, there, total, variance, rewarded in days:
            value = total / rows
            lower, upper, p_value = -np.inf, np.inf, 1.0
            if there >= self.fewest_clusters and variance == 0:
                lower = upper = value
            elif there >= self.fewest_clusters and rewarded >= self.fewest_rewarded:
                scale = scale or self.scale(variance / rows)
                half = boundary(variance, scale, self.alpha) / rows
                lower, upper = value - half, value + half
                odds = log_mixture(rows * (value - self.margin), variance, scale)
                p_value = float(np.exp(-np.clip(odds, 0.0, 700.0)))
            found.append(Look(rows, there, value, variance / rows, lower, upper, p_value, rewarded))
        return found

    def scale(self, variance: float) -> float:
        """Return ρ that makes bounds tightest after `planned_rows` of this variance each.

        v / ρ = -W₋₁(-α²/e) - 1 (Howard et al. 2021), at 2α for one side.
        """
        wide = min(2 * (self.tuned_alpha or self.alpha), 0.5)
        ratio = -float(special.lambertw(-(wide**2) / np.e, -1).real) - 1
        return self.planned_rows * variance / ratio


def _so_far(days: Iterable[tuple[Floats, Integers]]) -> Iterator[SoFar]:
    sums, counts = np.zeros(0), np.zeros(0)
    for values, clusters in days:
        width = max(len(sums), int(clusters.max()) + 1)
        sums, counts = (np.pad(each, (0, width - len(each))) for each in (sums, counts))
        sums = sums + np.bincount(clusters, weights=values, minlength=width)
        counts = counts + np.bincount(clusters, minlength=width)
        rows, total = int(counts.sum()), float(sums.sum())
        variance = float(np.sum((sums - total / rows * counts) ** 2))
        yield SoFar(rows, int(np.count_nonzero(counts)), total, variance)


def effective(total: float, square: float) -> float:
    """Return (Σ s)² / Σ s² of clusters' weighted rewards s: so many alike would tell as much (Kish 1965)."""
    return total**2 / square if square else 0.0


def log_mixture(excess: float, variance: float, scale: float) -> float:
    """Return ln M(s, v) of s = `excess` and v = `variance`."""
    total = variance + scale
    of_normal = float(special.log_ndtr(excess / math.sqrt(total)))
    return math.log(2) + 0.5 * math.log(scale / total) + excess**2 / (2 * total) + of_normal


def boundary(variance: float, scale: float, alpha: float) -> float:
    """Return s with M(s, v) = 1/α: how far the sum may stray."""
    total = variance + scale
    root = math.sqrt(total)
    # ln M is convex in s, and at least the two-sided mixture's, whose boundary has a closed form: from there
    # Newton's steps come down to the root and never pass it.
    excess = math.sqrt(total * math.log(total / (scale * alpha**2)))
    wanted = -math.log(alpha) - math.log(2) - 0.5 * math.log(scale / total)
    for _ in range(MOST_STEPS):
        z = excess / root
        chance = 0.5 * math.erfc(-z / math.sqrt(2))
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        step = (z * z / 2 + math.log(chance) - wanted) / (z + density / chance) * root
        excess -= step
        if step <= 1e-12 * root:
            break
    return excess


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Return p-values corrected for their number: the k-th smallest of m times m - k + 1, never falling.

    Holm 1979: A simple sequentially rejective multiple test procedure. Values that hold at any time stay so.
    """
    corrected: dict[str, float] = {}
    least = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda each: (p_values[each], each))):
        least = max(least, min(1.0, p_values[name] * (len(p_values) - place)))
        corrected[name] = least
    return corrected
