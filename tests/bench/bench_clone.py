"""What a newcomer types, in a fresh clone with an environment and a data home of its own.

The set-up with warm package caches, `make demo`, the same again, `make up`, `make down`, and `make test`. The
second demo must say that nothing changed, and leave the rows of `runs` as they are. BENCH_SCALE below 1
leaves out the tests.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from jobs.config import ROOT
from jobs.tables import Tables
from tests.bench.measure import Row, scaled

COMMANDS = ("make setup", "make demo", "make demo", "make up", "make down", "make test")
UNCHANGED = "Tables, layouts and store were there already: nothing changed."


def run() -> list[Row]:
    """Time each command in turn; a failed one raises with what it said."""
    found = []
    with tempfile.TemporaryDirectory(prefix="vitrine-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        try:
            before = 0
            for number, command in enumerate(COMMANDS):
                if command == "make test" and scaled(100) < 100:
                    continue
                seconds, said = typed(command, clone)
                runs = Tables(str(clone / "var" / "tables")).read("runs", columns=["run_id"]).num_rows
                again = command in COMMANDS[:number]
                equal = UNCHANGED in said and runs == before if again else None
                before = runs
                what = f"{command}, again" if again else command
                found.append(Row(f"{what}, in a fresh clone", 1, "s", seconds, equal=equal))
        finally:
            typed("make down", clone)
    return found


def typed(command: str, clone: Path) -> tuple[float, str]:
    """Run a command as a person would, with nothing of this environment; return its seconds and its words."""
    ours = ("VITRINE_", "AIRFLOW", "VIRTUAL_ENV", "PYTHONPATH", "SPARK_", "PYSPARK_", "JAVA_TOOL_OPTIONS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = environment["PATH"].split(os.pathsep)
    environment["PATH"] = os.pathsep.join(part for part in path if not part.startswith(str(ROOT)))
    began = time.perf_counter()
    done = subprocess.run(
        command.split(), cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command} failed: {(done.stdout + done.stderr)[-3000:]}")
    return time.perf_counter() - began, done.stdout
