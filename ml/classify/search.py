"""Search for parameters with Optuna (Akiba et al. 2019): seeded, pruned by the median, resumable.

The study lies in a database: a search that was broken off goes on, and one that has its trials does nothing.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna

from ml.classify.catboosted import CatBoosted
from ml.classify.examples import Examples
from ml.classify.metrics import cell_losses, mean_loss

WARM_UP_TREES = 50


class _Pruner:
    """CatBoost's callback: reports each tree's validation loss, and ends a trial that the median beats."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial, self.is_pruned = trial, False

    def after_iteration(self, info: SimpleNamespace) -> bool:
        """Return whether to go on."""
        [losses] = info.metrics["validation"].values()
        self.trial.report(losses[-1], info.iteration)
        self.is_pruned = self.trial.should_prune()
        return not self.is_pruned


def search(
    train: Examples,
    validate: Examples,
    *,
    name: str,
    storage: str,
    trials: int,
    seed: int,
    base: Mapping[str, Any],
    monotone: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return the parameters with the lowest loss on `validate` after so many trials in all.

    The first trial is `base`, so the result is never worse than that on the validation closing.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=name, storage=storage, load_if_exists=True, direction="minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=WARM_UP_TREES),
    )  # fmt: skip
    finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)

    def objective(trial: optuna.Trial) -> float:
        own = {
            "depth": trial.suggest_int("depth", 2, 8),
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.2, log=True),
            "l2": trial.suggest_float("l2", 1.0, 100.0, log=True),
        }
        pruner = _Pruner(trial)
        core = CatBoosted.fit(
            train, validate, seed=seed, monotone=monotone, callbacks=[pruner], **{**base, **own}
        )
        if pruner.is_pruned:
            raise optuna.TrialPruned
        losses = cell_losses(
            core.predict(validate.features, validate.codes), validate.targets, train.shape.task
        )
        return float(mean_loss(losses, validate.weights, np.ones((1, len(validate))))[0])

    done = len(study.get_trials(deepcopy=False, states=finished))
    if not study.trials:
        study.enqueue_trial({key: base[key] for key in ("depth", "learning_rate", "l2")})
    # A sampler that goes on where another stopped must not draw the same again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + done)
    study.optimize(objective, n_trials=max(trials - done, 0))
    return {**base, **study.best_params}
