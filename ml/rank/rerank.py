"""What rerankers share: the greedy list that weighs relevance against what stands before, rules respected.

A kind of reranking is one file with a compiled loop behind this interface.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.rank.rules import NOBODY, Rules
from ml.threads import in_blocks

BLOCK = 4096

Block = NDArray[np.float32]


@dataclass(frozen=True)
class Reranker(ABC):
    """A greedy reranker.

    diversity : 0 is relevance alone, 1 variety alone.
    """

    diversity: float = 0.5

    def __post_init__(self) -> None:
        """Check the share."""
        if not 0 <= self.diversity <= 1:
            raise ValueError(f"diversity must lie in 0 to 1, not {self.diversity}")

    @abstractmethod
    def _greedy(self, scores: Block, likeness: tuple[Any, ...], rules: tuple[Any, ...], best: Any) -> None:
        """Fill `best` (b, length) of one block; `likeness` is (similarity, vectors), one of them empty."""

    def rerank(
        self,
        scores: NDArray[np.floating],
        likeness: NDArray[np.floating],
        *,
        length: int,
        eligible: NDArray[np.bool_] | None = None,
        rules: Rules | None = None,
    ) -> NDArray[np.int32]:
        """Return (n, length) columns of the candidates, best first, the lower one among equals.

        -1 stands where nobody is left. Nothing depends on the rows beside a row.

        Parameters
        ----------
        scores
            (n, k) relevance, looked at as float32.
        likeness
            (k, k) similarity, the same for all rows, 1 on its diagonal; or (n, k, d) vectors of each row's
            candidates, whose cosines are taken.
        length
            of a list.
        eligible
            (n, k) which candidates may stand in a row's list; None for all.
        rules
            pins, caps, spacing and blocks; their variety is not looked at.

        Raises
        ------
        ValueError
            On shapes that do not fit, or an eligible score that is not finite, naming row and column.

        """
        if scores.ndim != 2 or length < 1:
            raise ValueError(f"scores must have shape (n, k), length 1 or more: not {scores.shape}, {length}")
        n, k = scores.shape
        if likeness.shape != (k, k) and (likeness.ndim != 3 or likeness.shape[:2] != (n, k)):
            raise ValueError(f"likeness must have shape {(k, k)} or {(n, k, 'd')}, not {likeness.shape}")
        if eligible is not None and (eligible.shape != (n, k) or eligible.dtype != np.bool_):
            raise ValueError(f"eligible must be boolean of shape {(n, k)}")
        if rules is not None and len(rules.themes) != k:
            raise ValueError(f"the rules are about {len(rules.themes)} candidates, not {k}")
        values = np.ascontiguousarray(scores, dtype=np.float32)
        wrong = ~np.isfinite(values) if eligible is None else eligible & ~np.isfinite(values)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise ValueError(f"the score of candidate {column} in row {row} is {scores[row, column]}")
        shared = likeness.ndim == 2
        given = np.ascontiguousarray(likeness, dtype=np.float32)
        nobody, none = np.zeros((0, 0), dtype=np.float32), np.zeros((0, 0, 0), dtype=np.float32)
        everyone = np.ones((1, k), dtype=np.bool_)
        bound = (rules or Rules.of([""] * k, positions=0)).arrays
        best = np.full((n, length), NOBODY, dtype=np.int32)

        def work(_: int, start: int, stop: int) -> None:
            alike = (given, none) if shared else (nobody, given[start:stop])
            may = everyone if eligible is None else eligible[start:stop]
            self._greedy(values[start:stop], alike, (rules is not None, bound, may), best[start:stop])

        in_blocks(work, n, BLOCK)
        return best
