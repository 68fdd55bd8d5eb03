"""What a store is kept in: each backend is one file that offers this to readers (writers.py: to exports).

| address | backend | file |
|---|---|---|
| `lmdb:FOLDER`, or a folder | LMDB: two files and a pointer beside them | on_lmdb.py |
| `redis://`, `rediss://`, each also with `+cluster` | a server of the Redis protocol | on_redis.py |
| `cassandra://` | Cassandra, for what outgrows memory | on_cassandra.py |
"""

from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from jobs.store import on_lmdb
from jobs.store.codec import Names
from jobs.store.errors import StoreError
from jobs.store.heartbeat import Heartbeat
from jobs.store.pointer import Pointer
from jobs.store.walks import Pair


class Colour(Protocol):
    """A colour opened for reading."""

    where: str
    heartbeat: Heartbeat
    names: Names

    def get(self, key: bytes) -> bytes | None:
        """Return a key's value."""

    def get_all(self, wanted: Iterable[bytes]) -> list[bytes | None]:
        """Return the values of several keys."""

    def pairs(self) -> Iterator[Pair]:
        """Walk over all keys and values in order, but for the heartbeat."""

    def stored_bytes(self) -> int:
        """Return what it takes where it is kept, 0 where nobody can say."""


class Backend(Protocol):
    """A store opened for reading. What cannot be reached or read is a StoreError."""

    where: str

    def version(self) -> Hashable | None:
        """Return what becomes another when the pointer moves, at little cost; None where there is none."""

    def pointer(self) -> Pointer | None:
        """Return the pointer, None where nothing was exported yet."""

    def colour(self, name: str) -> Colour:
        """Open a finished colour."""


REDIS = ("redis", "rediss", "redis+cluster", "rediss+cluster")

Address = str | Path | Backend


def backend_of(address: Address) -> Backend:
    """Return the backend of an address; one that is opened already is its own.

    Raises
    ------
    StoreError
        When there is no backend for addresses of this kind.

    """
    if not isinstance(address, str | Path):
        return address
    scheme, colon, rest = str(address).partition(":")
    if not colon or scheme == "lmdb":
        return on_lmdb.LmdbBackend(Path(rest if colon else scheme))
    if scheme in REDIS:
        try:
            from jobs.store.on_redis import RedisBackend
        except ImportError:
            raise StoreError(f"{scheme}: needs redis-py: pip install 'vitrine[redis]'.") from None
        return RedisBackend(str(address))
    if scheme == "cassandra":
        try:
            from jobs.store.on_cassandra import CassandraBackend
        except ImportError:
            raise StoreError("cassandra: needs cassandra-driver: pip install 'vitrine[cassandra]'.") from None
        return CassandraBackend(str(address))
    known = ", ".join(f"{one}:" for one in ("lmdb", *REDIS, "cassandra"))
    raise StoreError(f"store.url names the backend {scheme}:, which is not one of {known}.")
