"""`vitrine`: hands a job to the warm process server where one runs, else runs it here.

This module imports nothing heavy: a command that is handed over starts in a few hundredths of a second.
"""

import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

HANDED_OVER = ("run", "pin", "ready", "newest", "closing")


def main() -> None:
    """Run a command of `vitrine`."""
    if sys.argv[1:2] and sys.argv[1] in HANDED_OVER:
        code = hand_over(sys.argv[1:])
        if code is not None:
            sys.exit(code)
    from jobs.cli import main as run_here

    if sys.argv[1:2] == ["query"]:
        # Threads of a query that needs no more rows may still read; the interpreter's own end under them was
        # seen to crash and to hang.
        leave(run_here)
    run_here()


def leave(run: Callable[[], None]) -> NoReturn:
    """Run, and end the process at once, with the exit code that the interpreter would have ended with."""
    code = 1
    try:
        run()
        code = 0
    except SystemExit as end:
        code = _code(end.code)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _code(said: str | int | None) -> int:
    if isinstance(said, str):
        sys.stderr.write(f"{said}\n")
        return 1
    return said or 0


def hand_over(arguments: list[str]) -> int | None:
    """Run a command in a warm process and return its exit code; None when there is no server."""
    root = Path(__file__).resolve().parent.parent
    home = Path(os.environ.get("VITRINE_HOME") or root / "var").absolute()
    request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    content = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(home / "engine" / "warm"))
        except OSError:
            return None
        signal.signal(signal.SIGTERM, _end)
        head = b"%d\n" % len(content)
        sent = socket.send_fds(connection, [head + content], [1, 2])
        connection.sendall((head + content)[sent:])
        answer = connection.recv(1)
    if not answer:
        sys.exit("The warm process server ended while the command ran: run it again.")
    return answer[0]


def _end(number: int, _: FrameType | None) -> None:
    """End on a signal, which closes the connection, and so ends the process at its other end."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
