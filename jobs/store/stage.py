"""What a remote colour is to hold, in two files here: its keys and values, and its keys with their digests.

Both are written in one pass, batch by batch in order of keys, so the one's batches have the other's rows.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.store import held, keys
from jobs.store.commands import content
from jobs.store.walks import LENGTHS, Pair, Tally

PAIRS = pa.schema([("key", pa.binary()), ("value", pa.binary())])


class Stage:
    """The two files, at `path` and `wanted`; they can be read when `close` was called."""

    def __init__(self, path: Path, wanted: Path) -> None:
        self.wanted = wanted
        self._path = path
        files = [pa.OSFile(str(path), "wb"), pa.OSFile(str(wanted), "wb")]
        self._writers = [pa.ipc.new_file(files[0], PAIRS), pa.ipc.new_file(files[1], held.SCHEMA)]
        self._open = [*self._writers, *files]

    def fill(self, pairs: Iterable[Pair]) -> None:
        """Append keys and values, given in order of keys."""
        remaining = iter(pairs)
        staged, wanted = self._writers
        while batch := list(islice(remaining, held.ROWS)):
            found, values = zip(*batch, strict=True)
            names = pa.array(found, pa.binary())
            staged.write_batch(
                pa.RecordBatch.from_arrays([names, pa.array(values, pa.binary())], schema=PAIRS)
            )
            digests = pa.array(list(map(held.digest, values)), pa.binary(held.WIDTH))
            wanted.write_batch(pa.RecordBatch.from_arrays([names, digests], schema=held.SCHEMA))

    def close(self) -> None:
        """Finish the files."""
        while self._open:
            self._open.pop(0).close()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read keys and values."""
        return held.read(self._path)

    def discard(self) -> None:
        """Remove the files, where they are still here."""
        self.close()
        for path in (self._path, self.wanted):
            path.unlink(missing_ok=True)


def add(tally: Tally, rows: pa.RecordBatch) -> None:
    """Count and hash keys and values, as a walk over them would."""
    lengths = np.stack([pc.binary_length(column).to_numpy() for column in rows.columns], axis=1)
    packed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(LENGTHS.size), len(rows), [None, pa.py_buffer(lengths.astype("<u4"))]
    )
    joined = pc.binary_join_element_wise(packed.cast(pa.binary()), *rows.columns, b"")
    layouts = pc.sum(pc.starts_with(rows["key"], keys.LAYOUT)).as_py() or 0
    tally.add(content(joined), len(rows), layouts)
