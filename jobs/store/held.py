"""What a colour holds on a server, known here: its keys in order, each with the digest of its value.

A file of Arrow batches beside a note of the generation that it is of. Where it is not of the generation that
the server's heartbeat names, it is made anew from what the server holds: so a crash, another machine or a
server that lost something costs time, and no mistake.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.store.heartbeat import Heartbeat
from jobs.store.walks import Pair

ROWS = 16_384
WIDTH = 16
UNKNOWN = 10**6
SCHEMA = pa.schema([("key", pa.binary()), ("digest", pa.binary(WIDTH))])


def digest(value: bytes) -> bytes:
    """Return the digest of a value."""
    return blake2b(value, digest_size=WIDTH).digest()


@dataclass
class Note:
    """Of which generation a file is, and when each part of its keys last got its full time to live."""

    generation: int
    digest: str
    renewed: dict[str, str] = field(default_factory=dict)

    def due(self, parts: int, day: date) -> list[int]:
        """Return the parts to renew on a day: the one that waits longest, and all that wait too long.

        A colour is written every other night, so each part comes round within 2 × parts nights.
        """
        ages = {part: self._age(part, day) for part in range(parts)}
        oldest = max(ages, key=lambda part: (ages[part], -part))
        return [part for part, age in ages.items() if part == oldest or age > 2 * parts]

    def _age(self, part: int, day: date) -> int:
        renewed = self.renewed.get(str(part))
        return (day - date.fromisoformat(renewed)).days if renewed else UNKNOWN


class Held:
    """The file of a colour in a folder."""

    def __init__(self, folder: Path, colour: str) -> None:
        self.path = folder / f"{colour}.held"
        self._note = folder / f"{colour}.json"

    def note(self, of: Heartbeat | None) -> Note | None:
        """Return the note, if file and note are of the generation that a heartbeat names."""
        try:
            found = Note(**json.loads(self._note.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        same = of is not None and (found.generation, found.digest) == (of.generation, of.digest)
        return found if same and self.path.exists() else None

    def keep(self, made: Path, note: Note) -> None:
        """Put a file in its place, with its note."""
        self.forget()
        made.rename(self.path)
        self._note.write_text(json.dumps(asdict(note)))

    def forget(self) -> None:
        """Trust the file no more."""
        self._note.unlink(missing_ok=True)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read the file, a batch at a time."""
        return read(self.path)

    def pairs(self) -> Iterator[Pair]:
        """Walk over keys and digests."""
        for batch in self.batches():
            yield from zip(batch["key"].to_pylist(), batch["digest"].to_pylist(), strict=True)


def write(path: Path, pairs: Iterable[Pair], *, of: Callable[[bytes], bytes] = digest) -> None:
    """Write keys, given in order, with the digests of their values."""
    remaining = iter(pairs)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        while batch := list(islice(remaining, ROWS)):
            columns = [pa.array([key for key, _ in batch], pa.binary())]
            digests = [of(value) for _, value in batch]
            writer.write_batch(
                pa.RecordBatch.from_arrays([*columns, pa.array(digests, pa.binary(WIDTH))], schema=SCHEMA)
            )


def read(path: Path) -> Iterator[pa.RecordBatch]:
    """Read a file that `write` wrote."""
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


@dataclass(frozen=True)
class Step:
    """A batch of keys that are wanted, which of them are new or changed, and keys that must go."""

    wanted: pa.RecordBatch
    is_other: NDArray[np.bool_]
    gone: pa.BinaryArray


def steps(before: Iterable[pa.RecordBatch], wanted: Iterable[pa.RecordBatch]) -> Iterator[Step]:
    """Compare two walks in order of keys, in memory that does not grow with them."""
    earlier = iter(before)
    rest = SCHEMA.empty_table()
    batch = None
    for batch in wanted:
        last = batch["key"][-1].as_py()
        while not len(rest) or rest["key"][-1].as_py() <= last:
            more = next(earlier, None)
            if more is None:
                break
            rest = pa.concat_tables([rest, pa.Table.from_batches([more])])
        count = _upto(rest["key"], last)
        yield _step(rest.slice(0, count).combine_chunks(), batch)
        rest = rest.slice(count)
    if batch is None:
        return
    nothing = batch.slice(0, 0)
    for gone in (*rest.to_batches(), *earlier):
        yield Step(nothing, np.zeros(0, dtype=bool), gone["key"])


def parts_of(batch: pa.RecordBatch, parts: int) -> NDArray[np.uint64]:
    """Return in which part each key is: the same for as long as its value is."""
    return _words(batch["digest"])[:, 0] % np.uint64(parts)


def _step(before: pa.Table, wanted: pa.RecordBatch) -> Step:
    none = pa.array([], pa.binary())
    if not len(before):
        return Step(wanted, np.ones(len(wanted), dtype=bool), none)
    old = before.to_batches()[0]
    new = _words(wanted["digest"])
    if old["key"].equals(wanted["key"]):
        return Step(wanted, (_words(old["digest"]) != new).any(axis=1), none)
    place = pc.fill_null(pc.index_in(wanted["key"], value_set=old["key"]), -1).to_numpy()
    is_there = place >= 0
    is_other = ~is_there
    is_other[is_there] = (_words(old["digest"])[place[is_there]] != new[is_there]).any(axis=1)
    left = np.ones(len(old), dtype=bool)
    left[place[is_there]] = False
    return Step(wanted, is_other, old["key"].filter(pa.array(left)))


def _words(digests: pa.FixedSizeBinaryArray) -> NDArray[np.uint64]:
    data = np.frombuffer(digests.buffers()[1], np.uint64)
    start = digests.offset * WIDTH // 8
    return data[start : start + len(digests) * WIDTH // 8].reshape(-1, WIDTH // 8)


def _upto(keys: pa.ChunkedArray, last: bytes) -> int:
    """Return how many keys, in order, are not after the last."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle].as_py() <= last:
            low = middle + 1
        else:
            high = middle
    return low
