"""The products of a row's features with each other, by offset: x_i · x_(i + o) for o from 0 to d/2, modulo d.

Each pair stands there once, d(d+1)/2 of them, as in a triangle, but in stretches of one length: the processor
takes many at a time, which the ever shorter rows of a triangle do not let it do.
"""

import numba
import numpy as np
from numpy.typing import NDArray


def pairs(width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return i and j of each product, in order; for even d the last offset has each pair only once."""
    offset, first = np.divmod(np.arange(width * (width + 1) // 2), max(width, 1))
    return first, (first + offset) % max(width, 1)


@numba.njit(cache=True, nogil=True)
def products(rows, found):  # type: ignore[no-untyped-def]
    """Fill `found` (b, d(d+1)/2) with the products of each row of `rows` (b, d)."""
    width = rows.shape[1]
    size = found.shape[1]
    doubled = np.empty(2 * width, dtype=rows.dtype)
    for row in range(rows.shape[0]):
        doubled[:width] = rows[row]
        doubled[width:] = rows[row]
        for offset in range(width // 2 + 1):
            stretch = found[row, offset * width : min((offset + 1) * width, size)]
            moved = doubled[offset : offset + len(stretch)]
            for i in range(len(stretch)):
                stretch[i] = doubled[i] * moved[i]
