"""Scripts that run in the peers' own environment (make bench-peers), and how to ask them.

A script takes a folder of .npy arrays and plain arguments, and prints one JSON object as its last line. It
imports nothing of the project.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from jobs.config import home


def ask(script: str, folder: Path, *arguments: object) -> dict[str, Any]:
    """Run tests/bench/peers/SCRIPT.py on the arrays in a folder; return what it says."""
    python = home() / "peers" / "bin" / "python"
    if not python.exists():
        raise RuntimeError(f"The peers are not installed in {python.parent.parent}: run make bench-peers.")
    command = [str(python), str(Path(__file__).parent / f"{script}.py"), str(folder), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script} failed: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
