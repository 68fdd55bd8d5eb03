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


@numba.njit(cache=True, nogil=True)
def add_products(four, sums):  # type: ignore[no-untyped-def]
    """Add the products of four rows, each given twice over (4, 2d), to sums (d(d+1)/2,), row by row."""
    width = four.shape[1] // 2
    x0, x1, x2, x3 = four[0], four[1], four[2], four[3]
    for offset in range(width // 2 + 1):
        stretch = sums[offset * width : min((offset + 1) * width, len(sums))]
        y0, y1, y2, y3 = x0[offset:], x1[offset:], x2[offset:], x3[offset:]
        for i in range(len(stretch)):
            total = stretch[i] + x0[i] * y0[i]
            total += x1[i] * y1[i]
            total += x2[i] * y2[i]
            stretch[i] = total + x3[i] * y3[i]


@numba.njit(cache=True, nogil=True)
def add_moments(four, factors, sums):  # type: ignore[no-untyped-def]
    """Add four rows (4, …), each times its factor, to sums (d,), row by row."""
    x0, x1, x2, x3 = four[0], four[1], four[2], four[3]
    for i in range(len(sums)):
        total = sums[i] + factors[0] * x0[i]
        total += factors[1] * x1[i]
        total += factors[2] * x2[i]
        sums[i] = total + factors[3] * x3[i]
