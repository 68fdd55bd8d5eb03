"""How an ASGI application is served: by uvicorn, in one process, and no connection waits for two rounds."""

import sys
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# How long a thread behind (rankings, spans) may keep requests waiting; Python's own is ten times as long.
SWITCH_SECONDS = 0.0005


class Connection(HttpToolsProtocol):
    """A connection of uvicorn's whose requests are answered one turn of the loop after they were read.

    A busy loop reads all connections that have a request, answers them in that order, and looks again. Who
    was answered last has not asked again by then, waits until all others are answered, and is last again: one
    or two connections of 64 wait twice as long as the rest, always the same ones. A turn later, between the
    reading and the answers, the loop has looked once more and found them.
    """

    def _start_asgi_task(self, *cycle: Any) -> None:
        self.loop.call_soon(super()._start_asgi_task, *cycle)


def serve(application: Any, host: str, port: int) -> None:
    """Serve an ASGI application until the process is told to end."""
    sys.setswitchinterval(SWITCH_SECONDS)
    uvicorn.run(application, host=host, port=port, http=Connection, log_level="warning", access_log=False)
