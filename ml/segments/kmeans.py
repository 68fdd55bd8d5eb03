"""k-means, seeded and the same on any number of threads.

Starts are k-means++ (Arthur, Vassilvitskii 2007) with Lloyd's iterations (Lloyd 1982), on at most
`START_ROWS` rows; the best start is then refined on all rows (Bradley, Fayyad 1998: Refining initial points
for k-means clustering). scikit-learn adds partial sums of its threads in no fixed order, so one thread works.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

START_ROWS = 5_000
STARTS = 10


@dataclass(frozen=True)
class Clusters:
    """k clusters, the largest first: centers (k, d), the rows' labels (n,), the squared distances' sum."""

    centers: Floats
    labels: Integers
    inertia: float

    @property
    def sizes(self) -> Integers:
        """Rows by cluster, (k,)."""
        return np.bincount(self.labels, minlength=len(self.centers)).astype(np.int64)


def fit(x: Floats, k: int, seed: int, *, starts: int = STARTS) -> Clusters:
    """Find k clusters of scaled rows x (n, d).

    Raises:
        ValueError: k is below 2, or there are fewer different rows than clusters.

    """
    if k < 2:
        raise ValueError(f"k = {k} makes no segments: ask for at least 2.")
    different = len(np.unique(x, axis=0)) if len(x) < START_ROWS else START_ROWS
    if k > different:
        raise ValueError(
            f"k = {k} asks for more segments than there are different subjects ({different}): ask for fewer."
        )
    with threadpool_limits(limits=1):
        begun = KMeans(k, n_init=starts, random_state=seed).fit(x[:START_ROWS])
        done = begun
        if len(x) > START_ROWS:
            done = KMeans(k, init=begun.cluster_centers_, n_init=1, random_state=seed).fit(x)
    centers = done.cluster_centers_.astype(np.float64)
    sizes = np.bincount(done.labels_, minlength=k)
    order = np.lexsort((*reversed(np.round(centers, 9).T), -sizes))
    centers = centers[order]
    labels, distance = assign(x, centers)
    return Clusters(centers, labels, float((distance**2).sum()))


def assign(x: Floats, centers: Floats) -> tuple[Integers, Floats]:
    """Return each row's nearest center (n,), the lower number among equals, and the distance to it (n,).

    Squares are added feature after feature, so a row gets the same bits whatever rows stand beside it.
    """
    squared = np.zeros((len(x), len(centers)))
    for j in range(x.shape[1]):
        squared += (np.ascontiguousarray(x[:, j])[:, None] - centers[None, :, j]) ** 2
    labels = squared.argmin(axis=1).astype(np.int64)
    return labels, np.sqrt(squared[np.arange(len(x)), labels])
