"""Training: CatBoost as we set it, against XGBoost on the same rows, 40 features of which 8 are categories.

500 k rows (BENCH_SCALE makes it smaller), 300 trees each without early stopping, two threads, each in a
process of its own. Seconds to fit, peak memory, and the log loss on rows that neither has seen.
"""

import json
import subprocess
import sys
import time
from typing import Any

import numpy as np

from ml.classify import Examples, Shape
from ml.classify.catboosted import CatBoosted
from ml.classify.metrics import cell_losses, mean_loss
from ml.classify.xgboosted import XGBoosted
from tests.bench.measure import Peak, Row, scaled

ROWS, TREES, NUMERIC, CATEGORIES, VALUES = 500_000, 300, 32, 8, 50
LEARNERS: dict[str, Any] = {"catboost": CatBoosted, "xgboost": XGBoosted}


def run() -> list[Row]:
    """Fit both, each in its own process, and set them side by side."""
    rows = scaled(ROWS)
    ours, pairs, theirs = (_apart(name, rows, more) for name, more in
                           (("catboost", 1), ("catboost", 2), ("xgboost", 1)))  # fmt: skip
    return [
        Row("fit", rows, "s", ours["seconds"], theirs["seconds"], "xgboost",
            theirs["seconds"] / ours["seconds"], None, int(ours["mib"])),
        Row("peak memory", rows, "MiB", ours["mib"], theirs["mib"], "xgboost",
            theirs["mib"] / ours["mib"]),
        Row("log loss, not seen", rows, "nats", ours["loss"], theirs["loss"], "xgboost",
            theirs["loss"] / ours["loss"]),
        Row("fit, pairs of categories", rows, "s", ours["seconds"], pairs["seconds"],
            "catboost, max_ctr_complexity 2", pairs["seconds"] / ours["seconds"]),
        Row("log loss, pairs of categories", rows, "nats", ours["loss"], pairs["loss"],
            "catboost, max_ctr_complexity 2", pairs["loss"] / ours["loss"]),
    ]  # fmt: skip


def planted(rows: int) -> Examples:
    """Return rows whose answer follows from four numbers, a tenth missing, and two categories."""
    rng = np.random.default_rng(7)
    x = np.asfortranarray(rng.normal(size=(rows, NUMERIC)).astype(np.float32))
    codes = [rng.zipf(1.5, rows).clip(1, VALUES).astype(np.int32) - 1 for _ in range(CATEGORIES)]
    effect = rng.normal(size=(2, VALUES))
    z = x[:, 0] + x[:, 1] * x[:, 2] + np.abs(x[:, 3]) + effect[0][codes[0]] + effect[1][codes[1]] - 2
    y = (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(np.float64)[:, None]
    x[rng.random((rows, NUMERIC)) < 0.1] = np.nan
    values = tuple(f"v{number}" for number in range(VALUES))
    names = tuple(f"x{number}" for number in range(NUMERIC))
    shape = Shape("labels", names, {f"c{number}": values for number in range(CATEGORIES)}, ("yes",))
    return Examples(shape, x, codes, y, np.ones_like(y))


def fit(name: str, rows: int, complexity: int) -> dict[str, float]:
    """Fit one learner and return seconds, MiB and log loss."""
    whole = planted(rows + rows // 5)
    train, test = whole.of(np.arange(rows)), whole.of(np.arange(rows, len(whole)))
    # Judged on a few rows only as it learns, and never stopped: the peer does the same.
    few = test.of(np.arange(min(1000, len(test))))
    more = {"max_ctr_complexity": complexity} if name == "catboost" else {}
    with Peak() as peak:
        began = time.perf_counter()
        core = LEARNERS[name].fit(
            train, few, seed=1, trees=TREES, depth=6, learning_rate=0.1, patience=TREES, **more
        )
        seconds = time.perf_counter() - began
    losses = cell_losses(core.predict(test.features, test.codes), test.targets, "labels")
    loss = float(mean_loss(losses, test.weights, np.ones((1, len(test))))[0])
    return {"seconds": seconds, "mib": peak.mib, "loss": loss}


def _apart(name: str, rows: int, complexity: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.bench_classify", name, str(rows), str(complexity)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    print(json.dumps(fit(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
