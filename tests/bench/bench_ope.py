"""Off-policy evaluation of 1 M rows and 50 actions: seven estimators and their intervals, beside obp 0.4.1.

Both sides read the same .npy files, each in a process of its own; a first round warms up and does not count.
obp does not redraw the normaliser of a self-normalised estimator: for its index stream ours is held fixed
too, so that the ends can be compared; with Poisson weights it is redrawn, as everywhere but here.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ml.ope.bootstrap import Kind, bootstrap
from ml.ope.doubly_robust import DirectMethod, DoublyRobust, SelfNormalisedDR, ShrunkDR, SwitchDR
from ml.ope.importance import IPS, SNIPS
from ml.ope.log import Log
from ml.ope.rows import rows_of
from ml.ope.target import target_of
from ml.ope.terms import Terms
from tests.bench.measure import Row
from tests.bench.peers import ask

ROWS, ACTIONS = 1_000_000, 50
ROUNDS = 5
RESAMPLES, SEED = 100, 12345
ESTIMATORS = {
    "ipw": IPS(),
    "snipw": SNIPS(),
    "dm": DirectMethod(),
    "dr": DoublyRobust(),
    "sndr": SelfNormalisedDR(),
    "switch-dr": SwitchDR(5.0),
    "dr-os": ShrunkDR(5.0),
}
COLUMNS = ("actions", "rewards", "propensities", "target", "predictions")


def run(rows: int = ROWS, rounds: int = ROUNDS) -> list[Row]:
    """Compare values, intervals by both streams, and the memory that values take."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write(folder, rows)
        mine = {what: ours(folder, what, rounds) for what in ("values", "multinomial", "poisson")}
        theirs = {what: ask("obp_estimators", folder, what, rounds + 1) for what in ("values", "intervals")}
    obp = {what: statistics.median(found["seconds"][1:]) for what, found in theirs.items()}
    table = [
        ("seven estimators' values", "values", "values"),
        (f"their intervals, {RESAMPLES} resamples, obp's index stream", "multinomial", "intervals"),
        (f"their intervals, {RESAMPLES} resamples, Poisson weights", "poisson", "intervals"),
    ]
    found = []
    for what, a, b in table:
        seconds = statistics.median(mine[a]["seconds"][1:])
        # Poisson weights are other draws: their ends are near obp's, not equal.
        equal = None if a == "poisson" else agree(mine[a], theirs[b])
        peak = mine[a]["peak_mib"]
        found.append(Row(what, rows, "s", seconds, obp[b], "obp 0.4.1", obp[b] / seconds, equal, peak))
    peak = mine["values"]["peak_mib"]
    return [*found, Row("peak memory of values", rows, "× input", peak * 2**20 / size, peak_mib=peak)]


def write(folder: Path, rows: int) -> int:
    """Draw a log, a target and predictions into a folder; return their bytes."""
    rng = np.random.default_rng(2017)
    propensities = rng.uniform(0.005, 0.055, rows)
    target = rng.random((rows, ACTIONS))
    target /= target.sum(axis=1, keepdims=True)
    arrays = {
        "actions": rng.integers(0, ACTIONS, rows),
        "rewards": rng.choice([0.0, 1.0, 3.0], rows),
        "propensities": propensities,
        "target": target,
        "predictions": rng.random((rows, ACTIONS)),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return sum(array.nbytes for array in arrays.values())


def ours(folder: Path, what: str, rounds: int) -> dict[str, Any]:
    """Run our side in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.bench_ope", str(folder), what, str(rounds + 1)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def agree(mine: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether all numbers are equal to 1e-9."""
    return all(
        np.allclose(mine["found"][name], found, rtol=0, atol=1e-9) for name, found in theirs["found"].items()
    )


def measure(folder: Path, what: str, rounds: int) -> dict[str, Any]:
    """Time rounds of one kind of work over a folder's arrays, checks of the input included."""
    arrays = [np.load(folder / f"{name}.npy") for name in COLUMNS]
    seconds, found = [], {}
    for _ in range(rounds):
        began = time.perf_counter()
        found = work(*arrays, what)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"seconds": seconds, "found": found, "peak_mib": peak}


def work(actions: Any, rewards: Any, propensities: Any, target: Any, predictions: Any, what: str) -> Any:
    """Return the values, or the ends of the intervals, by obp's names."""
    log = Log.of(actions, rewards, propensities, action_set=ACTIONS)
    rows = rows_of(log, target_of(log, target, predictions))
    terms = {name: estimator.terms(rows) for name, estimator in ESTIMATORS.items()}
    if what == "values":
        return {name: each.value for name, each in terms.items()}
    kind: Kind = "poisson" if what == "poisson" else "multinomial"
    if kind == "multinomial":
        for name in ("snipw", "sndr"):
            terms[name] = Terms.mean_of(terms[name].contributions)
    intervals = bootstrap(list(terms.values()), resamples=RESAMPLES, seed=SEED, kind=kind)
    return {name: list(interval[1:3]) for name, interval in zip(terms, intervals, strict=True)}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
