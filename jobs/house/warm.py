"""Warm processes for jobs: a server that has imported the heavy libraries and forks a process per command.

Importing Spark's client and Great Expectations costs seconds of CPU, more than a small job itself. `vitrine`
hands its command over a socket that only the owner can reach ({home}/engine/warm); the forked process has
the caller's arguments, environment, folder and output, and its exit code goes back. It ends when the caller
does. The project's own modules are imported after the fork: changed code needs no restart.
"""

import array
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jobs.command import leave

LIBRARIES = (
    "deltalake",
    "duckdb",
    "great_expectations",
    "great_expectations.expectations.core",
    "numba",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic",
    "pyspark.sql.connect.session",
    "pyspark.sql.functions",
    "sklearn.feature_extraction.text",
    "typer",
)
OUTPUTS = 2  # standard output and standard error come with the request
LARGEST = 2**20


@dataclass
class Caller:
    """A caller that waits for its forked process."""

    connection: socket.socket
    pid: int
    exited: int  # a file descriptor that becomes readable when the process has ended
    is_done: bool = False


def serve(path: Path) -> None:
    """Answer requests until the process is ended."""
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.collect()
    gc.freeze()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, selectors.DefaultSelector() as events:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
        events.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.fileobj is listener:
                    _accept(listener, events)
                else:
                    _attend(key.data, key.fd, events)


def _accept(listener: socket.socket, events: selectors.BaseSelector) -> None:
    connection, _ = listener.accept()
    try:
        request, outputs = receive(connection)
    except (OSError, ValueError):
        connection.close()
        return
    pid = os.fork()
    if pid == 0:
        listener.close()
        connection.close()
        leave(partial(_become, request, outputs))
    for output in outputs:
        os.close(output)
    caller = Caller(connection, pid, os.pidfd_open(pid))
    events.register(connection, selectors.EVENT_READ, caller)
    events.register(caller.exited, selectors.EVENT_READ, caller)


def _attend(caller: Caller, ready: int, events: selectors.BaseSelector) -> None:
    """End the process of a caller that is gone; tell a caller how its process ended."""
    if caller.is_done:  # both came in one batch of events, and its end was first
        return
    if ready != caller.exited:
        events.unregister(caller.connection)
        os.kill(caller.pid, signal.SIGKILL)
        return
    caller.is_done = True
    _, status = os.waitpid(caller.pid, 0)
    events.unregister(caller.exited)
    os.close(caller.exited)
    if caller.connection in {key.fileobj for key in events.get_map().values()}:
        events.unregister(caller.connection)
        code = os.waitstatus_to_exitcode(status)
        with suppress(OSError):
            caller.connection.sendall(bytes([code if code >= 0 else 128 - code]))
    caller.connection.close()


def _become(request: dict[str, Any], outputs: list[int]) -> None:
    """Run the command in this forked process, as if the caller had."""
    for number, output in enumerate(outputs, start=1):
        os.dup2(output, number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["vitrine", *request["arguments"]]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("jobs", "ml")]:
        del sys.modules[name]
    importlib.import_module("jobs.cli").main()


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Read a request and the outputs that come with it."""
    room = socket.CMSG_SPACE(OUTPUTS * array.array("i").itemsize)
    content, ancillary, _, _ = connection.recvmsg(LARGEST, room)
    outputs = array.array("i")
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:
            outputs.frombytes(data[: len(data) - len(data) % outputs.itemsize])
    length, _, content = content.partition(b"\n")
    while len(content) < int(length):
        content += connection.recv(LARGEST) or b" " * int(length)
    request: dict[str, Any] = json.loads(content)
    return request, list(outputs)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
