"""Exports to a server of the Redis protocol: only what differs from what the dormant colour holds is written.

A generation is first built in a file here. Then what is new or changed is set, who left is deleted, a part of
the rest gets its time to live anew, and the heartbeat comes last. All is read back and compared before the
pointer moves, in one step that fails if another export moved it or the lock was lost.
"""

import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from jobs.store import commands, keys
from jobs.store.errors import StoreError, StoreGone
from jobs.store.heartbeat import Heartbeat
from jobs.store.held import Held, Note, digest, parts_of, read, steps, write
from jobs.store.on_lmdb import LmdbBackend, LmdbBuilding, LmdbWriter
from jobs.store.on_redis import PASSING, RedisBackend, RedisColour
from jobs.store.pointer import Pointer
from jobs.store.terms import Terms
from jobs.store.walks import Differences, Pair, Tally
from jobs.store.wire import OtherReply, Wire

BATCH = 1_000


class RedisWriter:
    """A store opened for one export."""

    def __init__(self, backend: RedisBackend, terms: Terms) -> None:
        self.backend = backend.writing()
        self.terms = terms
        self._local = LmdbWriter(LmdbBackend(terms.work))
        self._scratch = terms.work
        self._token = ""
        self._before = b""
        self._kept = 0.0

    @contextmanager
    def alone(self) -> Iterator[Path]:
        """Keep other exports out, here and elsewhere."""
        self._token = secrets.token_hex(8)
        milliseconds = round(1000 * self.terms.lock_seconds)
        over = threading.Event()
        with self._local.alone() as scratch:
            self._scratch = scratch
            self._kept = time.monotonic()
            self.backend.lock(self._token, milliseconds)
            keeper = threading.Thread(target=self._keep, args=(over, milliseconds), daemon=True)
            keeper.start()
            try:
                self._before = self.backend.raw_pointer()
                yield scratch
            finally:
                over.set()
                keeper.join()
                self._unlock()

    def differences(self, live: RedisColour | None) -> Differences:
        """Return a walk that counts what differs from the live colour."""
        if live is None:
            return Differences(())
        self.held(live.name, live.heartbeat)
        return Differences(Held(self.terms.work, live.name).pairs(), seen=digest)

    def build(self, colour: str) -> "RedisBuilding":
        """Begin a colour."""
        return RedisBuilding(self, colour, self._scratch)

    def flip(self, before: Pointer | None, after: Pointer) -> None:  # noqa: ARG002 - its bytes were kept
        """Move readers to a generation, if nobody else did meanwhile."""
        grace = round(1000 * self.terms.grace_seconds)
        self.backend.flip(self._token, self._before, after, grace)

    def clear(self) -> list[str]:
        """Remove what killed exports left behind here."""
        return self._local.clear()

    def held(self, colour: str, heartbeat: Heartbeat | None) -> Note:
        """Make sure that it is known here what a colour holds; ask the server where it is not."""
        here = Held(self.terms.work, colour)
        note = here.note(heartbeat)
        if note is None:
            made = self._scratch / f"{colour}.asked"
            write(made, self.backend.pairs(self.backend.data_prefix(colour)))
            generation, known = (heartbeat.generation, heartbeat.digest) if heartbeat else (0, "")
            note = Note(generation, known)
            here.keep(made, note)
        return note

    def still_alone(self) -> None:
        """Stop before anything is written that another export may have the right to write by now."""
        if time.monotonic() - self._kept > self.terms.lock_seconds:
            raise StoreError(f"The export's lock at {self.backend.where} was lost on the way: run it again.")

    def _keep(self, over: threading.Event, milliseconds: int) -> None:
        while not over.wait(self.terms.lock_seconds / 4):
            began = time.monotonic()
            with suppress(StoreError):  # one that cannot be reached keeps no lock: see still_alone
                if self.backend.keep_lock(self._token, milliseconds):
                    self._kept = began

    def _unlock(self) -> None:
        with suppress(StoreError):  # it ends by itself
            self.backend.unlock(self._token)


class RedisBuilding:
    """A colour that is being built: in a file here first, then on the server."""

    def __init__(self, writer: RedisWriter, name: str, scratch: Path) -> None:
        self.name = name
        self.sent_bytes = 0
        self._writer = writer
        self._backend, self._terms = writer.backend, writer.terms
        self._prefix = self._backend.data_prefix(name)
        self._stage = LmdbBuilding(scratch / f"{name}.lmdb")
        self._wanted = scratch / f"{name}.wanted"
        self._gone = scratch / f"{name}.gone"
        self._note = Note(0, "")
        self._wires: dict[str, Wire] = {}
        self._owners = np.array([], dtype=str)

    def fill(self, pairs: Iterable[Pair]) -> None:
        """Take in keys and values, given in order of keys."""
        self._stage.fill(pairs)

    def finish(self, heartbeat: Heartbeat) -> None:
        """Bring the server's colour to what is wanted, the heartbeat last."""
        write(self._wanted, self._stage.pairs())
        time.sleep(self._backend.grace_left())
        before = self._writer.held(self.name, self._heartbeat())
        day = date.fromisoformat(heartbeat.layout_date)
        due = before.due(self._terms.renewal_nights, day)
        self._writer.still_alone()
        with self._backend.reached() as client:
            client.delete(self._prefix + keys.GENERATION)
        write(self._gone, self._push(due), of=lambda value: value)
        self._writer.still_alone()
        with self._backend.reached() as client:
            client.set(self._prefix + keys.GENERATION, heartbeat.value(), ex=self._terms.life_seconds)
        renewed = {**before.renewed, **{str(part): day.isoformat() for part in due}}
        self._note = Note(heartbeat.generation, heartbeat.digest, renewed)

    def problem(self, wanted: Heartbeat) -> str:
        """Read everything back; return how it differs from what is wanted, empty if it does not."""
        Held(self._terms.work, self.name).forget()
        tally = Tally()
        remaining = tally.over(self._stage.pairs())
        batch: list[Pair] = []
        try:
            while batch := list(islice(remaining, BATCH)):
                for wire, part in self._routed(_columns(batch)):
                    wire.send(commands.gets(self._prefix, part["key"]), commands.got(part["value"]))
            for gone in read(self._gone):
                for wire, part in self._routed(gone):
                    wire.send(commands.exists(self._prefix, part["key"]), b":0\r\n" * len(part))
            self._drained()
        except OtherReply as error:
            return f"what was written did not come back ({error})"
        for name in ("keys", "layouts", "size", "digest"):
            if getattr(tally, name) != getattr(wanted, name):
                return f"its {name} came out as {getattr(tally, name)}, not {getattr(wanted, name)}."
        found = self._heartbeat()
        return "" if found == wanted else f"its heartbeat is {found}, not {wanted}."

    def colour(self) -> RedisColour:
        """Open what was finished, as a reader would."""
        return self._backend.colour(self.name)

    def install(self) -> None:
        """Keep what the colour holds now."""
        Held(self._terms.work, self.name).keep(self._wanted, self._note)

    def discard(self) -> None:
        """Remove what was built here."""
        for wire in self._wires.values():
            wire.close()
        self._stage.discard()
        for path in (self._wanted, self._gone):
            path.unlink(missing_ok=True)

    def _push(self, due: list[int]) -> Iterator[Pair]:
        """Write what differs; yield the keys that were deleted."""
        stage = self._stage.pairs()
        parts, life = self._terms.renewal_nights, self._terms.life_seconds
        for step in steps(Held(self._terms.work, self.name).batches(), read(self._wanted)):
            batch = list(islice(stage, len(step.wanted)))
            if step.is_other.any():
                for wire, some in self._cut(_columns(batch).filter(pa.array(step.is_other))):
                    sets = commands.sets(self._prefix, some["key"], some["value"], life)
                    wire.send(sets, b"+OK\r\n" * len(some))
            is_due = ~step.is_other & np.isin(parts_of(step.wanted, parts), due)
            for wire, some in self._cut(step.wanted.filter(pa.array(is_due))):
                wire.send(commands.expires(self._prefix, some["key"], life), b":1\r\n" * len(some))
            for wire, some in self._cut(pa.RecordBatch.from_arrays([step.gone], ["key"])):
                unlinks = commands.unlinks(self._prefix, some["key"])
                wire.send(unlinks, b":1\r\n" * len(some), or_zero=True)
            for key in step.gone.to_pylist():
                yield key, bytes(16)
        self._drained()
        self.sent_bytes = sum(wire.sent_bytes for wire in self._wires.values())

    def _cut(self, rows: pa.RecordBatch) -> Iterator[tuple[Wire, pa.RecordBatch]]:
        for start in range(0, len(rows), BATCH):
            self._writer.still_alone()
            yield from self._routed(rows.slice(start, BATCH))

    def _routed(self, rows: pa.RecordBatch) -> Iterator[tuple[Wire, pa.RecordBatch]]:
        """Yield, of the nodes that have some of the keys, the wire and the rows."""
        if not self._backend.is_cluster:
            yield self._wire("", 0), rows
            return
        if not self._wires:
            self._owners = np.array(self._backend.owners())
        slots = commands.slots(self._prefix, rows["key"])
        owners = self._owners[slots]
        for node in np.unique(owners):
            places = np.flatnonzero(owners == node)
            yield self._wire(str(node), int(slots[places[0]])), rows.take(pa.array(places))

    def _wire(self, node: str, slot: int) -> Wire:
        if node not in self._wires:
            where = f"{self._backend.where} ({node})" if node else self._backend.where
            self._wires[node] = Wire(lambda: self._backend.connect(slot), where, PASSING)
        return self._wires[node]

    def _drained(self) -> None:
        for wire in self._wires.values():
            wire.drain()

    def _heartbeat(self) -> Heartbeat | None:
        try:
            return self._backend.colour(self.name).heartbeat
        except StoreGone:
            raise
        except StoreError:
            return None  # none, or none that can be read


def _columns(batch: list[Pair]) -> pa.RecordBatch:
    columns = zip(*batch, strict=True)
    return pa.RecordBatch.from_arrays([pa.array(column, pa.binary()) for column in columns], ["key", "value"])
