"""Does any 64-bit hash occur twice? Of many, eight bytes each cross the machine, and none reaches the driver.

Equal keys have equal hashes, so hashes that all differ prove that keys do; where one occurs twice, whoever
asked has to compare the keys. A task sorts the hashes of its rows and cuts them at fixed values; pieces of
one range meet in one task as blocks of bytes, which costs a quarter of shuffling them as rows.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from ml.xxhash import Hashes

IN_RANGE = 1 << 22
"""About so many hashes meet in one task: 32 MiB."""


def cut(hashes: Sequence[Hashes], ranges: int) -> list[bytes]:
    """Sort hashes, and cut them into as many ranges of their values."""
    bounds = np.array([2**64 * n // ranges for n in range(1, ranges)], np.uint64)
    held = np.sort(np.concatenate([np.empty(0, np.uint64), *hashes]))
    return [piece.tobytes() for piece in np.split(held, np.searchsorted(held, bounds))]


def any_twice(pieces: Iterable[bytes]) -> bool:
    """Tell whether a hash occurs twice in pieces, each of them sorted."""
    blocks = [np.frombuffer(piece, np.uint64) for piece in pieces]
    # A stable sort merges what is sorted.
    held = np.sort(np.concatenate([np.empty(0, np.uint64), *blocks]), kind="stable")
    return bool((held[1:] == held[:-1]).any())
