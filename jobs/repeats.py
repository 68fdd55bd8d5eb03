"""Does any 64-bit hash occur twice? Of many, eight bytes each cross the machine, and none reaches the driver.

Equal keys have equal hashes, so hashes that all differ prove that keys do; where one occurs twice, whoever
asked has to compare the keys. A task sorts the hashes of its rows and cuts them at fixed values; pieces of
one range meet in one task as blocks of bytes, which costs a quarter of shuffling them as rows.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

Hashes = npt.NDArray[np.int64]
Batches = Iterator[pa.RecordBatch]

FEW = 1 << 20
"""So many hashes, 8 MiB, are looked at here: most tables are small, and tasks would take longer."""
AT_ONCE = 1 << 20
"""Hashes that a task holds before it hands them on: 8 MiB."""
IN_RANGE = 1 << 22
"""About so many hashes meet in one task: 32 MiB."""


def any_twice(hashes: DataFrame, rows: int) -> bool:
    """Tell whether a value of the only column, a long that is nowhere null, occurs in two of its rows."""
    if rows <= FEW:
        few = hashes.toArrow().column(0).to_numpy()
        return len(np.unique(few)) < len(few)
    ranges = rows // IN_RANGE + 1
    pieces = hashes.mapInArrow(_cut(ranges), "range int, hashes binary")
    return bool(pieces.repartition(ranges, "range").mapInArrow(_repeat, "is_twice boolean").head(1))


def _cut(ranges: int) -> Callable[[Batches], Batches]:
    bounds = np.array([-(2**63) + 2**64 * n // ranges for n in range(1, ranges)], np.int64)

    def cut(batches: Batches) -> Batches:
        for held in _gathered(batches):
            pieces = np.split(held, np.searchsorted(held, bounds))
            yield pa.RecordBatch.from_pydict(
                {
                    "range": pa.array(range(ranges), pa.int32()),
                    "hashes": pa.array([piece.tobytes() for piece in pieces], pa.binary()),
                }
            )

    return cut


def _gathered(batches: Batches) -> Iterator[Hashes]:
    held: list[Hashes] = []
    for batch in batches:
        held.append(batch.column(0).to_numpy())
        if sum(map(len, held)) >= AT_ONCE:
            yield np.sort(np.concatenate(held))
            held = []
    if held:
        yield np.sort(np.concatenate(held))


def _repeat(batches: Batches) -> Batches:
    """Yield one row if a hash of these ranges occurs twice, else none."""
    pieces = [np.frombuffer(piece.as_py(), np.int64) for batch in batches for piece in batch.column("hashes")]
    # Each piece is sorted: a stable sort merges them.
    held = np.sort(np.concatenate([np.empty(0, np.int64), *pieces]), kind="stable")
    if (held[1:] == held[:-1]).any():
        yield pa.RecordBatch.from_pydict({"is_twice": pa.array([True])})
