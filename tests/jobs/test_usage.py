"""What a run used: its own processor time, and the engine's without those who fork the jobs."""

import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest

from jobs import shell, usage
from jobs.config import Config, load
from jobs.house import process
from jobs.shell import Ask
from jobs.tables import Tables

DAY = date(2017, 10, 12)
SUPERVISOR = """
import subprocess, sys, time
burn = "import time\\nend = time.process_time() + {}\\nwhile time.process_time() < end: pass\\ntime.sleep(60)"
worker = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn.format(0.1)!r}])"
server = [sys.executable, "-c", worker]
warm = [sys.executable, "-c", burn.format(0.6), "jobs.house.warm"]
for child in [subprocess.Popen(server), subprocess.Popen(warm)]:
    child.wait()
"""


def with_engine(kind: str) -> Config:
    config = load()
    return config.model_copy(update={"engine": config.engine.model_copy(update={"kind": kind})})


def test_the_engine_is_its_server_and_workers_and_not_who_forks_jobs(home: Path) -> None:
    config = with_engine("connect")
    assert usage.engine_seconds(config) is None
    process.start(usage.ENGINE, [sys.executable, "-c", SUPERVISOR], home=home, environment={"PATH": ""})
    try:
        # Until all have burnt what they burn: with the other's 0.6 s it were more than 0.7.
        end, seen, before = time.monotonic() + 60, 0.0, -1.0
        while time.monotonic() < end and (seen < 0.1 or seen != before):
            time.sleep(0.3)
            seen, before = usage.engine_seconds(config) or 0.0, seen
        assert 0.1 <= seen < 0.6
        assert usage.engine_seconds(with_engine("submit")) is None
    finally:
        process.stop(usage.ENGINE, home, patience=1)


def test_a_run_keeps_what_it_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load()
    told = iter([100.0, 107.5, 50.0, 3.0])
    monkeypatch.setattr(usage, "engine_seconds", lambda _: next(told))
    for _ in range(2):
        with shell.recorded("users", Ask(DAY, DAY + timedelta(1)), config, {}) as run:
            end = time.process_time() + 0.05
            while time.process_time() < end:
                pass
            run.status = "published"
    rows = sorted(Tables(config.tables).read("runs").to_pylist(), key=lambda row: row["started_at"])
    # The second engine was started anew on the way: what it used is not known.
    assert [row["engine_cpu_seconds"] for row in rows] == [7.5, None]
    assert all(0.05 <= row["cpu_seconds"] < 5 for row in rows)
