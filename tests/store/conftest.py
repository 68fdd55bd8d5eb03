"""Stores of every kind, for the tests that all of them must pass."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.config import home
from jobs.store import Store, live
from jobs.store.export import export
from jobs.store.reader import open_live
from jobs.store.terms import Terms
from tests.store.given import NOON
from tests.store.servers import HOST, Cluster, Server, free_ports

KINDS = ("lmdb", "redis", "cluster", pytest.param("cassandra", marks=pytest.mark.slow))
numbers = itertools.count()


@pytest.fixture(autouse=True)
def readers_look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let readers of LMDB ask where the pointer points at each read, not once in LOOK_SECONDS."""
    monkeypatch.setattr("jobs.store.on_lmdb.LOOK_SECONDS", 0.0)


@dataclass
class Place:
    """Where a test's store is, and by which terms it is written to."""

    url: str
    terms: Terms

    def export(self, night: Any, inputs: Any, **more: Any) -> Any:
        return export(self.url, night, inputs, terms=self.terms, **more)

    def store(self) -> Store:
        return Store.open(self.url, clock=lambda: NOON)

    def content(self) -> dict[bytes, bytes]:
        """Return all keys and values of the live generation."""
        return dict(open_live(self.url).colour.pairs())

    def live(self) -> Any:
        return live(self.url)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a Redis server."""
    started = Server(tmp_path_factory.mktemp("redis"), free_ports(1)[0]).wait()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Return a cluster of three masters."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def cassandra(tmp_path_factory):
    """Return a Cassandra server with a keyspace."""
    from tests.store.cassandra_server import Cassandra

    started = Cassandra(home(), tmp_path_factory.mktemp("cassandra")).wait()
    yield started
    started.stop()


@pytest.fixture(params=KINDS)
def place(request, tmp_path) -> Place:
    """Return an empty store of each kind."""
    return _place(request, tmp_path, request.param)


@pytest.fixture(params=["redis", "cluster"])
def remote(request, tmp_path) -> Place:
    """Return an empty store on a Redis server, and on a cluster."""
    return _place(request, tmp_path, request.param)


def _place(request, folder: Path, kind: str) -> Place:
    terms = Terms(folder / "work", renewal_nights=3, grace_seconds=0)
    if kind == "lmdb":
        return Place(f"lmdb:{folder / 'store'}", terms)
    if kind == "cassandra":
        server = request.getfixturevalue("cassandra")
        server.clear()
        return Place(server.url, terms)
    prefix = f"t{next(numbers)}"
    if kind == "redis":
        return Place(f"redis://{HOST}:{request.getfixturevalue('server').port}/0?prefix={prefix}", terms)
    return Place(f"{request.getfixturevalue('cluster').url}?prefix={prefix}", terms)
