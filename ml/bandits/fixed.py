"""Policies that learn nothing: their coefficients are given."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.bandits.linear import COLD, Linear
from ml.bandits.policy import GREEDY
from ml.draw import DrawRule


class Fixed(Linear):
    """Scores by given coefficients, without a bonus.

    Parameters
    ----------
    theta
        (k, d) coefficients.
    rule
        how scores become propensities.

    """

    def __init__(self, theta: NDArray[np.float64], rule: DrawRule = GREEDY) -> None:
        if theta.ndim != 2 or not np.isfinite(theta).all():
            raise ValueError(f"coefficients must be finite and of shape (k, d), not {theta.shape}")
        self.theta_ = theta
        self.rule = rule

    def select(self, arms: NDArray[np.integer]) -> Self:
        """Return the policy over these arms, in this order; -1 is an arm never seen (θ = 0)."""
        chosen = self._like()
        chosen.theta_ = np.where((np.asarray(arms) != COLD)[:, None], self.theta_[arms], 0.0)
        return chosen

    def _like(self) -> Self:
        like = type(self).__new__(type(self))
        like.__dict__.update(self.__dict__)
        return like
