"""Drift of what a model sees: the population stability index (Siddiqi 2006) between two sets of rows.

    PSI = Σ over bins (q - p) · ln(q / p)

over deciles of the first set and a bin for what is missing; below 0.1 nothing moved, above 0.25 much did.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.classify.examples import Codes, Shape
from ml.drift import psi_of

DECILES = np.arange(1, 10) / 10


def psi(then: NDArray[Any], now: NDArray[Any]) -> float:
    """Return the index of one feature: (n,) and (m,) values, NaN for missing."""
    known = then[~np.isnan(then)]
    cuts = np.unique(np.quantile(known, DECILES)) if len(known) else np.empty(0)
    return _index(_bins(then, cuts), _bins(now, cuts), len(cuts) + 2)


def psi_of_codes(then: NDArray[np.int32], now: NDArray[np.int32], values: int) -> float:
    """Return the index of a category: codes into as many frozen values, -1 for missing or new."""
    return _index(then + 1, now + 1, values + 1)


def drift(
    shape: Shape,
    then: tuple[NDArray[np.float32], Codes],
    now: tuple[NDArray[np.float32], Codes],
) -> dict[str, float]:
    """Return the index by feature and category."""
    found = {name: psi(then[0][:, j], now[0][:, j]) for j, name in enumerate(shape.features)}
    for j, (name, values) in enumerate(shape.categories.items()):
        found[name] = psi_of_codes(then[1][j], now[1][j], len(values))
    return found


def _bins(values: NDArray[Any], cuts: NDArray[Any]) -> NDArray[np.intp]:
    return np.where(np.isnan(values), len(cuts) + 1, np.searchsorted(cuts, values, side="right"))


def _index(then: NDArray[Any], now: NDArray[Any], count: int) -> float:
    if not len(then) or not len(now):
        return 0.0
    p, q = (np.bincount(bins, minlength=count) / len(bins) for bins in (then, now))
    return psi_of(p, q)
