"""Exports to a remote store: only what differs from what the dormant colour holds is written.

A generation is first built in files here (stage.py). Then what is new or changed is set, who left is deleted,
a part of the rest gets its time to live anew, and the heartbeat comes last. All is read back and compared
before the pointer moves, in one step that fails if another export moved it or the lock was lost.
"""

import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.store.backends import Backend, Colour
from jobs.store.errors import StoreError, StoreGone
from jobs.store.heartbeat import Heartbeat
from jobs.store.held import Held, Note, Step, digest, parts_of, read, steps, write
from jobs.store.on_lmdb import LmdbBackend, LmdbWriter
from jobs.store.pointer import Pointer
from jobs.store.stage import PAIRS, Stage
from jobs.store.terms import Terms
from jobs.store.walks import Differences, Pair


class RemoteBackend(Backend, Protocol):
    """What an export asks of a store that is not in this machine's files."""

    def writing(self) -> Any:
        """Return the same store with a writer's patience."""

    def lock(self, token: str, milliseconds: int) -> None:
        """Keep other exports out for so long."""

    def keep_lock(self, token: str, milliseconds: int) -> bool:
        """Keep them out for longer; False where the lock was lost."""

    def unlock(self, token: str) -> None:
        """Let others in."""

    def raw_pointer(self) -> bytes:
        """Return the pointer as it is stored, empty where there is none."""

    def grace_left(self) -> float:
        """Return for how many seconds readers may still be on the dormant colour."""

    def flip(self, token: str, before: bytes, after: Pointer, grace_milliseconds: int) -> None:
        """Move readers to a generation, if the pointer is still the one before and the lock is held."""

    def pairs_of(self, colour: str) -> Iterator[Pair]:
        """Walk over a colour's keys and values in order, finished or not, but for the heartbeat."""


class RemoteWriter(ABC):
    """A store opened for one export."""

    def __init__(self, backend: RemoteBackend, terms: Terms) -> None:
        self.backend: Any = backend.writing()
        self.terms = terms
        self._local = LmdbWriter(LmdbBackend(terms.work))
        self.scratch = terms.work
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
            self.scratch = scratch
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

    def differences(self, live: Any) -> Differences:
        """Return a walk that counts what differs from the live colour."""
        if live is None:
            return Differences(())
        self.held(live.name, live.heartbeat)
        return Differences(Held(self.terms.work, live.name).pairs(), seen=digest)

    @abstractmethod
    def build(self, colour: str) -> "RemoteBuilding":
        """Begin a colour."""

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
            made = self.scratch / f"{colour}.asked"
            write(made, self.backend.pairs_of(colour))
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


class RemoteBuilding(ABC):
    """A colour that is being built: in a file here first, then where the store is."""

    def __init__(self, writer: RemoteWriter, name: str) -> None:
        self.name = name
        self.sent_bytes = 0
        self._writer = writer
        self._backend, self._terms = writer.backend, writer.terms
        self._stage = Stage(writer.scratch / f"{name}.pairs", writer.scratch / f"{name}.wanted")
        self._gone = writer.scratch / f"{name}.gone"
        self._note = Note(0, "")

    def fill(self, pairs: Iterable[Pair]) -> None:
        """Take in keys and values, given in order of keys."""
        self._stage.fill(pairs)

    def finish(self, heartbeat: Heartbeat) -> None:
        """Bring the store's colour to what is wanted, the heartbeat last."""
        self._stage.close()
        time.sleep(self._backend.grace_left())
        before = self._writer.held(self.name, self._heartbeat())
        day = date.fromisoformat(heartbeat.layout_date)
        due = before.due(self._terms.renewal_nights, day)
        self._writer.still_alone()
        self._set_heartbeat(None)
        write(self._gone, self._push(due), of=lambda value: value)
        self._writer.still_alone()
        self._set_heartbeat(heartbeat.value())
        renewed = {**before.renewed, **{str(part): day.isoformat() for part in due}}
        self._note = Note(heartbeat.generation, heartbeat.digest, renewed)

    def problem(self, wanted: Heartbeat) -> str:
        """Read everything back; return how it differs from what is wanted, empty if it does not."""
        Held(self._terms.work, self.name).forget()
        return self._compared(wanted)

    def colour(self) -> Colour:
        """Open what was finished, as a reader would."""
        found: Colour = self._backend.colour(self.name)
        return found

    def install(self) -> None:
        """Keep what the colour holds now."""
        Held(self._terms.work, self.name).keep(self._stage.wanted, self._note)

    def discard(self) -> None:
        """Remove what was built here."""
        self._stage.discard()
        self._gone.unlink(missing_ok=True)

    @abstractmethod
    def _set_heartbeat(self, value: bytes | None) -> None:
        """Write the heartbeat, None: delete it."""

    @abstractmethod
    def _bring(self, rows: pa.RecordBatch, step: Step, is_due: NDArray[np.bool_]) -> None:
        """Write of keys and values what is new or changed, renew the life of what is due, delete who left."""

    @abstractmethod
    def _drained(self) -> None:
        """Wait until all that was sent is answered."""

    @abstractmethod
    def _sent(self) -> int:
        """Return how many bytes were sent so far."""

    @abstractmethod
    def _compared(self, wanted: Heartbeat) -> str:
        """Read everything back and compare it."""

    def _push(self, due: list[int]) -> Iterator[Pair]:
        """Write what differs; yield the keys that were deleted."""
        stage, none = self._stage.batches(), pa.RecordBatch.from_pylist([], schema=PAIRS)
        for step in steps(Held(self._terms.work, self.name).batches(), read(self._stage.wanted)):
            rows = next(stage) if len(step.wanted) else none
            is_due = ~step.is_other & np.isin(parts_of(step.wanted, self._terms.renewal_nights), due)
            self._bring(rows, step, is_due)
            for key in step.gone.to_pylist():
                yield key, bytes(16)
        self._drained()
        self.sent_bytes = self._sent()

    def _heartbeat(self) -> Heartbeat | None:
        try:
            found: Heartbeat = self._backend.colour(self.name).heartbeat
        except StoreGone:
            raise
        except StoreError:
            return None  # none, or none that can be read
        return found
