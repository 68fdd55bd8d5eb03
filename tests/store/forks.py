"""A process that has imported everything and made inputs, and forks those that tests start and kill.

It does nothing else, so it has no threads that a fork could break. `python -m tests.store.forks` reads a line
of JSON a request: `["start", NAME, ...]` forks a process that calls that function of crash.py and answers its
pid; `["wait", PID]` answers how it ended and what the function returned.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Forks:
    """The process, as tests see it."""

    def __enter__(self) -> "Forks":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.forks"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def start(self, name: str, *arguments: Any) -> int:
        """Call a function of crash.py in a process of its own; return its pid."""
        return int(self._asked("start", name, *arguments))

    def wait(self, pid: int) -> tuple[int, Any]:
        """Return how a process ended (a signal as a negative number), and what its function returned."""
        ended, result = self._asked("wait", pid)
        return ended, result

    def stop(self, pid: int) -> tuple[int, Any]:
        """Tell a process that it is over, and wait for it."""
        os.kill(pid, signal.SIGTERM)
        return self.wait(pid)

    def _asked(self, *request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def main() -> None:
    """Serve until the input ends."""
    from tests.store import crash

    crash.second()
    results: dict[int, int] = {}
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        if what == "start":
            reading, writing = os.pipe()
            pid = os.fork()
            if not pid:
                result = getattr(crash, arguments[0])(*arguments[1:])
                os.write(writing, json.dumps(result).encode())
                os._exit(0)
            os.close(writing)
            results[pid] = reading
            answer: Any = pid
        else:
            with os.fdopen(results.pop(arguments[0]), "rb") as told:
                content = told.read()
            _, status = os.waitpid(arguments[0], 0)
            answer = (os.waitstatus_to_exitcode(status), json.loads(content) if content else None)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
