"""`vitrine serve`, one worker, by wrk over 64 connections, beside a bare ASGI application on the same server.

Both run under uvicorn with the same settings, each in a process of its own, one after the other in turns; the
bare one returns the bytes of one answer of ours, whatever it is asked. Ours makes a pseudonym, reads LMDB (of
layouts of 12 positions), and gives each decision an id; its spans go nowhere, or, in the row that says so, to
a collector on this machine that reads and drops them. A miss is a stranger each time, who tells role, region
and a category: 8 connections, and every request is ranked twice, at once and behind, from 50 widgets; on page
start under rules.

SERVE_SECONDS is how long wrk asks in each round.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import requests

from jobs.ids import pseudonym
from jobs.store.export import export
from tests.bench.measure import Row, scaled
from tests.jobs.test_on_request import ABOUT, steered
from tests.store import given as nights
from tests.store.servers import HOST, free_ports

USERS, ROUNDS, CONNECTIONS, MISSES = 20_000, 3, 64, 8
SECONDS = int(os.environ.get("SERVE_SECONDS", "10"))
WIDGETS, POSITIONS = 50, 12
THEMES = ("assortment", "grocery", "meat", "popular", "produce")
RULES: dict[str, Any] = {
    "diversity": {"kind": "mmr", "strength": 0.05}, "caps": {"grocery": 3}, "spacing": 1,
    "pins": {"1": "category:3"}, "eligible": {"category:0": {"roles": ["recruiter"]}},
}  # fmt: skip
KEY = b"a key of the benchmark"
PATH = "/v1/layouts/home"
ASK = """
local at = 0
request = function()
  at = at + 1
  return wrk.format("GET", string.format("%s", %s))
end
"""
MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Told:
    """What wrk says: requests a second, the 99th percentile in ms, answers that were none."""

    rate: float
    p99: float
    wrong: int


def run() -> list[Row]:
    """Ask both applications in turns, then ours with a collector, then for strangers."""
    if not shutil.which("wrk"):
        print("bench-serve asks with wrk, which is not here: apt-get install wrk.", file=sys.stderr)
        return []  # the other benchmarks need it not
    with tempfile.TemporaryDirectory(prefix="vitrine-") as name:
        folder, users = Path(name), scaled(USERS)
        _store(folder / "store", users)
        hits = _script(folder / "hits.lua", f"{PATH}?user=h%d", f"at * 7919 % {users}")
        telling = "role=consultant&region=North&recent=CHEESE"
        strangers = _script(folder / "misses.lua", f"{PATH}?user=s%d&{telling}", "at")
        ruled = _script(folder / "ruled.lua", f"{PATH.replace('home', 'start')}?user=s%d&{telling}", "at")
        ours, bare = list[Told](), list[Told]()
        for _ in range(ROUNDS):
            with _server("served", folder / "store") as port:
                body = requests.get(f"http://{HOST}:{port}{PATH}?user=h7", timeout=10).content
                ours.append(_asked(port, hits, CONNECTIONS))
            (folder / "body").write_bytes(body)
            with _server("bare", folder / "body") as port:
                bare.append(_asked(port, hits, CONNECTIONS))
        with _server("sink", folder / "body") as sink:
            collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{sink}"}
            with _server("served", folder / "store", collector) as port:
                logged = _asked(port, hits, CONNECTIONS)
        with _server("served", folder / "store") as port:
            missed = _asked(port, strangers, MISSES)
        with _server("served", folder / "store") as port:
            under_rules = _asked(port, ruled, MISSES)
    rate, peer = median(one.rate for one in ours), median(one.rate for one in bare)
    p99, least = median(one.p99 for one in ours), median(one.p99 for one in bare)
    equal = not any(one.wrong for one in (*ours, *bare, logged, missed, under_rules))
    name = "bare ASGI"
    return [
        Row(f"serve, {CONNECTIONS} connections", users, "requests/s", rate, peer, name, rate / peer, equal),
        Row("serve, spans to a collector", users, "requests/s", logged.rate, peer, name, logged.rate / peer),
        Row(f"serve p99, {CONNECTIONS} connections", users, "ms", p99, least, name, least / p99),
        Row("serve p99, spans to a collector", users, "ms", logged.p99, least, name, least / logged.p99),
        Row(f"miss p99, {MISSES} connections", users, "ms", missed.p99, 20.0, "the bar", 20.0 / missed.p99),
        Row(f"misses, {MISSES} connections", users, "requests/s", missed.rate),
        Row("miss p99, under rules", users, "ms", under_rules.p99, 20.0, "the bar", 20.0 / under_rules.p99),
        Row("misses, under rules", users, "requests/s", under_rules.rate),
    ]


def _store(folder: Path, users: int) -> None:
    rows = [
        nights.layout(pseudonym("user", f"h{number}", key=KEY, key_id="k1"), "home", positions=POSITIONS)
        for number in range(users)
    ]
    inputs = nights.inputs([*rows, *nights.layouts([])], nights.lists())
    policies = {"home": _policy("home", ABOUT), "start": _policy("start", steered(POSITIONS, **RULES))}
    export(str(folder), nights.night(), replace(inputs, policies=policies))


def _policy(page: str, about: dict[str, Any]) -> dict[str, Any]:
    """Return what ranks a page of 12 positions from 50 widgets."""
    widgets = [f"category:{number}" for number in range(WIDGETS)]
    theta = np.random.default_rng(3).normal(scale=0.3, size=(WIDGETS, len(ABOUT["theta"][0])))
    made = {**about, "page": page, "positions": POSITIONS, "candidates": widgets, "theta": theta.tolist()}
    static = {f"share/{widget}": 0.02 for widget in widgets}
    labels = {widget: {"theme": THEMES[place % len(THEMES)]} for place, widget in enumerate(widgets)}
    return {**made, "static": static, "labels": labels}


def _script(path: Path, address: str, value: str) -> Path:
    path.write_text(ASK % (address, value))
    return path


@contextmanager
def _server(what: str, path: Path, environment: dict[str, str] | None = None) -> Iterator[int]:
    """Run one of the applications below in a process of its own, and give its port."""
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "tests.bench.bench_serve", what, str(path), str(port)]
    with subprocess.Popen(command, env={**os.environ, **(environment or {})}) as process:
        try:
            for _ in range(600):
                try:
                    requests.get(f"http://{HOST}:{port}/health", timeout=1)
                    break
                except requests.ConnectionError:
                    time.sleep(0.1)
            yield port
        finally:
            process.terminate()


def _asked(port: int, script: Path, connections: int) -> Told:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", str(script)]
    said = subprocess.run(
        [*command, f"http://{HOST}:{port}"], check=True, capture_output=True, text=True
    ).stdout
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    p99, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)", said)[0]
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])
    return Told(rate, float(p99) * MS[unit], int(wrong[1]) if wrong else 0)


def main(what: str, path: str, port: str) -> None:
    """Serve an application until the process is told to end."""
    if what == "served":
        from jobs.decision_spans import to_collector
        from jobs.serve import SERVICE, SPAN, application
        from jobs.serving import serve

        with to_collector(SERVICE, SPAN) as log:
            serve(application(f"lmdb:{path}", "generation", KEY, "k1", log), HOST, int(port))
    else:
        from jobs.serving import serve

        serve(_bare(Path(path).read_bytes()), HOST, int(port))


def _bare(body: bytes):  # type: ignore[no-untyped-def]
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def application(scope, receive, send):  # type: ignore[no-untyped-def]
        if scope["type"] == "lifespan":
            for _ in range(2):
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
            return
        if scope["method"] == "POST":
            while (await receive()).get("more_body"):
                pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


if __name__ == "__main__":
    main(*sys.argv[1:])
