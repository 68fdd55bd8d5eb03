"""Seven estimators of obp 0.4.1 on arrays: their values, or their bootstrap intervals. Runs among the peers.

    python obp_estimators.py FOLDER values|intervals ROUNDS [RESAMPLES SEED]

FOLDER holds actions, rewards, propensities (n,) and target, predictions (n, k). obp imports torch for a part
of it that is not used here; an empty module stands for it, and its package files are passed over.
"""

import json
import sys
import time
import types
from pathlib import Path

import numpy as np


def estimators() -> list:
    torch = types.ModuleType("torch")
    torch.Tensor = type("Tensor", (), {})
    sys.modules["torch"] = torch
    found = next(Path(path) / "obp" for path in sys.path if (Path(path) / "obp").is_dir())
    for name, folder in (("obp", found), ("obp.ope", found / "ope")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    from obp.ope import estimators as of

    return [
        of.InverseProbabilityWeighting(),
        of.SelfNormalizedInverseProbabilityWeighting(),
        of.DirectMethod(),
        of.DoublyRobust(),
        of.SelfNormalizedDoublyRobust(),
        of.SwitchDoublyRobust(tau=5.0),
        of.DoublyRobustWithShrinkage(lambda_=5.0),
    ]


def main(folder: str, what: str, rounds: str, resamples: str = "100", seed: str = "12345") -> None:
    names = ("actions", "rewards", "propensities", "target", "predictions")
    arrays = {name: np.load(Path(folder) / f"{name}.npy") for name in names}
    given = {
        "action": arrays["actions"],
        "reward": arrays["rewards"],
        "pscore": arrays["propensities"],
        "action_dist": arrays["target"][:, :, None],
        "estimated_rewards_by_reg_model": arrays["predictions"][:, :, None],
    }
    bootstrap = {"n_bootstrap_samples": int(resamples), "random_state": int(seed)}
    seconds, found, every = [], {}, estimators()
    for _ in range(int(rounds)):
        began = time.perf_counter()
        for estimator in every:
            needed = without_model(given) if "ipw" in estimator.estimator_name else given
            if what == "values":
                found[estimator.estimator_name] = float(estimator.estimate_policy_value(**needed))
            else:
                interval = estimator.estimate_interval(**needed, **bootstrap)
                found[estimator.estimator_name] = [
                    float(interval["95.0% CI (lower)"]),
                    float(interval["95.0% CI (upper)"]),
                ]
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds, "found": found}))


def without_model(given: dict) -> dict:
    return {name: value for name, value in given.items() if name != "estimated_rewards_by_reg_model"}


if __name__ == "__main__":
    main(*sys.argv[1:])
