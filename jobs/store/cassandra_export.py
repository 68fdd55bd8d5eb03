"""Exports to Cassandra: rows go by the partition, in unlogged batches, each a single mutation.

What is under way is bounded: WINDOW batches, and WAITING_ROWS rows that wait for their bucket to fill one. A
row may be written twice: where an answer does not come, its batch is sent again.
"""

from collections import deque
from struct import Struct
from typing import Any

import numpy as np
import pyarrow as pa
from cassandra.query import BatchStatement, BatchType, BoundStatement
from numpy.typing import NDArray

from jobs.store import keys
from jobs.store.cassandra_client import FAILURES
from jobs.store.errors import StoreError, StoreGone
from jobs.store.heartbeat import Heartbeat
from jobs.store.held import Step
from jobs.store.on_cassandra import CassandraBackend, bucket
from jobs.store.pointer import COLOURS
from jobs.store.remote_export import RemoteBuilding, RemoteWriter
from jobs.store.walks import counts_problem

BATCH_ROWS = 100
BATCH_BYTES = 32_768
WAITING_ROWS = 100_000
WINDOW = 32
INTEGER = Struct(">i")

ROW = "(bucket, key, value) VALUES (?, ?, ?) USING TTL ?"
INSERT = {one: f"INSERT INTO {{keyspace}}.{one} {ROW}" for one in COLOURS}
DELETE = {one: f"DELETE FROM {{keyspace}}.{one} WHERE bucket = ? AND key = ?" for one in COLOURS}  # noqa: S608

Row = tuple[bytes, bytes | None]


class CassandraWriter(RemoteWriter):
    """A store opened for one export."""

    def build(self, colour: str) -> "CassandraBuilding":
        """Begin a colour."""
        return CassandraBuilding(self, colour)


class CassandraBuilding(RemoteBuilding):
    """A colour that is being built: in a file here first, then in its table."""

    def __init__(self, writer: CassandraWriter, name: str) -> None:
        super().__init__(writer, name)
        self._rows = Rows(self._backend, name, self._terms.life_seconds)

    def _set_heartbeat(self, value: bytes | None) -> None:
        self._rows.put(keys.GENERATION, value)
        self._rows.drain()

    def _bring(self, rows: pa.RecordBatch, step: Step, is_due: NDArray[np.bool_]) -> None:
        self._writer.still_alone()
        # A row's time to live is that of its last writing: what is due is written again as it is.
        some = rows.filter(pa.array(step.is_other | is_due))
        for key, value in zip(*(column.to_pylist() for column in some.columns), strict=True):
            self._rows.put(key, value)
        for key in step.gone.to_pylist():
            self._rows.put(key, None)

    def _drained(self) -> None:
        self._rows.drain()

    def _sent(self) -> int:
        return self._rows.sent_bytes

    def _compared(self, wanted: Heartbeat) -> str:
        try:
            return counts_problem(self.colour(), wanted)
        except StoreGone:
            raise
        except StoreError as error:
            return f"what was written cannot be read: {error}"


class Rows:
    """Rows on their way to a table, gathered by bucket."""

    def __init__(self, backend: CassandraBackend, colour: str, life_seconds: int) -> None:
        self.sent_bytes = 0
        self._backend, self._life = backend, life_seconds
        self._insert, self._delete = INSERT[colour], DELETE[colour]
        self._gathered: dict[int, list[Row]] = {}
        self._sizes: dict[int, int] = {}
        self._waiting = 0
        self._under_way: deque[tuple[Any, BatchStatement]] = deque()

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a row; None deletes it."""
        place, size = bucket(key), len(key) + len(value or b"")
        rows = self._gathered.setdefault(place, [])
        rows.append((key, value))
        self._sizes[place] = self._sizes.get(place, 0) + size
        self._waiting += 1
        if len(rows) >= BATCH_ROWS or self._sizes[place] >= BATCH_BYTES:
            self._send(place)
        elif self._waiting >= WAITING_ROWS:
            self._send_all()

    def drain(self) -> None:
        """Send what waits, and wait until all is answered."""
        self._send_all()
        while self._under_way:
            self._answered()

    def _send_all(self) -> None:
        for place in sorted(self._gathered):
            self._send(place)

    def _send(self, place: int) -> None:
        rows, client = self._gathered.pop(place), self._backend.client
        batch = BatchStatement(BatchType.UNLOGGED)
        batch.is_idempotent = True
        # Values are bytes or 32 bits: the driver's own checks of each would take most of the time.
        at, life = INTEGER.pack(place), INTEGER.pack(self._life)
        insert = BoundStatement(client.prepared(self._insert))
        delete = BoundStatement(client.prepared(self._delete))
        for key, value in rows:
            bound = delete if value is None else insert
            bound.values = [at, key] if value is None else [at, key, value, life]
            batch.add(bound)
        self.sent_bytes += self._sizes.pop(place)
        self._waiting -= len(rows)
        if len(self._under_way) >= WINDOW:
            self._answered()
        self._under_way.append((client.session.execute_async(batch, timeout=client.timeout), batch))

    def _answered(self) -> None:
        """Wait for the oldest answer; where none comes, the batch is sent again, after pauses that grow."""
        client = self._backend.client
        future, batch = self._under_way.popleft()
        try:
            future.result()
        except FAILURES as error:
            client.fail(error, 0)
            client.ask(batch)
