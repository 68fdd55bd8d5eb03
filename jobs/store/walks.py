"""Walks over keys and values in order of keys: what differs, how many there are, and their digest."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING, Literal

from jobs.store import keys
from jobs.store.bounds import Moves

if TYPE_CHECKING:
    from jobs.store.backends import Colour
    from jobs.store.heartbeat import Heartbeat

Pair = tuple[bytes, bytes]
Move = Literal["new", "changed", "gone"]

LENGTHS = Struct("<II")


class Differences:
    """A walk over what is wanted, beside what is there: how many keys are new, changed or gone.

    `other` counts those of them that are there and wanted, with another value; `moves` counts all three of
    layouts alone, by page. `seen` turns a wanted value into what stands there for
    it, as its digest.
    """

    def __init__(self, there: Iterable[Pair], seen: Callable[[bytes], bytes] | None = None) -> None:
        self._seen = seen or (lambda value: value)
        self.count = 0
        self.other = 0
        self.first = b""
        self.moves: dict[str, Moves] = {}
        self._there = iter(there)

    def over(self, wanted: Iterable[Pair]) -> Iterator[Pair]:
        """Pass pairs on, given in order of keys."""
        there = self._there
        key, value = next(there, (None, b""))
        for pair in wanted:
            while key is not None and key < pair[0]:
                self.note(key, "gone")
                key, value = next(there, (None, b""))
            if key != pair[0]:
                self.note(pair[0], "new")
            else:
                if value != self._seen(pair[1]):
                    self.note(key, "changed")
                key, value = next(there, (None, b""))
            yield pair
        while key is not None:
            self.note(key, "gone")
            key, value = next(there, (None, b""))

    def counted(self, wanted: Iterable[Pair]) -> int:
        """Walk to the end, and return how many keys are new, changed or gone."""
        for _ in self.over(wanted):
            pass
        return self.count

    def note(self, key: bytes, what: Move) -> None:
        """Count a key that is new, changed or gone."""
        self.count += 1
        self.other += what == "changed"
        self.first = self.first or key
        if key.startswith(keys.LAYOUT):
            moves = self.moves.setdefault(key.split(b":", 2)[1].decode(), Moves())
            setattr(moves, what, getattr(moves, what) + 1)


class Tally:
    """Digest and counts over keys and values in order: what was wanted and what is there must agree."""

    def __init__(self) -> None:
        self.keys = 0
        self.size = 0
        self.layouts = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def over(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Pass pairs on, counted and hashed."""
        walk = iter(pairs)
        while batch := list(islice(walk, 1024)):
            parts: list[bytes] = []
            for key, value in batch:
                parts += (LENGTHS.pack(len(key), len(value)), key, value)
            layouts = sum(key.startswith(keys.LAYOUT) for key, _ in batch)
            self.add(b"".join(parts), len(batch), layouts)
            yield from batch

    def add(self, content: "bytes | memoryview", count: int, layouts: int) -> None:
        """Count and hash so many pairs, each after the lengths of its key and value, as LENGTHS has them."""
        self._hash.update(content)
        self.keys += count
        self.layouts += layouts
        self.size += len(content) - count * LENGTHS.size

    @property
    def digest(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()

    def problem(self, wanted: "Heartbeat") -> str:
        """Return how counts or digest differ from what is wanted, empty if they agree."""
        for name in ("keys", "layouts", "size", "digest"):
            if getattr(self, name) != getattr(wanted, name):
                return f"its {name} came out as {getattr(self, name)}, not {getattr(wanted, name)}."
        return ""


def counts_problem(colour: "Colour", wanted: "Heartbeat") -> str:
    """Return how a colour's heartbeat, counts or digest differ from what is wanted, empty if they agree."""
    if colour.heartbeat != wanted:
        return f"its heartbeat is {colour.heartbeat}, not {wanted}."
    found = Tally()
    for _ in found.over(colour.pairs()):
        pass
    return found.problem(wanted)
