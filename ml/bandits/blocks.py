"""Rows in blocks of one size, each block with one BLAS thread: a row's numbers are its own.

BLAS takes another path for another number of rows, so the last block is padded. Some of its kernels (OpenBLAS
for Haswell and Zen) sum a row in another order in another place of the block: there a compiled product stands
in for it. Its own threads would split a block by what else runs, and threaded BLAS that alternates with
compiled loops ran 8 times slower: here it has one, and the one pool of threads works on as many blocks as
there are cores.
"""

from collections.abc import Callable
from functools import cache

import numba
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from ml.threads import in_blocks

BLOCK = 256
AT_ONCE = 16


def each_block(rows: int, work: Callable[[slice], None]) -> None:
    """Call `work` with the rows of every block."""

    def some(_: int, start: int, stop: int) -> None:
        for first in range(start, stop, BLOCK):
            work(slice(first, min(first + BLOCK, stop)))

    with _blas().limit(limits=1, user_api="blas"):
        in_blocks(some, rows, AT_ONCE * BLOCK)


def padded(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a whole block, zeros below the rows."""
    if len(rows) == BLOCK:
        return rows
    block = np.zeros((BLOCK, *rows.shape[1:]), dtype=np.float32)
    block[: len(rows)] = rows
    return block


def product(rows: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply a whole block, (BLOCK, d), by (d, m): the same bits for a row wherever it stands."""
    if _blas_keeps_rows():
        return rows @ matrix
    found: NDArray[np.float32] = _product(np.ascontiguousarray(rows), np.ascontiguousarray(matrix))
    return found


@cache
def _blas_keeps_rows() -> bool:
    """Try whether this machine's BLAS gives a row the same bits in any place of a block."""
    rng = np.random.default_rng(0)
    for width, columns in ((8, 8), (30, 1), (32, 24), (100, 130)):
        rows = rng.normal(size=(BLOCK, width)).astype(np.float32)
        matrix = rng.normal(size=(width, columns)).astype(np.float32)
        if not np.array_equal(rows[::-1] @ matrix, (rows @ matrix)[::-1]):
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _product(rows, matrix):  # type: ignore[no-untyped-def]
    found = np.zeros((rows.shape[0], matrix.shape[1]), dtype=np.float32)
    for row in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            for column in range(matrix.shape[1]):
                found[row, column] += rows[row, j] * matrix[j, column]
    return found


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
