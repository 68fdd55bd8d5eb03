"""A colour's rows into Cassandra, one node of the tests' own: batches by partition against one insert a row.

Rows are layouts of 12 positions (172 bytes) under keys of their own, with a time to live. The peer writes
a tenth of them by the same session and prepared statement, 64 at a time. Rates are of acknowledged rows; both
sides' rows are counted afterwards.
"""

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from cassandra.concurrent import execute_concurrent_with_args

from jobs.config import home
from jobs.store.cassandra_export import INSERT, Rows
from jobs.store.on_cassandra import TABLES, CassandraBackend, bucket
from tests.bench.measure import Row, scaled
from tests.store.cassandra_server import Cassandra

ROWS, SHARE, ROUNDS, LIFE = 300_000, 10, 3, 86_400
VALUE = 172
TOGETHER = 64


def run() -> list[Row]:
    """Write in turns, to one table each."""
    count = scaled(ROWS)
    values = random.Random(8)
    rows = [(b"layout:home:k1-%032x" % number, values.randbytes(VALUE)) for number in range(count)]
    with tempfile.TemporaryDirectory(prefix="vitrine-") as folder:
        server = Cassandra(home(), Path(folder)).wait()
        try:
            server.clear()
            backend = CassandraBackend(server.url).writing()
            for table in TABLES:
                backend.client.ask(backend.client.plain(table))
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(count / _seconds(lambda: _batches(backend, rows)))
                theirs.append(count // SHARE / _seconds(lambda: _one_by_one(backend, rows[: count // SHARE])))
            found = [sum(1 for _ in backend.pairs_of(colour)) for colour in ("maize", "blue")]
        finally:
            server.stop()
    bulk, single = median(ours), median(theirs)
    equal = found == [count, count // SHARE]
    return [
        Row("rows into Cassandra", count, "rows/s", bulk, single, "an insert a row", bulk / single, equal)
    ]


def _batches(backend: CassandraBackend, rows: list[tuple[bytes, bytes]]) -> None:
    sent = Rows(backend, "maize", LIFE)
    for key, value in rows:
        sent.put(key, value)
    sent.drain()


def _one_by_one(backend: CassandraBackend, rows: list[tuple[bytes, bytes]]) -> None:
    client = backend.client
    each = [(bucket(key), key, value, LIFE) for key, value in rows]
    execute_concurrent_with_args(client.session, client.prepared(INSERT["blue"]), each, concurrency=TOGETHER)


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
