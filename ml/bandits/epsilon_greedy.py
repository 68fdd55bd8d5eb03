"""ε-greedy: the arm of most expected reward, and with probability ε any, at each position.

Sutton, Barto 2018: Reinforcement learning, an introduction; over ridge regressions of the arms.
"""

from typing import Self

from ml.bandits.ridge import Ridge
from ml.draw import DrawRule


class EpsilonGreedy(Ridge):
    """ε-greedy over k arms of d features: at each position p = ε/m + (1 - ε)·[it is the best of the m left].

    Parameters
    ----------
    ridge, shared_ridge
        as for `Ridge`.
    epsilon
        share of positions that are drawn uniformly.

    """

    def __init__(
        self, ridge: float = 1.0, *, epsilon: float = 0.1, shared_ridge: float | None = None
    ) -> None:
        super().__init__(ridge, 0.0, shared_ridge=shared_ridge, rule=DrawRule(0.0, 0.0, epsilon))
        self.epsilon = epsilon

    def _like(self) -> Self:
        return type(self)(self.ridge, epsilon=self.epsilon, shared_ridge=self.shared_ridge)
