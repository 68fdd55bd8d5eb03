"""Background processes: started apart from whoever started them, known by a file, ended with all theirs.

{home}/run/NAME.json holds a process's id and the moment it began, so that an id that the system gave to
somebody else meanwhile is never taken for ours. {home}/logs/NAME.log holds what it said.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from jobs.house import HouseError

LARGEST_LOG = 20 * 2**20
LAST_PATIENCE = 5.0  # seconds that what a process left behind has to end


def start(name: str, command: Sequence[str], *, home: Path, environment: Mapping[str, str]) -> psutil.Process:
    """Start `command` in a session of its own, and remember it; what a killed one left behind ends first."""
    stop(name, home)
    started = subprocess.Popen(
        list(command),
        cwd=home,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=log_file(name, home).open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    process = psutil.Process(started.pid)
    record = _record(name, home)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"pid": process.pid, "began": process.create_time()}))
    return process


def running(name: str, home: Path) -> psutil.Process | None:
    """Return the process of that name if it is alive."""
    known = _known(name, home)
    try:
        process = psutil.Process(int(known["pid"])) if known else None
    except psutil.NoSuchProcess:
        return None
    return process if process and _is_ours(process, known) else None


def stop(name: str, home: Path, *, patience: float = 20) -> bool:
    """End the process of that name and all its descendants; say whether any ran.

    If it was killed itself, those that it started are found by the session that it began.
    """
    process, known = running(name, home), _known(name, home)
    left = [process] if process else _left_behind(known)
    for member in left:
        end(member, patience=patience)
    _record(name, home).unlink(missing_ok=True)
    return bool(left)


def end(process: psutil.Process, *, patience: float) -> None:
    """Ask a process to end; after `patience` seconds kill it and whatever it left behind."""
    # Tasks run in sessions of their own, which no signal to a group reaches: hence the list, taken first.
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):  # it may have ended with another one
        family = process.children(recursive=True)
        process.terminate()
    psutil.wait_procs([process], timeout=patience)
    left = [member for member in [*family, process] if member.is_running()]
    for member in left:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=LAST_PATIENCE)
    for member in stubborn:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    # Orphans of a program that was killed are no descendants any more, but still of the group.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=LAST_PATIENCE)


def log_file(name: str, home: Path) -> Path:
    """Return where the process of that name writes; what grew too large is put aside first."""
    path = home / "logs" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.replace(path.with_suffix(".log.1"))
    return path


def last_words(name: str, home: Path, *, lines: int = 8) -> str:
    """Return the end of a process's log."""
    said = log_file(name, home)
    return "\n".join(said.read_text(errors="replace").splitlines()[-lines:]) if said.exists() else ""


def free_port(preferred: int = 0) -> int:
    """Return `preferred` if nobody listens there, else any free port; 0 asks for any."""
    for port in (preferred, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise HouseError("No port is free on 127.0.0.1.")


def is_listening(port: int) -> bool:
    """Whether somebody listens on that port of 127.0.0.1."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(
    ready: Callable[[], bool], alive: Callable[[], bool], *, seconds: float, pause: float = 0.2
) -> bool:
    """Wait until `ready`; False when the time is over or what is waited for is no longer `alive`."""
    end_at = time.monotonic() + seconds
    while time.monotonic() < end_at:
        if ready():
            return True
        if not alive():
            return False
        time.sleep(pause)
    return False


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrival = path.with_suffix(".arrival")
    arrival.unlink(missing_ok=True)
    with os.fdopen(os.open(arrival, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    arrival.replace(path)


def _record(name: str, home: Path) -> Path:
    return home / "run" / f"{name}.json"


def _known(name: str, home: Path) -> dict[str, float]:
    try:
        return dict(json.loads(_record(name, home).read_text()))
    except FileNotFoundError:
        return {}


def _is_ours(process: psutil.Process, known: Mapping[str, float]) -> bool:
    return abs(process.create_time() - known["began"]) < 1 and process.status() != psutil.STATUS_ZOMBIE


def _left_behind(known: Mapping[str, float]) -> list[psutil.Process]:
    """Members of a session whose leader is gone: its number is nobody else's while one of them lives."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if (
                known
                and os.getsid(process.pid) == known["pid"] != process.pid
                and process.create_time() >= known["began"] - 1
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
    return found
