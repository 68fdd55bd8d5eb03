"""Bootstrap by subject: a subject's rows, of however many closings, come or stay away together.

Each subject weighs a Poisson(1) number in each resample (Chamandy et al. 2012), the same for all learners, so
that differences are paired.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml.classify.examples import Floats

LEVEL = (2.5, 97.5)


def subject_weights(subjects: Sequence[str] | NDArray[np.object_], resamples: int, seed: int) -> Floats:
    """Return (1 + resamples, n) weights: first the rows as they are, then the resamples.

    A subject's numbers depend on the seed and its place among the sorted subjects, not on the rows' order.
    """
    names, place = np.unique(np.asarray(subjects, dtype=object), return_inverse=True)
    drawn = np.random.default_rng(seed).poisson(1.0, (resamples, len(names)))
    return np.vstack([np.ones(len(place)), drawn[:, place]])


def interval(values: Floats) -> tuple[float, float, float]:
    """Return the value, and the 95 % percentile interval of its resamples (1 + resamples,)."""
    resampled = values[1:][~np.isnan(values[1:])]
    if not len(resampled):
        return float(values[0]), float("nan"), float("nan")
    low, high = np.percentile(resampled, LEVEL)
    return float(values[0]), float(low), float(high)
