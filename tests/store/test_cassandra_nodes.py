"""Three nodes of Cassandra with a copy each: what one of them does that is lost in mid-export."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from jobs.config import home
from jobs.store import StoreError, cassandra_export
from jobs.store.care import verify
from jobs.store.cassandra_client import Client
from jobs.store.cassandra_export import Rows
from jobs.store.terms import Terms
from tests.store import crash
from tests.store import given as nights
from tests.store.cassandra_server import KEYSPACE, Cassandra
from tests.store.conftest import Place
from tests.store.given import DAY
from tests.store.servers import free_ports, until

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@contextmanager
def three(folder) -> Iterator[tuple[list[Cassandra], Place]]:
    """Start three nodes, one after the other, and give a store of which each has a copy."""
    port, storage, *management = free_ports(5)
    nodes = []
    try:
        for host, own in zip(HOSTS, management, strict=True):
            node = Cassandra(home(), folder / host, host=host, ports=(port, storage, own))
            nodes.append(node)
            node.wait()
        known = tuple((host, port) for host in HOSTS)
        client = Client(known, KEYSPACE, "", "the tests", 30, 3)
        until(lambda: len(client.session.cluster.metadata.all_hosts()) == len(HOSTS))
        copies = "{{'class': 'SimpleStrategy', 'replication_factor': 3}}"
        client.ask(client.plain(f"CREATE KEYSPACE {{keyspace}} WITH replication = {copies}"))
        url = f"cassandra://{','.join(f'{host}:{port}' for host in HOSTS)}/{KEYSPACE}"
        yield nodes, Place(url, Terms(folder / "work", renewal_nights=3, grace_seconds=0))
    finally:
        for node in nodes:
            node.stop()


@pytest.mark.slow
def test_a_node_lost_in_mid_export_leaves_yesterday_live_or_the_export_whole(tmp_path, monkeypatch):
    """Two of three copies are a quorum: readers go on all the while, and so may the export."""
    with three(tmp_path) as (nodes, place):
        place.export(nights.night(), crash.first())
        first, store = place.content(), place.store()
        assert crash.epochs_of(store) == {0}
        sent, real = [], Rows._send

        def losing(rows, bucket):
            sent.append(bucket)
            if len(sent) == 50:
                nodes[2].stop()
            real(rows, bucket)

        over, seen = threading.Event(), []

        def keep_reading():
            while not over.is_set():
                seen.append(crash.epochs_of(store))

        reader = threading.Thread(target=keep_reading)
        reader.start()
        with monkeypatch.context() as patch:
            patch.setattr(cassandra_export.Rows, "_send", losing)
            try:
                done = place.export(nights.night(DAY + timedelta(1)), crash.second())
            except StoreError:
                done = None
        over.set()
        reader.join()
        assert len(sent) > 100
        assert set().union(*seen) <= {0, 1}
        if done is None:
            assert (place.live().generation, place.content()) == (1, first)
        else:
            assert (done.live.generation, place.live().generation) == (2, 2)
            assert verify(place.url).startswith("Generation 2 on blue is whole")
        nodes[2].start()
        nodes[2].wait()
        again = place.export(nights.night(DAY + timedelta(2)), crash.rows_of(2, 30))
        assert again.live.generation == place.live().generation == (2 if done is None else 3)
