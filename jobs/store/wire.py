"""A connection that many commands go through at once, as bytes; every reply is read and compared.

What is under way is bounded: a batch is sent only when the one WINDOW before it is answered. Where a
connection breaks, all that was not answered goes over a new one: commands must bear being done twice.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from jobs.store.errors import StoreError, StoreGone

WINDOW = 4
ATTEMPTS = 9
LONGEST_PAUSE = 4.0
CHUNK = 1 << 18
LONGEST_LINE = 1024
# Errors of a server that will be over: a cluster chooses a master, a server loads what it had.
PASSING = (b"-MOVED", b"-ASK", b"-TRYAGAIN", b"-CLUSTERDOWN", b"-MASTERDOWN", b"-LOADING", b"-READONLY")


class OtherReply(StoreError):
    """A reply is not the one that was expected; it begins at byte `at` of what was expected of its batch."""

    def __init__(self, message: str, batch: int, at: int) -> None:
        super().__init__(message)
        self.batch = batch
        self.at = at


class Passing(OSError):
    """A server said that it cannot answer just now."""


class Wire:
    """One connection to one node. `connect` makes a connection of redis-py, given anew when one broke."""

    def __init__(self, connect: Callable[[], Any], where: str, errors: tuple[type[Exception], ...]) -> None:
        self.sent_bytes = 0
        self._connect = connect
        self._where = where
        self._errors: tuple[type[Exception], ...] = (OSError, *errors)
        self._waiting: deque[tuple[memoryview, bytes, bool, int]] = deque()
        self._connection: Any = None
        self._buffer = memoryview(bytearray(CHUNK))
        self._batches = 0

    def send(self, commands: memoryview, replies: bytes, *, or_zero: bool = False) -> None:
        """Send a buffer of commands, whose replies must be just these bytes.

        With `or_zero` a 0 is as good as a 1: of what is done twice.

        Raises
        ------
        StoreGone
            When nobody answers, however often it is tried.
        OtherReply, StoreError
            When a reply is another, or an error.

        """
        self._waiting.append((commands, replies, or_zero, self._batches))
        self._batches += 1
        self.sent_bytes += len(commands)
        try:
            if self._connection is None:
                raise Passing("not connected yet")
            self._connection._sock.sendall(commands)
        except self._errors as error:
            self._again(error)
        while len(self._waiting) > WINDOW:
            self._read()

    def drain(self) -> None:
        """Read what is still to be answered."""
        while self._waiting:
            self._read()

    def close(self) -> None:
        """Leave the connection."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def _read(self) -> None:
        try:
            self._compare(*self._waiting[0][1:])
            self._waiting.popleft()
        except self._errors as error:
            self._again(error)

    def _compare(self, expected: bytes, or_zero: bool, batch: int) -> None:
        at, buffer, socket = 0, self._buffer, self._connection._sock
        while at < len(expected):
            count = socket.recv_into(buffer, min(CHUNK, len(expected) - at))
            if not count:
                raise Passing("the connection was closed")
            got, wanted = bytes(buffer[:count]), expected[at : at + count]
            if got != wanted and not (or_zero and got.replace(b"0", b"1") == wanted):
                self._differs(got, wanted, at, batch)
            at += count

    def _differs(self, got: bytes, wanted: bytes, at: int, batch: int) -> None:
        first = next(n for n, (one, other) in enumerate(zip(got, wanted, strict=True)) if one != other)
        line, end, _ = got[got.rfind(b"\n", 0, first) + 1 :].partition(b"\r\n")
        while line.startswith(b"-") and not end and (more := self._connection._sock.recv(LONGEST_LINE)):
            line, end, _ = (line + more).partition(b"\r\n")
        if line.startswith(PASSING):
            raise Passing(line.decode(errors="replace"))
        if line.startswith(b"-"):
            raise StoreError(f"The store at {self._where} refused: {line[1:].decode(errors='replace')}.")
        raise OtherReply(f"The store at {self._where} answered otherwise than expected.", batch, at + first)

    def _again(self, error: Exception) -> None:
        """Connect anew, after pauses that grow, and send all that was not answered."""
        for attempt in range(ATTEMPTS):
            self.close()
            if self._batches > 1 or attempt:
                time.sleep(random.uniform(0, min(LONGEST_PAUSE, 0.05 * 2**attempt)))  # noqa: S311
            try:
                self._connection = self._connect()
                for commands, *_ in self._waiting:
                    self._connection._sock.sendall(commands)
                return
            except self._errors as later:
                error = later
        raise StoreGone(f"The store at {self._where} does not answer: {error}.")
