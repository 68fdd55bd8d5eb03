"""Reward predictions made out of fold: no row's model has seen a reward of its own cluster.

Statistics add, so all rows are summed once, by fold; the model of a fold is a ridge regression for each
action on the sum of the others (Chernozhukov et al. 2018: Double/debiased machine learning, definition 3.2).
"""

from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from ml.bandits.linucb import LinUCB
from ml.bandits.statistics import of_rows
from ml.ope.diagnostics import refuse_missing
from ml.ope.log import Integers, Log

FOLDS = 5


def folds_of(log: Log, *, folds: int = FOLDS, seed: int) -> Integers:
    """Return (n,) the fold of each row, 0 to folds - 1: clusters shuffled, then dealt one after the other."""
    clusters = np.arange(len(log)) if log.clusters is None else log.clusters
    found = np.unique(clusters)
    if not 2 <= folds <= len(found):
        raise ValueError(f"{folds} folds need as many clusters, and at least 2: the log has {len(found)}")
    dealt = np.empty(int(found.max()) + 1, dtype=np.int64)
    dealt[np.random.default_rng(seed).permutation(found)] = np.arange(len(found)) % folds
    return np.asarray(dealt[clusters])


def ridge_predictions(
    log: Log,
    contexts: NDArray[np.floating],
    folds: Integers,
    *,
    action_contexts: NDArray[np.floating] | None = None,
    ridge: float = 1.0,
    goal: str | None = None,
) -> NDArray[np.float32]:
    """Return (n, k) predicted rewards of every action, each row's from the folds that it is not in.

    Parameters
    ----------
    log
        n rows, k actions.
    contexts
        (n, c) features that all actions share; one of them is constant, or there is no intercept.
    folds
        (n,) from `folds_of`.
    action_contexts
        (n, k, d) features of each action; None for none.
    ridge
        λ of the regressions, above 0.
    goal
        which rewards; the first goal if none is named.

    """
    arms = len(log.action_set)
    if contexts.ndim != 2 or len(contexts) != len(log):
        raise ValueError(f"contexts must have shape ({len(log)}, c), not {contexts.shape}")
    refuse_missing(contexts)
    own = np.empty((len(log), arms, 0), dtype=np.float32) if action_contexts is None else action_contexts
    shown = np.concatenate([contexts, own[np.arange(len(log)), log.actions]], axis=1)
    rewards = log.rewards[:, 0 if goal is None else log.goals.index(goal)]
    parts = [folds == fold for fold in range(int(folds.max()) + 1)]
    sums = [of_rows(shown[part], log.actions[part], rewards[part], arms=arms) for part in parts]
    predictions = np.empty((len(log), arms), dtype=np.float32)
    for fold, part in enumerate(parts):
        others = reduce(add, (each for number, each in enumerate(sums) if number != fold))
        predictions[part] = LinUCB(ridge, alpha=0.0).fit(others).scores(contexts[part], own[part])
    return predictions
