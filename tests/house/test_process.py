"""Processes start apart from us, are known again, and end with all they started."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.house import process
from jobs.house.supervisor import Program

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


def begin(name: str, script: str, home: Path) -> psutil.Process:
    return process.start(name, [sys.executable, "-c", script], home=home, environment=os.environ)


def said(name: str, home: Path) -> str:
    log = process.log_file(name, home)
    assert process.wait_until(
        lambda: log.exists() and log.read_text().endswith("\n"), lambda: True, seconds=10
    )
    return log.read_text()


def test_a_process_is_found_again_and_ended_with_a_child_in_a_session_of_its_own(tmp_path):
    started = begin("parent", PARENT, tmp_path)
    child = psutil.Process(int(said("parent", tmp_path)))
    assert process.running("parent", tmp_path) == started
    assert os.getsid(started.pid) == started.pid != os.getsid(child.pid)

    assert process.stop("parent", tmp_path, patience=5) is True
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert process.running("parent", tmp_path) is None
    assert process.stop("parent", tmp_path) is False


def test_what_a_killed_process_left_behind_is_ended_by_stop_and_by_the_next_start(tmp_path):
    same_session = PARENT.replace(", start_new_session=True", "")
    for ended_by in (lambda: process.stop("parent", tmp_path), lambda: begin("parent", "pass", tmp_path)):
        process.log_file("parent", tmp_path).unlink(missing_ok=True)
        started = begin("parent", same_session, tmp_path)
        child = psutil.Process(int(said("parent", tmp_path)))
        started.kill()
        started.wait()
        assert process.running("parent", tmp_path) is None
        assert child.is_running()
        assert ended_by()
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_ended_meanwhile_is_no_error(tmp_path):
    gone = begin("gone", "pass", tmp_path)
    gone.wait(timeout=10)
    process.end(gone, patience=1)
    assert not gone.is_running()
    assert process.stop("gone", tmp_path) is False


def test_a_process_that_will_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "LAST_PATIENCE", 0.5)
    started = begin("deaf", DEAF, tmp_path)
    said("deaf", tmp_path)
    began = time.monotonic()
    process.end(started, patience=0.5)
    assert process.running("deaf", tmp_path) is None
    assert time.monotonic() - began < 15


def test_somebody_else_s_process_with_our_old_number_is_left_alone(tmp_path):
    record = tmp_path / "run" / "engine.json"
    record.parent.mkdir()
    record.write_text(f'{{"pid": {os.getpid()}, "began": 1.0}}')
    assert process.running("engine", tmp_path) is None
    assert process.stop("engine", tmp_path) is False


def test_a_secret_is_its_owner_s(tmp_path):
    path = tmp_path / "airflow" / "secrets.json"
    process.write_secret(path, "one")
    process.write_secret(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_port_in_use_is_not_taken():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert process.is_listening(port)
        assert process.free_port(port) != port
    assert process.free_port(port) == port
    assert not process.is_listening(port)


def test_a_log_that_grew_too_large_is_put_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "LARGEST_LOG", 3)
    log = process.log_file("engine", tmp_path)
    log.write_text("long")
    assert not process.log_file("engine", tmp_path).exists()
    assert log.with_suffix(".log.1").read_text() == "long"


def test_waiting_ends_when_what_is_waited_for_died():
    assert process.wait_until(lambda: False, lambda: False, seconds=60) is False


@pytest.fixture
def failing() -> Program:
    return Program("failing", [sys.executable, "-c", "import sys; print('tried'); sys.exit(3)"])


def test_a_program_that_keeps_ending_is_started_again_after_longer_and_longer_pauses(tmp_path, failing):
    now, pauses = 0.0, []
    for _ in range(9):
        failing.tend(now, tmp_path)
        assert failing.process is not None
        failing.process.wait()
        failing.tend(now, tmp_path)
        assert failing.process is None
        pauses.append(failing.due - now)
        failing.tend(failing.due - 0.01, tmp_path)
        assert failing.process is None, "started before it was due"
        now = failing.due
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert process.log_file("failing", tmp_path).read_text() == "tried\n" * 9


def test_a_program_that_ran_well_for_long_is_started_again_at_once(tmp_path, failing):
    failing.pause = 60.0
    failing.tend(0.0, tmp_path)
    failing.process.wait()
    failing.tend(1000.0, tmp_path)
    assert failing.due == 1000.5
