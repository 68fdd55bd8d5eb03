"""Constant: the same arms for everyone, in a given order; what a learner has to beat."""

from collections.abc import Sequence

import numpy as np

from ml.bandits.fixed import Fixed
from ml.bandits.policy import GREEDY
from ml.draw import DrawRule


class Constant(Fixed):
    """The arms of `order` first, the others after them.

    Parameters
    ----------
    order
        columns, best first: the score of the last is 1, and 1 more for each before it; others have 0.
    arms, width
        k and d; the first feature is always 1.
    rule
        how scores become propensities.

    """

    def __init__(self, order: Sequence[int], arms: int, width: int, rule: DrawRule = GREEDY) -> None:
        if len(set(order)) != len(order) or not all(0 <= arm < arms for arm in order):
            raise ValueError(f"a constant names columns 0 to {arms - 1}, each once, not {list(order)}")
        theta = np.zeros((arms, width))
        theta[list(order), 0] = np.arange(len(order), 0, -1)
        super().__init__(theta, rule)
