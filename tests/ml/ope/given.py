"""A world whose truth is known, and logs drawn from it; the plain formulas of the papers, row by row."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.ope.log import Log

REWARDS = np.array([0.0, 1.0, 3.0])


@dataclass(frozen=True)
class World:
    """20 kinds of contexts, 5 actions, rewards of 0, 1 or 3; everything of it is known.

    kinds (20,), rewards (20, 5, 3) and logging, target (20, 5) are probabilities.
    """

    kinds: NDArray
    rewards: NDArray
    logging: NDArray
    target: NDArray

    @property
    def means(self) -> NDArray:
        return self.rewards @ REWARDS

    def value(self, policy: NDArray) -> float:
        return float(self.kinds @ (policy * self.means).sum(axis=1))

    def draw(self, rng: np.random.Generator, rows: int) -> tuple[NDArray, NDArray, NDArray]:
        """Draw (kinds, actions, rewards) of independent rows."""
        cells = self.kinds[:, None, None] * self.logging[:, :, None] * self.rewards
        bounds = np.cumsum(cells.ravel())
        cell = np.searchsorted(bounds / bounds[-1], rng.random(rows), side="right")
        kind, action, reward = np.unravel_index(cell, cells.shape)
        return kind, action, REWARDS[reward]


def world(seed: int = 7, kinds: int = 20, actions: int = 5) -> World:
    rng = np.random.default_rng(seed)
    rewards = rng.dirichlet([3, 1, 0.5], size=(kinds, actions))
    logging = 0.05 + (1 - 0.05 * actions) * rng.dirichlet([1.0] * actions, kinds)
    target = 0.02 + (1 - 0.02 * actions) * rng.dirichlet([0.5] * actions, kinds)
    return World(rng.dirichlet([5.0] * kinds), rewards, logging, target)


@dataclass(frozen=True)
class Sample:
    """A drawn log with all that is known beside it; arrays of n rows, predictions q̂ (n, k)."""

    log: Log
    target: NDArray
    predictions: NDArray


def sample(rows: int = 500, seed: int = 0, **more: Any) -> Sample:
    """Draw a log with a middling model: the truth and noise."""
    given = world()
    rng = np.random.default_rng(seed)
    kind, action, reward = given.draw(rng, rows)
    log = Log.of(action, reward, given.logging[kind, action], action_set=5, **more)
    predictions = given.means[kind] + rng.normal(0, 0.3, (rows, 5))
    return Sample(log, given.target[kind], predictions)
