"""Airflow's database: killed, it is started again with what it held; ended by us, it stays ended."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.house import postgres, process


@pytest.fixture
def short_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a data home whose path is short enough for PostgreSQL's socket."""
    folder = Path(tempfile.mkdtemp(prefix="vitrine-"))
    monkeypatch.setenv("VITRINE_HOME", str(folder))
    yield folder
    postgres.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_database_that_was_killed_is_started_again(short_home: Path) -> None:
    address = postgres.start()
    assert str(short_home) in address
    assert not postgres.revive()
    pid = int((short_home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    assert process.wait_until(lambda: not postgres.is_running(), lambda: True, seconds=10)
    assert postgres.revive()
    assert postgres.is_running()
    assert postgres.stop()
    assert not postgres.is_running()
