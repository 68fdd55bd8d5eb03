"""Bandits of 50 arms and 32 features: scores and the best 12 of 100,000 users, fits, and the update of a day.

Both sides read the same .npy files, each in a process of its own; a first round warms up and does not count.
Of floating-point operations only those are counted that the formula needs, 2·n·k·(d + d(d + 1)/2): contexts
times coefficients, and their pairs times the packed covariances; the rate of this machine is that of NumPy's
float32 product of 4,096 × 4,096 matrices on all cores.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ml.bandits.lints import LinTS
from ml.bandits.linucb import LinUCB
from ml.bandits.statistics import of_rows
from tests.bench.measure import Row
from tests.bench.peers import ask

USERS, ROWS, FEATURES, ARMS, LENGTH = 100_000, 200_000, 32, 50, 12
RIDGE, ALPHA = 1.0, 0.5
ROUNDS = 5
HISTORIES = (91, 182, 365)
ROWS_A_DAY = 2_000
PEER = "MABWiser 2.7.4"


def run(users: int = USERS, rows: int = ROWS, rounds: int = ROUNDS) -> list[Row]:
    """Compare scoring and fitting with MABWiser, and a day's update after histories of three lengths."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, users, rows)
        kinds = ("linucb", "lints", "fit")
        mine = {what: ours(folder, what, rounds) for what in (*kinds, "sgemm", "days")}
        theirs = {
            what: ask("mabwiser_bandits", folder, what, rounds + 1, LENGTH, ALPHA, RIDGE) for what in kinds
        }
        equal = {"linucb": agree(folder)}
    table = []
    names = {"linucb": "LinUCB scores + top 12", "lints": "LinTS scores + top 12", "fit": "LinUCB fit"}
    for what, title in names.items():
        seconds, peer = (median(side[what]["seconds"]) for side in (mine, theirs))
        size, peak = rows if what == "fit" else users, mine[what]["peak_mib"]
        table.append(Row(title, size, "s", seconds, peer, PEER, peer / seconds, equal.get(what), peak))
    operations = 2 * users * ARMS * (FEATURES + FEATURES * (FEATURES + 1) / 2)
    rate = operations / median(mine["linucb"]["seconds"]) / 1e9
    machine = 2 * 4096**3 / median(mine["sgemm"]["seconds"]) / 1e9
    table.append(Row("LinUCB's rate", users, "GFLOP/s", rate, machine, "NumPy SGEMM", rate / machine))
    alone, *after = mine["days"]["medians"]
    for days, seconds in zip(HISTORIES, after, strict=True):
        table.append(
            Row(
                "update by a day, after so many days",
                days,
                "s",
                seconds,
                alone,
                "one day alone",
                alone / seconds,
            )
        )
    return table


def write(folder: Path, users: int, rows: int) -> None:
    """Draw a log and contexts into a folder."""
    rng = np.random.default_rng(2017)
    arrays = {
        "past": rng.normal(size=(rows, FEATURES)),
        "actions": rng.integers(0, ARMS, rows),
        "rewards": rng.choice([0.0, 1.0, 3.0], rows),
        "contexts": rng.normal(size=(users, FEATURES)),
    }
    arrays["contexts"] = arrays["contexts"].astype(np.float32).astype(np.float64)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def ours(folder: Path, what: str, rounds: int) -> dict[str, Any]:
    """Run our side in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.bench_bandit", str(folder), what, str(rounds + 1)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def agree(folder: Path) -> bool:
    """Whether LinUCB's scores are MABWiser's to float tolerance, and the best 12 as good."""
    scores, mine = np.load(folder / "scores.npy"), np.load(folder / "mine.npy")
    expectations, best = np.load(folder / "expectations.npy"), np.load(folder / "best.npy")
    picked = [np.take_along_axis(expectations, columns, axis=1) for columns in (mine, best)]
    near = {"rtol": 0, "atol": 1e-5}
    return np.allclose(scores, expectations, **near) and np.allclose(*picked, **near)


def median(seconds: list[float]) -> float:
    """Return the median without the first round."""
    return statistics.median(seconds[1:])


def measure(folder: Path, what: str, rounds: int) -> dict[str, Any]:
    """Time rounds of one kind of work over a folder's arrays, checks of the input included."""
    past, actions, rewards, contexts = (
        np.load(folder / f"{name}.npy") for name in ("past", "actions", "rewards", "contexts")
    )
    users = contexts.astype(np.float32)
    if what == "days":
        return {"medians": days(past, actions, rewards, rounds)}
    sums = of_rows(past, actions, rewards, arms=ARMS)
    model = (LinTS if what == "lints" else LinUCB)(RIDGE, ALPHA).fit(sums)
    keys = np.arange(len(users), dtype=np.uint64)
    normals = model.normals(1, keys, page="bench", epoch=0, arms=[str(arm) for arm in range(ARMS)])
    square = np.random.default_rng(1).normal(size=(4096, 4096)).astype(np.float32)
    work: dict[str, Callable[[], Any]] = {
        "linucb": lambda: model.top(users, length=LENGTH),
        "lints": lambda: model.top(users, length=LENGTH, normals=normals),
        "fit": lambda: LinUCB(RIDGE, ALPHA).fit(of_rows(past, actions, rewards, arms=ARMS)),
        "sgemm": lambda: square @ square,
    }
    seconds = [timed(work[what]) for _ in range(rounds)]
    if what == "linucb":
        np.save(folder / "scores.npy", model.scores(users) + model.bonuses(users))
        np.save(folder / "mine.npy", model.top(users, length=LENGTH))
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def days(past: Any, actions: Any, rewards: Any, rounds: int) -> list[float]:
    """Return the seconds of a day's update, alone and after histories of each length."""
    rows = min(ROWS_A_DAY, len(past))
    sums = of_rows(past[:rows], actions[:rows], rewards[:rows], arms=ARMS)
    found = []
    for length in (0, *HISTORIES):
        seconds = []
        for _ in range(rounds):
            model = LinUCB(RIDGE, ALPHA)
            for _ in range(length):
                model.statistics_ = sums if not hasattr(model, "statistics_") else model.statistics_ + sums
            day = (past[:rows], actions[:rows], rewards[:rows])
            seconds.append(timed(lambda day=day, model=model: model.partial_fit(of_rows(*day, arms=ARMS))))
        found.append(median(seconds))
    return found


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that a piece of work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
