"""What benchmarks share: a row of results, a timed process, the peak of a process tree, and their scale."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil


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


class Peak:
    """Watches the resident size of this process and all its children: `mib` is the largest sum seen.

    What forked workers share is counted once (proportional set size).
    """

    def __init__(self, every_seconds: float = 0.2) -> None:
        self.every_seconds, self.mib = every_seconds, 0
        self.done = threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.watcher.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self.done.is_set():
            self.mib = max(self.mib, sum(map(_resident, [me, *me.children(recursive=True)])) // 2**20)
            self.done.wait(self.every_seconds)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def scaled(size: int) -> int:
    """Return a size times BENCH_SCALE (1 by default): 0.01 tries a benchmark in a hundredth of its time."""
    return max(1, round(size * float(os.environ.get("BENCH_SCALE", "1"))))
