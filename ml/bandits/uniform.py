"""Uniform: every arm as likely as any other, at each position."""

import numpy as np

from ml.bandits.fixed import Fixed
from ml.draw import DrawRule


class Uniform(Fixed):
    """Uniform over k arms of d features."""

    def __init__(self, arms: int, width: int) -> None:
        super().__init__(np.zeros((arms, width)), DrawRule(temperature=1.0))
