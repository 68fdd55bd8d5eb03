"""Inner loops of the rerankers: similarity to one candidate, and the largest of many.

Loops run over what lies side by side in memory, so that they become vector instructions.
"""

import numba
import numpy as np

# Sums may be taken in any order, and no value is NaN; infinities are told apart.
LOOSE = {"reassoc", "contract", "nnan", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=LOOSE)
def inverse_lengths(vectors, found):  # type: ignore[no-untyped-def]
    """Fill `found` (k,) with 1 / length of each vector (k, d); 0 for a vector of zeros."""
    for column in range(vectors.shape[0]):
        square = np.float32(0.0)
        for part in range(vectors.shape[1]):
            square += vectors[column, part] * vectors[column, part]
        found[column] = np.float32(1.0) / np.sqrt(square) if square > 0 else np.float32(0.0)


@numba.njit(cache=True, nogil=True, fastmath=LOOSE)
def cosines(chosen, vectors, inverse, near):  # type: ignore[no-untyped-def]
    """Fill `near` with the cosine of each vector (k, d) with the chosen one's."""
    own, whole = vectors[chosen], len(near) - len(near) % 4
    # Four at a time: a part of the chosen one is fetched once for four sums that do not wait for each other.
    for column in range(0, whole, 4):
        zero = np.float32(0.0)
        first, second, third, fourth = zero, zero, zero, zero
        for part in range(len(own)):
            weight = own[part]
            first += weight * vectors[column, part]
            second += weight * vectors[column + 1, part]
            third += weight * vectors[column + 2, part]
            fourth += weight * vectors[column + 3, part]
        near[column], near[column + 1], near[column + 2], near[column + 3] = first, second, third, fourth
    for column in range(whole, len(near)):
        product = np.float32(0.0)
        for part in range(len(own)):
            product += own[part] * vectors[column, part]
        near[column] = product
    for column in range(len(near)):
        near[column] *= inverse[column] * inverse[chosen]


@numba.njit(cache=True, nogil=True, fastmath=LOOSE)
def largest(values):  # type: ignore[no-untyped-def]
    """Return the first column of the largest value; -1 when all are -infinity."""
    best = np.float32(-np.inf)
    for column in range(len(values)):
        best = values[column] if values[column] > best else best
    if best == -np.inf:
        return -1
    for column in range(len(values)):
        if values[column] == best:
            return column
    return -1
