"""LinUCB: an arm's expected reward, and a bonus for doubt.

    score_a(x) = xᵀθ_a       bonus_a(x) = α · √(xᵀ C_a x)

Li, Chu, Langford, Schapire 2010: A contextual-bandit approach to personalized news article recommendation;
disjoint by algorithm 1 (there λ = 1), and by algorithm 2 when arms share (`ml.bandits.sharing`).
"""

import numpy as np

from ml.bandits.blocks import padded
from ml.bandits.linear import Block
from ml.bandits.ridge import Ridge
from ml.normals import Normals


class LinUCB(Ridge):
    """LinUCB over k arms of d features; parameters and attributes as for `Ridge`."""

    def _bonuses(self, contexts: Block, actions: Block, rows: slice, normals: Normals | None) -> Block:  # noqa: ARG002
        squares = self._quadratic(contexts.shape[1]).squares(padded(contexts), actions)[: len(contexts)]
        # A square just below 0 is rounding.
        return np.float32(self.alpha) * np.sqrt(np.maximum(squares, np.float32(0)))
