"""A log and contexts to hold policies to."""

import numpy as np
from numpy.typing import NDArray

from ml.bandits.statistics import Statistics, of_rows

ARMS, SHARED, OWN = 5, 6, 2
WIDTH = SHARED + OWN
NAMES = [f"widget {arm}" for arm in range(ARMS)]
# 1, and which of two themes: arms 0, 1, 4 and arms 2, 3.
LABELS = np.array([[1.0, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1], [1, 1, 0]])


def logged(count: int = 800, seed: int = 0) -> tuple[NDArray, NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, WIDTH)), rng.integers(0, ARMS, count), rng.choice([0.0, 1.0, 3.0], count)


def sums(count: int = 800) -> Statistics:
    return of_rows(*logged(count), arms=ARMS)


def contexts(count: int, seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(count, SHARED)).astype(np.float32)
    return shared, rng.normal(size=(count, ARMS, OWN)).astype(np.float32)


def rows_of(shared: NDArray, own: NDArray) -> NDArray[np.float64]:
    """x of every row and arm, (n, k, d)."""
    wide = np.broadcast_to(shared[:, None], (*own.shape[:2], shared.shape[1]))
    return np.concatenate([wide, own], axis=2).astype(np.float64)
