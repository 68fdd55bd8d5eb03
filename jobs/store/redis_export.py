"""Exports to a server of the Redis protocol: commands by the batch, every reply compared."""

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.store import commands, keys
from jobs.store.heartbeat import Heartbeat
from jobs.store.held import Step, read
from jobs.store.on_redis import PASSING
from jobs.store.remote_export import RemoteBuilding, RemoteWriter
from jobs.store.stage import add
from jobs.store.walks import Tally
from jobs.store.wire import OtherReply, Wire

BATCH = 1_000


class RedisWriter(RemoteWriter):
    """A store opened for one export."""

    def build(self, colour: str) -> "RedisBuilding":
        """Begin a colour."""
        return RedisBuilding(self, colour)


class RedisBuilding(RemoteBuilding):
    """A colour that is being built: in a file here first, then on the server."""

    def __init__(self, writer: RedisWriter, name: str) -> None:
        super().__init__(writer, name)
        self._prefix = self._backend.data_prefix(name)
        self._wires: dict[str, Wire] = {}
        self._nodes: list[str] = []
        self._owners = np.array([], dtype=np.uint16)  # by slot the place of its node in `_nodes`

    def discard(self) -> None:
        """Remove what was built here."""
        for wire in self._wires.values():
            wire.close()
        super().discard()

    def _set_heartbeat(self, value: bytes | None) -> None:
        with self._backend.reached() as client:
            if value is None:
                client.delete(self._prefix + keys.GENERATION)
            else:
                client.set(self._prefix + keys.GENERATION, value, ex=self._terms.life_seconds)

    def _bring(self, rows: pa.RecordBatch, step: Step, is_due: NDArray[np.bool_]) -> None:
        life = self._terms.life_seconds
        if step.is_other.any():
            others = rows if step.is_other.all() else rows.filter(pa.array(step.is_other))
            for wire, some in self._cut(others):
                sets = commands.sets(self._prefix, some["key"], some["value"], life)
                wire.send(sets, b"+OK\r\n" * len(some))
        for wire, some in self._cut(step.wanted.filter(pa.array(is_due))):
            wire.send(commands.expires(self._prefix, some["key"], life), b":1\r\n" * len(some))
        for wire, some in self._cut(pa.RecordBatch.from_arrays([step.gone], ["key"])):
            unlinks = commands.unlinks(self._prefix, some["key"])
            wire.send(unlinks, b":1\r\n" * len(some), or_zero=True)

    def _compared(self, wanted: Heartbeat) -> str:
        tally = Tally()
        try:
            for batch in self._stage.batches():
                add(tally, batch)
                for wire, part in self._routed(batch):
                    wire.send(commands.gets(self._prefix, part["key"]), commands.got(part["value"]))
            for gone in read(self._gone):
                for wire, part in self._routed(gone):
                    wire.send(commands.exists(self._prefix, part["key"]), b":0\r\n" * len(part))
            self._drained()
        except OtherReply as error:
            return f"what was written did not come back ({error})"
        if problem := tally.problem(wanted):
            return problem
        found = self._heartbeat()
        return "" if found == wanted else f"its heartbeat is {found}, not {wanted}."

    def _cut(self, rows: pa.RecordBatch) -> Iterator[tuple[Wire, pa.RecordBatch]]:
        for routed in self._routed(rows):
            self._writer.still_alone()
            yield routed

    def _routed(self, rows: pa.RecordBatch) -> Iterator[tuple[Wire, pa.RecordBatch]]:
        """Yield rows, BATCH at most, with the wire to the node that has their keys."""
        if not self._backend.is_cluster:
            yield from ((self._wire("", 0), part) for part in _parts(rows))
            return
        if not len(rows):
            return
        if not self._wires:
            nodes, owners = np.unique(self._backend.owners(), return_inverse=True)
            self._nodes, self._owners = nodes.tolist(), owners.astype(np.uint16)
        slots = commands.slots(self._prefix, rows["key"])
        owners = self._owners[slots]
        order = np.argsort(owners, kind="stable")
        rows, counts = rows.take(pa.array(order)), np.bincount(owners, minlength=len(self._nodes))
        of_nodes, start = [], 0
        for node, count in zip(self._nodes, counts.tolist(), strict=True):
            if count:
                wire = self._wire(node, int(slots[order[start]]))
                of_nodes.append([(wire, part) for part in _parts(rows.slice(start, count))])
                start += count
        # In turns, so that all nodes have something to do.
        for together in zip_longest(*of_nodes):
            yield from (one for one in together if one is not None)

    def _wire(self, node: str, slot: int) -> Wire:
        if node not in self._wires:
            where = f"{self._backend.where} ({node})" if node else self._backend.where
            self._wires[node] = Wire(lambda: self._backend.connect(slot), where, PASSING)
        return self._wires[node]

    def _drained(self) -> None:
        for wire in self._wires.values():
            wire.drain()

    def _sent(self) -> int:
        return sum(wire.sent_bytes for wire in self._wires.values())


def _parts(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    return (rows.slice(start, BATCH) for start in range(0, len(rows), BATCH))
