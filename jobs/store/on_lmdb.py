"""A store in LMDB: each colour is one immutable file, maize.lmdb or blue.lmdb, and live.json is the pointer.

A colour is built beside its place and renamed into it. A reader that still has an older file of that name
open keeps it (its inode lives on), so no file that anyone reads is ever written to. The pointer is replaced
whole (written beside, synced, renamed, folder synced): a reader finds the old or the new one, never a part.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Lock, local
from weakref import WeakValueDictionary

import lmdb

from jobs.store import keys
from jobs.store.codec import Names, decode_names
from jobs.store.errors import BrokenValue, Busy, NotThere
from jobs.store.heartbeat import Heartbeat, read_heartbeat
from jobs.store.pointer import Pointer, decode_pointer, encode_pointer
from jobs.store.walks import Differences, Pair, counts_problem

BATCH = 20_000
FIRST_MAP = 64 << 20
POINTER = "live.json"
SCRATCH = "scratch"
# To ask for the pointer's file costs half of what a read does; where many are made, few of them ask.
LOOK_SECONDS = 0.005
CLOSING = 100  # attempts, a millisecond apart


class LmdbColour:
    """A colour's file, opened for reading; shared by all that read it in this process, as LMDB demands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = str(path)
        self.env = lmdb.open(
            str(path),
            subdir=False,
            readonly=True,
            lock=False,
            create=False,
            readahead=False,
            max_spare_txns=16,
        )
        # The file never changes, so a thread reads all it ever reads in one transaction: to begin one costs
        # half as much again as to look up a key.
        self._own = local()
        self.heartbeat = read_heartbeat(self.get(keys.GENERATION), self.where)
        self.names: Names = decode_names(self.get(keys.NAMES) or b"")

    def get(self, key: bytes) -> bytes | None:
        """Return a key's value."""
        try:
            reading = self._own.reading
        except AttributeError:
            reading = self._own.reading = self.env.begin()
        try:
            found: bytes | None = reading.get(key)
        except lmdb.BadValsizeError:
            return None  # longer than any key that is there
        return found

    def get_all(self, wanted: Iterable[bytes]) -> list[bytes | None]:
        """Return the values of several keys."""
        return [self.get(key) for key in wanted]

    def pairs(self) -> Iterator[Pair]:
        """Walk over all keys and values in order, but for the heartbeat."""
        try:
            with self.env.begin() as reading:
                for key, value in reading.cursor():
                    if key != keys.GENERATION:
                        yield key, value
        except lmdb.Error as error:
            raise BrokenValue(f"{self.path} is damaged: {error}.") from None

    def stored_bytes(self) -> int:
        """Return the file's size."""
        return self.path.stat().st_size


class LmdbBackend:
    """A folder with two colours and a pointer; it need not be there yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where = str(folder)
        self._pointer = str(folder / POINTER)
        self._version: Hashable | None = None
        self._look_at = 0.0

    def version(self) -> Hashable | None:
        """Return the pointer file's time, inode and size, as they were within the last LOOK_SECONDS."""
        now = time.monotonic()
        if now >= self._look_at or self._version is None:
            try:
                status = os.stat(self._pointer)  # noqa: PTH116 - a Path costs twice as much
            except OSError:
                self._version = None
                return None
            self._version = status.st_mtime_ns, status.st_ino, status.st_size
            self._look_at = now + LOOK_SECONDS
        return self._version

    def pointer(self) -> Pointer | None:
        """Return the pointer, None where there is none."""
        path = self.folder / POINTER
        try:
            return decode_pointer(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None

    def colour(self, name: str) -> LmdbColour:
        """Open a finished colour."""
        try:
            return open_colour(self.path(name))
        except OSError as error:
            raise NotThere(f"{name} cannot be opened: {error}.") from None

    def path(self, colour: str) -> Path:
        """Return the file of a colour."""
        return self.folder / f"{colour}.lmdb"


_open: WeakValueDictionary[tuple[int, int], LmdbColour] = WeakValueDictionary()
_opening = Lock()


def open_colour(path: Path) -> LmdbColour:
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
            found = _open[status.st_dev, status.st_ino] = _opened(path)
        return found


def _opened(path: Path) -> LmdbColour:
    """Open a file; where another thread is just closing it, LMDB takes it for open until that is done."""
    attempts = 0
    while True:
        try:
            return LmdbColour(path)
        except lmdb.Error as error:
            attempts += 1
            if "already open" not in str(error) or attempts == CLOSING:
                raise BrokenValue(f"{path} is no colour of a store: {error}.") from None
        time.sleep(0.001)


class LmdbBuilding:
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
            self._write(batch)

    def put(self, pairs: Iterable[Pair]) -> None:
        """Add keys and values in any order."""
        self._write(list(pairs), append=False)

    def pairs(self) -> Iterator[Pair]:
        """Walk over what is there so far, in order of keys, but for the heartbeat."""
        with self._env.begin() as reading:
            for key, value in reading.cursor():
                if key != keys.GENERATION:
                    yield key, value

    def finish(self, heartbeat: Heartbeat) -> None:
        """Append the heartbeat, which sorts after all else, and make the file last."""
        self._write([(keys.GENERATION, heartbeat.value())])
        self._env.sync(True)
        self._env.close()

    def colour(self) -> LmdbColour:
        """Open what was finished, before it is installed."""
        return open_colour(self.path)

    def problem(self, wanted: Heartbeat) -> str:
        """Return how what was finished differs from what is wanted, empty if it does not."""
        return counts_problem(self.colour(), wanted)

    def install(self) -> None:
        """Give the finished file the colour's name; readers do not look there before the pointer moves."""
        self.path.rename(self.place)
        sync_folder(self.place.parent)

    def discard(self) -> None:
        """Remove what was built and not installed."""
        self._env.close()
        self.path.unlink(missing_ok=True)

    def _write(self, batch: list[Pair], *, append: bool = True) -> None:
        while True:
            try:
                with self._env.begin(write=True) as writing:
                    writing.cursor().putmulti(batch, append=append)
                return
            except lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])


class LmdbWriter:
    """What exports do to a folder."""

    def __init__(self, backend: LmdbBackend) -> None:
        self.backend = backend

    @contextmanager
    def alone(self) -> Iterator[Path]:
        """Keep other exports out, clear what a killed one left, and give a folder for scratch."""
        folder = self.backend.folder
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "export.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(f"Another export is writing to {folder}: wait until it is done.") from None
            scratch = folder / SCRATCH
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def differences(self, live: LmdbColour | None) -> Differences:
        """Return a walk that counts what differs from the live colour."""
        return Differences(live.pairs() if live else ())

    def build(self, colour: str) -> LmdbBuilding:
        """Begin a colour."""
        return LmdbBuilding(self.backend.path(colour))

    def flip(self, before: Pointer | None, after: Pointer) -> None:  # noqa: ARG002 - the lock kept others out
        """Move readers to a generation, in one atomic step."""
        beside = self.backend.folder / f"{POINTER}.new"
        with beside.open("wb") as file:
            file.write(encode_pointer(after))
            file.flush()
            os.fsync(file.fileno())
        beside.rename(self.backend.folder / POINTER)
        sync_folder(self.backend.folder)

    def clear(self) -> list[str]:
        """Remove what killed exports left behind, and tell what."""
        told = []
        folder = self.backend.folder
        for path in sorted([*folder.glob("*.building"), *folder.glob(f"{POINTER}.new")]):
            told.append(f"{path.name}: {path.stat().st_size:,} bytes removed")
            path.unlink()
        return told


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
