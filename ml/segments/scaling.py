"""Scaling: each feature made symmetric, then centred and divided by its deviation, with frozen constants.

    z = (transform(value) - center) / scale

The constants are those of the rows a segmentation was fitted on and are kept with it, so that a subject's
segment depends on the subject alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import skew

from ml.features.sets import TRANSFORMS

Floats = NDArray[np.float64]

AUTO = "auto"
# In this order, so that equals go to the plainest.
CANDIDATES = ("identity", "sqrt", "log1p")


@dataclass(frozen=True)
class Scaling:
    """Frozen constants of d features: transforms by name, centers (d,) and scales (d,)."""

    transforms: tuple[str, ...]
    centers: Floats
    scales: Floats


def fit_scaling(values: Floats, names: Sequence[str], transforms: Sequence[str]) -> Scaling:
    """Find transform, center and scale of each feature.

    Args:
        values: (n, d), without missing values.
        names: of the d features, for what is said of a bad one.
        transforms: identity, sqrt, log1p, or auto: whichever leaves the least skewness (Fisher's g1).

    Raises:
        ValueError: a feature is constant, or has values that its transform does not take.

    """
    chosen, centers, scales = [], [], []
    for j, (name, asked) in enumerate(zip(names, transforms, strict=True)):
        column = values[:, j]
        if column.min() == column.max():
            raise ValueError(
                f"The feature {name!r} is {column[0]:g} for all {len(column):,} subjects: leave it out."
            )
        if asked not in (AUTO, "identity") and column.min() < 0:
            raise ValueError(f"The feature {name!r} has values below 0, which {asked} does not take.")
        transform = least_skewed(column) if asked == AUTO else asked
        made = TRANSFORMS[transform](column)
        chosen.append(transform)
        centers.append(float(made.mean()))
        scales.append(float(made.std()))
    return Scaling(tuple(chosen), np.array(centers), np.array(scales))


def least_skewed(column: Floats) -> str:
    """Return the transform that leaves the least skewness; only identity takes values below 0."""
    if column.min() < 0:
        return "identity"
    return min(CANDIDATES, key=lambda name: abs(round(float(skew(TRANSFORMS[name](column))), 6)))


def apply_scaling(values: Floats, scaling: Scaling) -> Floats:
    """Scale (n, d) values; the same bits for a row, whatever rows stand beside it."""
    scaled = np.empty(values.shape, dtype=np.float64)
    for j, transform in enumerate(scaling.transforms):
        column = np.ascontiguousarray(values[:, j])
        scaled[:, j] = (TRANSFORMS[transform](column) - scaling.centers[j]) / scaling.scales[j]
    return scaled
