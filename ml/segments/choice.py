"""How many segments: each k is measured, held against shuffled data, and one is suggested with the reason.

silhouette          mean of (b - a) / max(a, b) (Rousseeuw 1987), on a sample
Calinski-Harabasz   between over within variance (1974); higher is better
Davies-Bouldin      mean similarity to the most similar cluster (1979); lower is better
stability           mean adjusted Rand index (Hubert, Arabie 1985) between the clusters and those of rows
                    drawn anew with replacement (Hennig 2007: cluster-wise assessment of cluster stability)

Structure is told from noise in two ways, and both must say yes: the silhouette is above 0.25, below which
Kaufman and Rousseeuw (1990, table 4) find no substantial structure; and above that of the same table with
each column shuffled by itself, which keeps every feature and destroys what they have to do with each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    adjusted_rand_score,
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_score,
)
from threadpoolctl import threadpool_limits

from ml.segments import kmeans
from ml.segments.kmeans import Clusters

Floats = NDArray[np.float64]

SUBSTANTIAL = 0.25
REASONABLE = 0.5
MARGIN = 0.02
"""Above what chance does to a silhouette of a few thousand rows."""
STABLE = 0.85
LEAST_SHARE = 0.05
CLOSE = 0.8
"""A silhouette so near to the best is as good: more segments say more."""
SILHOUETTE_ROWS = 3_000
STABILITY_ROWS = 5_000


@dataclass(frozen=True)
class Quality:
    """How good k clusters are; `shuffled` is the highest silhouette of the shuffled tables."""

    k: int
    silhouette: float
    shuffled: float
    calinski_harabasz: float
    davies_bouldin: float
    stability: float
    stability_low: float
    smallest_share: float

    @property
    def has_structure(self) -> bool:
        """Whether the clusters are more than a cut through noise."""
        return self.silhouette > SUBSTANTIAL and self.silhouette > self.shuffled + MARGIN


@dataclass(frozen=True)
class Choice:
    """The suggested k, None where nothing has structure, and why, in words."""

    k: int | None
    reason: str


def evaluate(
    x: Floats, clusters: Sequence[Clusters], seed: int, *, bootstraps: int, shuffles: int
) -> list[Quality]:
    """Measure the clusters of each k on scaled rows x (n, d), which come in a random order."""
    rng = np.random.default_rng([seed, 1])
    few = x[:SILHOUETTE_ROWS]
    tables = [np.stack([rng.permutation(column) for column in few.T], axis=1) for _ in range(shuffles)]
    found = []
    with threadpool_limits(limits=1):
        for made in clusters:
            k = len(made.centers)
            again = _stability(x[:STABILITY_ROWS], made, seed, bootstraps)
            chance = [
                _silhouette(table, kmeans.fit(table, k, seed, starts=3).labels)
                for table in tables
                if len(np.unique(table, axis=0)) >= k
            ]
            found.append(
                Quality(
                    k,
                    _silhouette(few, made.labels[: len(few)]),
                    max(chance, default=0.0),
                    float(calinski_harabasz_score(x, made.labels)),
                    float(davies_bouldin_score(x, made.labels)),
                    float(np.mean(again)),
                    float(np.min(again)),
                    float(made.sizes.min() / len(x)),
                )
            )
    return found


def suggest(qualities: Sequence[Quality]) -> Choice:
    """Suggest the most segments that have structure, are near the best silhouette, stable and large."""
    structured = [quality for quality in qualities if quality.has_structure]
    if not structured:
        best = max(qualities, key=lambda quality: quality.silhouette)
        against = (
            f"of columns shuffled by themselves {best.shuffled:.2f}"
            if best.silhouette <= best.shuffled + MARGIN
            else f"and at most {SUBSTANTIAL} means that no substantial structure was found"
        )
        return Choice(
            None,
            f"No structure: the best silhouette is {best.silhouette:.2f} (k = {best.k}), {against}. Segments"
            " of these features would be cuts through noise.",
        )
    large = [quality for quality in structured if quality.smallest_share >= LEAST_SHARE] or structured
    top = max(quality.silhouette for quality in large)
    near = [quality for quality in large if quality.silhouette >= CLOSE * top]
    stable = [quality for quality in near if quality.stability >= STABLE]
    if not stable:
        best = max(near, key=lambda quality: quality.stability)
        return Choice(
            best.k,
            f"k = {best.k} is the most stable, but not stable: when subjects are drawn anew the adjusted Rand"
            f" index is {best.stability:.2f}, and {STABLE} is asked. Take it with care. {_strength(best)}",
        )
    best = max(stable, key=lambda quality: quality.k)
    beyond = [quality for quality in qualities if quality.k > best.k]
    limit = f" Beyond it: {'; '.join(_fault(quality, top) for quality in beyond[:2])}." if beyond else ""
    return Choice(
        best.k,
        f"k = {best.k}: the most segments that come back when subjects are drawn anew (adjusted Rand"
        f" {best.stability:.2f}, {STABLE} is asked) and are about as clear as the clearest (silhouette"
        f" {best.silhouette:.2f}, best {top:.2f}); the smallest holds {best.smallest_share:.0%} of the"
        f" subjects.{limit} {_strength(best)}",
    )


def _strength(quality: Quality) -> str:
    about = f"silhouette {quality.silhouette:.2f} against {quality.shuffled:.2f} of shuffled data"
    if quality.silhouette > REASONABLE:
        return f"The structure is clear: {about}."
    return f"The structure is weak ({about}): useful cuts of a continuum, not islands."


def _fault(quality: Quality, top: float) -> str:
    if not quality.has_structure:
        return f"k = {quality.k} has no structure (silhouette {quality.silhouette:.2f})"
    if quality.silhouette < CLOSE * top:
        return f"k = {quality.k} is less clear (silhouette {quality.silhouette:.2f})"
    if quality.stability < STABLE:
        return f"k = {quality.k} is not stable ({quality.stability:.2f})"
    return f"k = {quality.k} has a segment of {quality.smallest_share:.1%}"


def _silhouette(x: Floats, labels: NDArray[np.int64]) -> float:
    # A sample may have missed a small cluster; with one left there is nothing to tell apart.
    return float(silhouette_score(x, labels)) if 1 < len(np.unique(labels)) < len(x) else 0.0


def _stability(x: Floats, made: Clusters, seed: int, bootstraps: int) -> list[float]:
    k = len(made.centers)
    mine = made.labels[: len(x)]
    found = []
    for number in range(bootstraps):
        rng = np.random.default_rng([seed, 2, k, number])
        drawn = x[rng.integers(0, len(x), len(x))]
        if len(np.unique(drawn[: kmeans.START_ROWS], axis=0)) < k:
            found.append(0.0)  # too few different rows came back to make k clusters of
            continue
        again = kmeans.fit(drawn, k, int(rng.integers(2**31)))
        found.append(float(adjusted_rand_score(mine, kmeans.assign(x, again.centers)[0])))
    return found
