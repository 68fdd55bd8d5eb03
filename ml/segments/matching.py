"""Segments of two segmentations matched by overlap, so that names stay put."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

LEAST_OVERLAP = 0.3


def match(overlap: NDArray[np.integer]) -> dict[int, int]:
    """Match rows (new segments) to columns (earlier ones) so that the most subjects stay.

    Args:
        overlap: (k, k') subjects in both.

    Returns:
        By new segment the earlier one that it continues: the assignment with the largest sum (Kuhn 1955, the
        Hungarian method) of Jaccard's index |A ∩ B| / |A ∪ B|; a pair below `LEAST_OVERLAP` is no match.

    """
    if overlap.size == 0 or not overlap.sum():
        return {}
    union = overlap.sum(axis=1)[:, None] + overlap.sum(axis=0)[None, :] - overlap
    shared = overlap / np.maximum(union, 1)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    return {
        int(row): int(column)
        for row, column in zip(rows, columns, strict=True)
        if shared[row, column] >= LEAST_OVERLAP
    }
