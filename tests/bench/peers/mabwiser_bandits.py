"""LinUCB and LinTS of MABWiser 2.7.4 on arrays: fit, or expectations and the best 12. Runs among the peers.

    python mabwiser_bandits.py FOLDER fit|linucb|lints ROUNDS LENGTH ALPHA RIDGE

FOLDER holds past (m, d), actions and rewards (m,), and contexts (n, d). What LinUCB expects is left there as
expectations.npy, and the best as best.npy.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from mabwiser.mab import MAB, LearningPolicy


def best(expectations: np.ndarray, length: int) -> np.ndarray:
    some = np.argpartition(-expectations, length - 1, axis=1)[:, :length]
    order = np.argsort(-np.take_along_axis(expectations, some, axis=1), axis=1)
    return np.take_along_axis(some, order, axis=1)


def main(folder: str, what: str, rounds: str, length: str, alpha: str, ridge: str) -> None:
    past, actions, rewards, contexts = (
        np.load(Path(folder) / f"{name}.npy") for name in ("past", "actions", "rewards", "contexts")
    )
    kind = LearningPolicy.LinTS if what == "lints" else LearningPolicy.LinUCB
    settings = {"alpha": float(alpha), "l2_lambda": float(ridge)}

    def fitted() -> MAB:
        model = MAB(arms=list(range(int(actions.max()) + 1)), learning_policy=kind(**settings), seed=1)
        model.fit(actions, rewards, past)
        return model

    model, seconds = fitted(), []
    for _ in range(int(rounds)):
        began = time.perf_counter()
        if what == "fit":
            fitted()
        else:
            expectations = np.array([list(row.values()) for row in model.predict_expectations(contexts)])
            chosen = best(expectations, int(length))
        seconds.append(time.perf_counter() - began)
    if what == "linucb":
        np.save(Path(folder) / "expectations.npy", expectations)
        np.save(Path(folder) / "best.npy", chosen)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
