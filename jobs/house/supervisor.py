"""Keeps programs running: `python -m jobs.house.supervisor engine` (or `airflow`).

A program that ends is started again, after a pause that grows while it keeps ending, so that one that
died in the night costs a retry and not a morning. When the supervisor is asked to end, it ends them all.
"""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from jobs.config import home
from jobs.house.process import log_file

LONGEST_PAUSE = 60.0
STEADY_SECONDS = 120.0


@dataclass
class Program:
    """A supervised program: what it is, and how it has fared."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    pause: float = 0.5
    began: float = 0.0
    due: float = field(default=0.0)

    def tend(self, now: float, folder: Path) -> None:
        """Start the program if it is due; note when it has ended."""
        if self.process is None and now >= self.due:
            _say(f"starting {self.name}")
            with log_file(self.name, folder).open("ab") as log:
                self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT)
            self.began = now
        elif self.process is not None and self.process.poll() is not None:
            steady = now - self.began > STEADY_SECONDS
            self.pause = 0.5 if steady else min(self.pause * 2, LONGEST_PAUSE)
            _say(f"{self.name} ended with {self.process.returncode}; starting it again in {self.pause:g} s")
            self.process, self.due = None, now + self.pause


def supervise(commands: Mapping[str, Sequence[str]], folder: Path, *, patience: float = 6) -> None:
    """Keep `commands` (by name) running until SIGTERM."""
    asked_to_end = False

    def ask(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked_to_end
        asked_to_end = True

    signal.signal(signal.SIGTERM, ask)
    programs = [Program(name, command) for name, command in commands.items()]
    while not asked_to_end:
        for program in programs:
            program.tend(time.monotonic(), folder)
        time.sleep(0.2)
    _say("ending all")
    left = [program.process for program in programs if program.process is not None]
    for process in left:
        process.terminate()
    until = time.monotonic() + patience
    while any(process.poll() is None for process in left) and time.monotonic() < until:
        time.sleep(0.05)
    for process in left:
        if process.poll() is None:
            process.kill()


def _say(what: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {what}", flush=True)


def main() -> None:
    """Supervise the programs that jobs.house.NAME names."""
    os.chdir(home())
    service = importlib.import_module(f"jobs.house.{sys.argv[1]}")
    supervise(service.programs(home()), home())


if __name__ == "__main__":
    main()
