"""Colours on LMDB: each is one immutable file, maize.lmdb or blue.lmdb, built beside and renamed into place.

A reader that still has an older file of that name open keeps it (its inode lives on), so no file that anyone
reads is ever written to.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from struct import Struct
from threading import Lock
from typing import Any, Literal
from weakref import WeakValueDictionary

import lmdb

from jobs.store import keys
from jobs.store.bounds import Figures, Moves, read_figures
from jobs.store.codec import Names, decode_names
from jobs.store.errors import BrokenValue
from jobs.store.pointer import sync_folder

Pair = tuple[bytes, bytes]
Move = Literal["new", "changed", "gone"]

BATCH = 20_000
FIRST_MAP = 64 << 20
_LENGTHS = Struct("<II")


@dataclass
class Heartbeat:
    """What the key `~generation` says: that this file is whole, and what it holds."""

    generation: int
    layout_date: str
    digest: str
    keys: int
    size: int
    layouts: int
    defaults: dict[str, int] = field(default_factory=dict)
    pages: Figures = field(default_factory=dict)
    why: str = ""  # bounds did not hold

    def value(self) -> bytes:
        """Return the value as stored."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True).encode()


class Colour:
    """A colour's file, opened for reading; shared by all that read it in this process, as LMDB demands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env = lmdb.open(
            str(path),
            subdir=False,
            readonly=True,
            lock=False,
            create=False,
            readahead=False,
            max_spare_txns=16,
        )
        self.heartbeat = self._heartbeat()
        self.names: Names = decode_names(self.get(keys.NAMES) or b"")

    def get(self, key: bytes) -> bytes | None:
        """Return a key's value."""
        with self.env.begin() as reading:
            return reading.get(key)

    def get_all(self, wanted: Iterable[bytes]) -> list[bytes | None]:
        """Return the values of several keys."""
        with self.env.begin() as reading:
            return [reading.get(key) for key in wanted]

    def pairs(self) -> Iterator[Pair]:
        """Walk over all keys and values in order, but for the heartbeat."""
        with self.env.begin() as reading:
            for key, value in reading.cursor():
                if key != keys.GENERATION:
                    yield key, value

    def _heartbeat(self) -> Heartbeat:
        try:
            content: dict[str, Any] = json.loads(self.get(keys.GENERATION) or b"")
            content["pages"] = read_figures(content.get("pages", {}))
            content.setdefault("why", "")
            return Heartbeat(**{name: content[name] for name in Heartbeat.__dataclass_fields__})
        except (ValueError, KeyError, TypeError):
            raise BrokenValue(
                f"{self.path} has no readable heartbeat: it is no finished generation."
            ) from None


_open: WeakValueDictionary[tuple[int, int], Colour] = WeakValueDictionary()
_opening = Lock()


def open_colour(path: Path) -> Colour:
    """Open a finished colour's file for reading.

    Raises
    ------
    FileNotFoundError, BrokenValue
        When it is not there, or is no finished generation.

    """
    with _opening:
        status = path.stat()
        found = _open.get((status.st_dev, status.st_ino))
        if found is None:
            try:
                found = Colour(path)
            except lmdb.Error as error:
                raise BrokenValue(f"{path} is no colour of a store: {error}.") from None
            _open[status.st_dev, status.st_ino] = found
        return found


def colour_path(folder: Path, colour: str) -> Path:
    """Return the file of a colour."""
    return folder / f"{colour}.lmdb"


class Building:
    """A colour being built beside its place, in order of keys: equal content gives equal bytes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.path = place.with_name(place.name + ".building")
        self.path.unlink(missing_ok=True)
        self._env = lmdb.open(
            str(self.path), subdir=False, lock=False, sync=False, metasync=False, map_size=FIRST_MAP
        )

    def fill(self, pairs: Iterable[Pair]) -> None:
        """Append keys and values, given in order of keys."""
        remaining = iter(pairs)
        while batch := list(islice(remaining, BATCH)):
            self._append(batch)

    def finish(self, heartbeat: Heartbeat) -> None:
        """Append the heartbeat, which sorts after all else, and make the file last."""
        self._append([(keys.GENERATION, heartbeat.value())])
        self._env.sync(True)
        self._env.close()

    def install(self) -> None:
        """Give the finished file the colour's name; readers do not look there before the pointer moves."""
        self.path.rename(self.place)
        sync_folder(self.place.parent)

    def discard(self) -> None:
        """Remove what was built and not installed."""
        self._env.close()
        self.path.unlink(missing_ok=True)

    def _append(self, batch: list[Pair]) -> None:
        while True:
            try:
                with self._env.begin(write=True) as writing:
                    writing.cursor().putmulti(batch, append=True)
                return
            except lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])


class Differences:
    """A walk over what is wanted, beside what is there: how many keys are new, changed or gone.

    `moves` counts the same of layouts alone, by page.
    """

    def __init__(self, there: Iterable[Pair]) -> None:
        self.count = 0
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
                if value != pair[1]:
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
                parts += (_LENGTHS.pack(len(key), len(value)), key, value)
                self.layouts += key.startswith(keys.LAYOUT)
            content = b"".join(parts)
            self._hash.update(content)
            self.keys += len(batch)
            self.size += len(content) - len(batch) * _LENGTHS.size
            yield from batch

    @property
    def digest(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()
