"""What benchmarks share: a row of results, and a timed process."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured thing, beside its peer where it has one."""

    what: str
    size: int
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    equal: bool | None = None
    peak_mib: int = 0


@dataclass(frozen=True)
class Timed:
    """A finished process: seconds from start to exit, and its peak resident size with its children's."""

    seconds: float
    peak_mib: int


def timed(command: Sequence[str], environment: Mapping[str, str | None]) -> Timed:
    """Run a process to its end and time it; a failed one raises with what it said.

    A variable that is None in `environment` is not set for it.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        env={name: value for name, value in {**os.environ, **environment}.items() if value is not None},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {said[-2000:]}")
    return Timed(seconds, used.ru_maxrss // 1024)
