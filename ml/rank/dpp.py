"""The most likely set of a determinantal point process, greedily: relevance, and volume spanned by vectors.

With quality q = exp(weight · relevance) and similarity S, the kernel is L = diag(q) S diag(q), and the next
one is that with the largest variance given the chosen. An incremental Cholesky factor keeps it: per choice j

    e = (L[j] - Σ C[:, j] C) / √d²[j],    d² ← d² - e²

Chen, Zhang, Zhou 2018: Fast greedy MAP inference for determinantal point process to improve recommendation
diversity, algorithm 1, without its stop: a list is as long as asked for.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from ml.rank.alike import LOOSE, cosines, inverse_lengths, largest
from ml.rank.rerank import Block, Reranker
from ml.rank.rules import begin, options, place

LEAST = np.float32(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class DPP(Reranker):
    """Greedy DPP at a share of diversity δ: relevance counts in standard deviations of its row, times 1 - δ.

    At δ = 0 relevance alone decides.
    """

    def _greedy(self, scores: Block, likeness: tuple[Any, ...], rules: tuple[Any, ...], best: Any) -> None:
        (similarity, vectors), (ruled, bound, eligible) = likeness, rules
        weight, varied = np.float32(1 - self.diversity), self.diversity > 0
        _greedy(scores, similarity, vectors, ruled, bound, eligible, weight, varied, best)


@numba.njit(cache=True, nogil=True, fastmath=LOOSE)
def _greedy(scores, similarity, vectors, ruled, bound, eligible, weight, varied, best):  # type: ignore[no-untyped-def]
    k, never = scores.shape[1], np.float32(-np.inf)
    quality, rest = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.float32)
    values, near = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.float32)
    factor = np.empty((best.shape[1], k), dtype=np.float32)
    inverse = np.empty(k, dtype=np.float32)
    left, allowed = np.empty(k, dtype=np.bool_), np.empty(k, dtype=np.bool_)
    counts = np.empty(len(bound.caps), dtype=np.int64)
    for row in range(scores.shape[0]):
        may = eligible[min(row, len(eligible) - 1)]
        if len(vectors):
            inverse_lengths(vectors[row], inverse)
        if ruled:
            begin(may, bound, left, counts)
        _standardised(scores[row], may, weight, quality)
        for column in range(k):
            if varied:
                quality[column] = np.exp(quality[column])
                rest[column] = quality[column] * quality[column] + LEAST
            else:
                rest[column] = quality[column]
            if not may[column]:
                rest[column] = never
        for step in range(best.shape[1]):
            if ruled:
                options(step, best[row], may, bound, left, allowed)
                for column in range(k):
                    values[column] = rest[column] if allowed[column] else never
                chosen = largest(values)
            else:
                chosen = largest(rest)
            factor[step, :] = 0.0
            if chosen < 0:
                continue
            best[row, step] = chosen
            if ruled:
                place(chosen, may, bound, left, counts)
            if varied and step + 1 < best.shape[1]:
                if len(vectors):
                    cosines(chosen, vectors[row], inverse, near)
                else:
                    near[:] = similarity[chosen]
                _project(chosen, step, quality, near, factor, rest)
            rest[chosen] = never


@numba.njit(cache=True, nogil=True, fastmath=LOOSE)
def _standardised(scores, eligible, weight, found):  # type: ignore[no-untyped-def]
    """Fill `found` with scores in standard deviations from their mean, over the eligible, times a weight."""
    count, mean, square = 0, np.float32(0.0), np.float32(0.0)
    for column in range(len(scores)):
        if eligible[column]:
            count += 1
            mean += scores[column]
    mean /= np.float32(max(count, 1))
    for column in range(len(scores)):
        if eligible[column]:
            square += (scores[column] - mean) ** 2
    scale = weight / (np.sqrt(square / np.float32(max(count, 1))) + LEAST)
    for column in range(len(scores)):
        found[column] = (scores[column] - mean) * scale if eligible[column] else np.float32(0.0)


@numba.njit(cache=True, nogil=True, fastmath=LOOSE)
def _project(chosen, step, quality, near, factor, rest):  # type: ignore[no-untyped-def]
    """Add the chosen one's row to the factor, and take what it explains from everyone's variance."""
    own = quality[chosen]
    scale = np.float32(1.0) / (np.sqrt(rest[chosen]) + LEAST)
    new = factor[step]
    for column in range(len(near)):
        new[column] = near[column] * quality[column] * own
    for earlier in range(step):
        part = factor[earlier, chosen]
        before = factor[earlier]
        for column in range(len(near)):
            new[column] -= part * before[column]
    for column in range(len(near)):
        new[column] *= scale
        rest[column] = (
            rest[column] if rest[column] == -np.inf else max(rest[column] - new[column] ** 2, np.float32(0.0))
        )
