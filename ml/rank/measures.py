"""What lists are like beside being relevant: varied, fair to the catalogue, calibrated to somebody's tastes.

A list is a row of columns of the k candidates, -1 where it holds nothing.
"""

import numpy as np
from numpy.typing import NDArray

Lists = NDArray[np.integer]
Floats = NDArray[np.float64]


def intra_list_distance(lists: Lists, similarity: NDArray[np.floating]) -> Floats:
    """Return (n,) mean of 1 - similarity over the pairs of a list; NaN for a list of less than two.

    Smyth, McClave 2001: Similarity vs. diversity, section 3; similarity is (k, k).
    """
    there = lists >= 0
    pairs = there[:, :, None] & there[:, None, :] & ~np.eye(lists.shape[1], dtype=np.bool_)
    columns = np.maximum(lists, 0)
    distance = 1.0 - similarity[columns[:, :, None], columns[:, None, :]].astype(np.float64)
    count = pairs.sum(axis=(1, 2))
    total = np.where(pairs, distance, 0.0).sum(axis=(1, 2))
    return np.divide(total, count, out=np.full(len(lists), np.nan), where=count > 0)


def coverage(lists: Lists, candidates: int) -> float:
    """Return the share of the candidates that stand on at least one list."""
    return len(np.unique(lists[lists >= 0])) / candidates


def gini(shows: NDArray[np.floating]) -> float:
    """Return how unequally shows are spread over candidates: 0 for equal shares, 1 - 1/k when one has all.

    Gini 1912, over the (k,) counts or exposures x sorted upwards: Σᵢ (2i - k - 1) xᵢ / (k Σ x).
    """
    ordered = np.sort(np.asarray(shows, dtype=np.float64))
    k, total = len(ordered), ordered.sum()
    if not (total > 0 and ordered[0] >= 0):
        raise ValueError("shows are 0 or more, and not all 0")
    return float(((2 * np.arange(1, k + 1) - k - 1) * ordered).sum() / (k * total))


def alpha_ndcg(
    lists: Lists, gains: NDArray[np.floating], themes: NDArray[np.integer], alpha: float = 0.5
) -> Floats:
    """Return (n,) α-nDCG: gain that fades by α with each widget of its theme above, discounted by position.

    Σⱼ g(aⱼ) (1 - α)^(widgets of aⱼ's theme above j) / log₂(1 + j), by the same of the greedily best list of
    that length; 1 is best, and NaN where nothing could be gained. Clarke et al. 2008: Novelty and diversity
    in information retrieval evaluation, eq. 2 and 6, with one nugget a candidate.

    Parameters
    ----------
    lists
        (n, K).
    gains
        (n, k) what each candidate is worth to the row, 0 or more.
    themes
        (k,) codes.
    alpha
        0 (themes do not matter) to 1 (a theme counts once).

    """
    if not 0 <= alpha <= 1 or not (gains >= 0).all():
        raise ValueError("α lies in 0 to 1, and gains are 0 or more")
    mine, best = np.zeros(len(lists)), np.zeros(len(lists))
    rows = np.arange(len(lists))
    seen, other = (np.zeros((len(lists), int(themes.max()) + 1)) for _ in range(2))
    left = np.ones(gains.shape, dtype=np.bool_)
    for position in range(lists.shape[1]):
        discount = np.log2(2.0 + position)
        there = np.flatnonzero(lists[:, position] >= 0)
        chosen = lists[there, position]
        mine[there] += gains[there, chosen] * (1 - alpha) ** seen[there, themes[chosen]] / discount
        seen[there, themes[chosen]] += 1
        if position < gains.shape[1]:
            worth = np.where(left, gains * (1 - alpha) ** other[:, themes], -1.0)
            ideal = worth.argmax(axis=1)
            best += worth[rows, ideal] / discount
            other[rows, themes[ideal]] += 1
            left[rows, ideal] = False
    return np.divide(mine, best, out=np.full(len(lists), np.nan), where=best > 0)


def calibration(
    lists: Lists, tastes: NDArray[np.floating], themes: NDArray[np.integer], *, smoothing: float = 0.01
) -> Floats:
    """Return (n,) Kullback-Leibler divergence of a list's themes from somebody's tastes: 0 is calibrated.

    Σ p(t) log(p(t) / q̃(t)),  q̃ = (1 - s) q + s p, q the list's share of each theme. Steck 2018: Calibrated
    recommendations, eq. 3 to 6, places weighing the same. NaN for an empty list or no tastes.

    Parameters
    ----------
    lists
        (n, K).
    tastes
        (n, m) of each theme, 0 or more: made shares of their sum.
    themes
        (k,) codes below m.
    smoothing
        s.

    """
    there = lists >= 0
    shown = np.zeros(tastes.shape)
    rows, _ = np.nonzero(there)
    np.add.at(shown, (rows, themes[lists[there]]), 1.0)
    totals = tastes.sum(axis=1, keepdims=True), shown.sum(axis=1, keepdims=True)
    known = (totals[0] > 0) & (totals[1] > 0)
    p, q = (np.where(known, each, 1.0) / np.where(known, total, 1.0)
            for each, total in zip((tastes, shown), totals, strict=True))  # fmt: skip
    mixed = (1 - smoothing) * q + smoothing * p
    terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0) / np.where(p > 0, mixed, 1.0)), 0.0)
    return np.where(known[:, 0], terms.sum(axis=1), np.nan)
