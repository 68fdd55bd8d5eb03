"""The warm process server: a command handed over behaves as if it ran here, and ends with its caller."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture(scope="module")
def warm_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("w")  # a socket's path must be short
    socket = folder / "engine" / "warm"
    server = subprocess.Popen([sys.executable, "-m", "jobs.house.warm", str(socket)])
    until = time.monotonic() + 120
    while not socket.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert socket.exists()
    yield folder
    server.terminate()
    server.wait()


def vitrine(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.command", *arguments]
    environment = {**os.environ, "VITRINE_HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_output_and_exit_codes_come_back(warm_home: Path) -> None:
    pinned = vitrine(warm_home, "pin", "--dag-run", "night")
    assert (pinned.returncode, pinned.stdout) == (0, "0 tables pinned for night.\n")
    not_yet = vitrine(warm_home, "ready", "events", "--from", "2017-09-01", "--to", "2017-09-02")
    assert (not_yet.returncode, not_yet.stdout) == (
        1,
        "events is not done for 2017-09-01 to 2017-09-01 yet.\n",
    )
    unknown = vitrine(warm_home, "run", "nothing")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("vitrine: there is no job 'nothing'; the jobs are ")


def test_only_the_owner_reaches_it(warm_home: Path) -> None:
    assert (warm_home / "engine" / "warm").stat().st_mode & 0o777 == 0o600


def test_a_killed_caller_takes_its_process_along(warm_home: Path) -> None:
    held = warm_home / "held"
    os.mkfifo(held)  # reading conf/ from it never ends
    environment = {
        **os.environ,
        "VITRINE_HOME": str(warm_home),
        "VITRINE_OVERLAY": "demo,../" + os.path.relpath(held, "."),
    }
    (warm_home / "held.yaml").symlink_to(held)
    caller = subprocess.Popen(
        [sys.executable, "-m", "jobs.command", "pin", "--dag-run", "x"], env=environment
    )
    server = next(
        process
        for process in psutil.process_iter(["cmdline"])
        if str(warm_home / "engine" / "warm") in (process.info["cmdline"] or [])
    )
    wait_for(lambda: len(server.children()) == 1)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    wait_for(lambda: not server.children())


def wait_for(condition: object, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.05)
