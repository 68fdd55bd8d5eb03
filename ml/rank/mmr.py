"""Maximal marginal relevance: relevance less the largest similarity to anything chosen before.

    next = argmax (1 - δ) · relevance - δ · max over the chosen of min(max(similarity, 0), 1)

Carbonell, Goldstein 1998: The use of MMR, diversity-based reranking, section 2, with λ = 1 - δ.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from ml.rank.alike import LOOSE, cosines, inverse_lengths, largest
from ml.rank.rerank import Block, Reranker
from ml.rank.rules import begin, options, place


@dataclass(frozen=True)
class MMR(Reranker):
    """MMR at a share of diversity."""

    def _greedy(self, scores: Block, likeness: tuple[Any, ...], rules: tuple[Any, ...], best: Any) -> None:
        (similarity, vectors), (ruled, bound, eligible) = likeness, rules
        wanted, price = np.float32(1 - self.diversity), np.float32(self.diversity)
        _greedy(scores, similarity, vectors, ruled, bound, eligible, wanted, price, best)


@numba.njit(cache=True, nogil=True, fastmath=LOOSE)
def _greedy(scores, similarity, vectors, ruled, bound, eligible, wanted, price, best):  # type: ignore[no-untyped-def]
    k, never = scores.shape[1], np.float32(-np.inf)
    own, values = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.float32)
    near, worst = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.float32)
    inverse = np.empty(k, dtype=np.float32)
    left, allowed = np.empty(k, dtype=np.bool_), np.empty(k, dtype=np.bool_)
    counts = np.empty(len(bound.caps), dtype=np.int64)
    for row in range(scores.shape[0]):
        may = eligible[min(row, len(eligible) - 1)]
        if len(vectors):
            inverse_lengths(vectors[row], inverse)
        if ruled:
            begin(may, bound, left, counts)
        for column in range(k):
            own[column] = wanted * scores[row, column] if may[column] else never
            worst[column] = 0.0
        for step in range(best.shape[1]):
            for column in range(k):
                values[column] = own[column] - price * worst[column]
            if ruled:
                options(step, best[row], may, bound, left, allowed)
                for column in range(k):
                    values[column] = values[column] if allowed[column] else never
            chosen = largest(values)
            if chosen < 0:
                continue
            best[row, step] = chosen
            own[chosen] = never
            if ruled:
                place(chosen, may, bound, left, counts)
            if step + 1 == best.shape[1]:
                break
            if len(vectors):
                cosines(chosen, vectors[row], inverse, near)
            else:
                near[:] = similarity[chosen]
            for column in range(k):
                worst[column] = max(worst[column], min(near[column], np.float32(1.0)))
