"""The household-mean rule: the arms of which a household had most so far. What a learner has to beat.

A household's mean reward of an arm, shrunk to the population's, is a feature; the rule reads it back,

    score_a(x) = center_a + scale_a · x[column_a]
"""

import numpy as np
from numpy.typing import NDArray

from ml.bandits.fixed import Fixed
from ml.bandits.policy import GREEDY
from ml.draw import DrawRule


class HouseholdMean(Fixed):
    """The rule over k arms of d features.

    Parameters
    ----------
    columns
        (k,) place in x of the arm's mean reward; not 0, which is always 1.
    centers, scales
        (k,) its frozen scaling, (mean reward - center) / scale.
    width
        d.
    rule
        how scores become propensities.

    """

    def __init__(
        self,
        columns: NDArray[np.integer],
        centers: NDArray[np.float64],
        scales: NDArray[np.float64],
        width: int,
        rule: DrawRule = GREEDY,
    ) -> None:
        if len(columns) and not (columns.min() > 0 and columns.max() < width):
            raise ValueError(f"mean rewards stand in columns 1 to {width - 1}, not {columns.tolist()}")
        theta = np.zeros((len(columns), width))
        theta[:, 0] = centers
        theta[np.arange(len(columns)), columns] = scales
        super().__init__(theta, rule)
