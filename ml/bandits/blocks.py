"""Rows in blocks of one size, each block with one BLAS thread: a row's numbers are its own.

BLAS takes another path for another number of rows, so the last block is padded. Its own threads would split
a block by what else runs, and threaded BLAS that alternates with compiled loops ran 8 times slower: here it
has one, and the one pool of threads works on as many blocks as there are cores.
"""

from collections.abc import Callable
from functools import cache

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


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
