"""Where the week happens: a data home of its own with a house, a Redis server as its store, and ears.

Alerts come to a webhook and spans to an OTLP receiver, both here on loopback.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from jobs.config import ROOT, Config, load
from jobs.demo.lake import write_days
from jobs.demo.source import day_of
from jobs.house import house
from jobs.house.rest import Rest
from jobs.telemetry import ENDPOINT
from tests.e2e.conftest import ENTITIES_WRITTEN, begin_on_the_first_day
from tests.receiver import Received, receiving
from tests.store.servers import HOST, Server, free_ports

FIRST = date(2017, 8, 18)
KEEPING = ("--appendonly", "yes")  # what it was told survives its end
FETCHED = ("jars", "source", "java", "maven")
REACTION_SECONDS = 20.0  # whom an alert wakes needs some time


@dataclass
class Told:
    """What alerts said and when, in order; an operator reads what is new, after a while."""

    alerts: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    read: int = 0

    def new(self) -> list[dict[str, Any]]:
        """Return what came since the last call, and not just now."""
        ripe = [alert for at, alert in self.alerts[self.read :] if time.time() - at > REACTION_SECONDS]
        self.read += len(ripe)
        return ripe


@dataclass
class Place:
    """A running house, and what happens to it is told to."""

    home: Path
    config: Config
    api: Rest
    redis: Server
    told: Told
    received: Received

    def restart_store(self) -> None:
        """Start the store's server anew, with what it kept."""
        self.redis = Server(self.home / "redis", self.redis.port, KEEPING).wait()


@contextmanager
def place(fetched: Path, days: int = 1) -> Iterator[Place]:
    """Make a house in a folder of its own, with the lake of some days; afterwards all of it is removed."""
    # A short path: PostgreSQL's socket has to fit in.
    home = Path(tempfile.mkdtemp(prefix="week-"))
    for name in FETCHED:
        if (fetched / name).exists():
            (home / name).symlink_to(fetched / name)
    [port] = free_ports(1)
    redis = Server(home / "redis", port, KEEPING).wait()
    with listening() as (told, address), receiving() as received:
        overlay = {
            "store": {"url": f"redis://{HOST}:{port}/0?prefix=week"},
            "alerts": {"webhook": "week"},
        }
        (home / "week.yaml").write_text(yaml.safe_dump(overlay))
        for name in [name for name in os.environ if name.startswith(("AIRFLOW", "OTEL"))]:
            del os.environ[name]
        os.environ |= {
            "VITRINE_HOME": str(home),
            "VITRINE_OVERLAY": f"demo,small,{home}/week",
            "VITRINE_ENGINE_PORT": "0",
            "VITRINE_AIRFLOW_PORT": "0",
            "VITRINE_METRICS_TOKEN": "week",
            "NO_PROXY": "127.0.0.1,localhost",
            ENDPOINT: received.address,
            "OTEL_METRIC_EXPORT_INTERVAL": "10000",
        }
        made = None
        try:
            write_days(home, range(day_of(FIRST), day_of(FIRST) + days))
            begin_on_the_first_day(home / "lake")
            api = house.start()
            api.put_connection({"connection_id": "week", "conn_type": "http", "password": address})
            command = [str(Path(sys.executable).parent / "vitrine"), "run", "products"]
            # Vectors are fitted on this day's catalogue.
            subprocess.run([*command, "--from", ENTITIES_WRITTEN], check=True, cwd=ROOT)
            made = Place(home, load(), api, redis, told, received)
            yield made
        finally:
            house.down()
            (made.redis if made else redis).stop()
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def listening() -> Iterator[tuple[Told, str]]:
    """Take alerts as a webhook; give what was told, and the address."""
    told = Told()

    class Listen(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            alert = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.alerts.append((time.time(), alert))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer((HOST, 0), Listen)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield told, f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
