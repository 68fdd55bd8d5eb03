"""What an export needs of a backend: to be alone, to build and verify a colour, and to flip to it."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from jobs.store.backends import Address, Colour, backend_of
from jobs.store.heartbeat import Heartbeat
from jobs.store.on_lmdb import LmdbBackend, LmdbWriter
from jobs.store.pointer import Pointer
from jobs.store.terms import Terms
from jobs.store.walks import Differences, Pair


class Building(Protocol):
    """A colour that is being built; readers are not led to it before the pointer moves."""

    def fill(self, pairs: Iterable[Pair]) -> None:
        """Append keys and values, given in order of keys."""

    def finish(self, heartbeat: Heartbeat) -> None:
        """Put everything in its place, the heartbeat last."""

    def problem(self, wanted: Heartbeat) -> str:
        """Read it back; return how it differs from what is wanted, empty if it does not."""

    def colour(self) -> Colour:
        """Open what was finished, as a reader would."""

    def install(self) -> None:
        """Make the verified colour last."""

    def discard(self) -> None:
        """Remove what was built and not installed."""


class Writer(Protocol):
    """A store opened for one export."""

    backend: Any

    def alone(self) -> AbstractContextManager[Path]:
        """Keep other exports out, clear what a killed one left, and give a folder for scratch."""

    def differences(self, live: Any) -> Differences:
        """Return a walk that counts what differs from the live colour, None where there is none."""

    def build(self, colour: str) -> Building:
        """Begin a colour."""

    def flip(self, before: Pointer | None, after: Pointer) -> None:
        """Move readers to a generation, in one atomic step; it must be the one before that is live."""

    def clear(self) -> list[str]:
        """Remove what killed exports left behind, and tell what."""


def writer_of(address: Address, terms: Terms | None = None) -> Writer:
    """Return what writes to the store at an address; one that is not in this machine's files needs terms."""
    backend: Any = backend_of(address)
    if isinstance(backend, LmdbBackend):
        return LmdbWriter(backend)
    assert terms is not None, "a remote store needs a folder to work in"
    if str(backend.where).startswith("cassandra:"):
        from jobs.store.cassandra_export import CassandraWriter

        return CassandraWriter(backend, terms)
    from jobs.store.redis_export import RedisWriter

    return RedisWriter(backend, terms)
