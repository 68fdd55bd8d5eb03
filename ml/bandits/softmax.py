"""Softmax (Boltzmann exploration): better arms are drawn more often, by e for every `temperature` of reward.

Sutton, Barto 2018: Reinforcement learning, an introduction; over ridge regressions of the arms,
position after position over those that are left (Plackett 1975, Luce 1959).
"""

from typing import Self

from ml.bandits.ridge import Ridge
from ml.draw import DrawRule


class Softmax(Ridge):
    """Softmax over k arms of d features.

    Parameters
    ----------
    ridge, shared_ridge
        as for `Ridge`.
    temperature
        in units of reward.
    floor
        least probability of an arm at each position.

    """

    def __init__(
        self,
        ridge: float = 1.0,
        *,
        temperature: float = 0.1,
        floor: float = 0.0,
        shared_ridge: float | None = None,
    ) -> None:
        super().__init__(ridge, 0.0, shared_ridge=shared_ridge, rule=DrawRule(temperature, floor))
        self.temperature = temperature
        self.floor = floor

    def _like(self) -> Self:
        return type(self)(
            self.ridge, temperature=self.temperature, floor=self.floor, shared_ridge=self.shared_ridge
        )
