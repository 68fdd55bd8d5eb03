"""The one pool of threads: compiled kernels over blocks of rows, as many at once as there are cores.

Kernels release the interpreter's lock, so plain Python threads run them side by side. They end with the call:
nothing spins beside BLAS, and a process that forks takes no thread with it. Blocks have a fixed size, so what
is summed by block, in the order of the blocks, has the same bits on any number of cores.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

BLOCK = 1 << 14


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def block_count(rows: int, block: int = BLOCK) -> int:
    """Return how many blocks hold so many rows."""
    return -(-rows // block)


def in_blocks(work: Callable[[int, int, int], object], rows: int, block: int = BLOCK) -> None:
    """Call `work(number, start, stop)` for each block of rows; an exception of any call is raised."""
    bounds = [(number, start, min(start + block, rows)) for number, start in enumerate(range(0, rows, block))]
    if len(bounds) < 2 or cores() < 2:
        for each in bounds:
            work(*each)
        return
    with ThreadPoolExecutor(min(cores(), len(bounds))) as pool:
        for done in [pool.submit(work, *each) for each in bounds]:
            done.result()
