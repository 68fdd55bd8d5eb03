"""Predictions out of fold: a plain ridge on the other folds, whole clusters apart."""

import numpy as np
import pytest

from ml.ope.crossfit import folds_of, ridge_predictions
from ml.ope.doubly_robust import DoublyRobust
from ml.ope.importance import IPS
from ml.ope.intervals import student_t
from ml.ope.log import Log
from ml.ope.rows import rows_of
from ml.ope.target import target_of

from .given import world


def logged(rows: int = 900, seed: int = 0) -> tuple[Log, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    contexts = np.column_stack([np.ones(rows), rng.normal(size=(rows, 2))])
    own = rng.normal(size=(rows, 3, 1))
    actions = rng.integers(0, 3, rows)
    rewards = contexts @ rng.normal(size=(3, 3)) + own[:, :, 0] + rng.normal(0, 0.1, (rows, 3))
    log = Log.of(
        actions,
        rewards[np.arange(rows), actions],
        np.full(rows, 1 / 3),
        action_set=3,
        clusters=np.arange(rows) // 7,
    )
    return log, contexts, own


def test_folds_keep_clusters_whole_and_are_even() -> None:
    log, _, _ = logged()
    folds = folds_of(log, folds=4, seed=1)
    of_cluster = [set(folds[log.clusters == code].tolist()) for code in range(129)]
    assert all(len(each) == 1 for each in of_cluster)
    assert sorted(np.bincount([each.pop() for each in of_cluster])) == [32, 32, 32, 33]
    assert not np.array_equal(folds, folds_of(log, folds=4, seed=2))
    with pytest.raises(ValueError, match="200 folds need as many clusters"):
        folds_of(log, folds=200, seed=1)


def test_predictions_are_those_of_a_ridge_on_the_other_folds() -> None:
    log, contexts, own = logged()
    folds = folds_of(log, folds=3, seed=1)
    found = ridge_predictions(log, contexts, folds, action_contexts=own, ridge=2.0)
    x = np.concatenate([np.repeat(contexts[:, None], 3, axis=1), own], axis=2)
    for row in (0, 411, 899):
        for action in range(3):
            rows = (folds != folds[row]) & (log.actions == action)
            design = x[rows, action]
            theta = np.linalg.solve(design.T @ design + 2 * np.eye(4), design.T @ log.rewards[rows, 0])
            assert found[row, action] == pytest.approx(x[row, action] @ theta, abs=1e-5)


def test_a_row_s_own_cluster_does_not_move_its_prediction() -> None:
    log, contexts, own = logged()
    folds = folds_of(log, seed=1)
    before = ridge_predictions(log, contexts, folds, action_contexts=own)
    wild = log.rewards.copy()
    wild[log.clusters == 5] = 1000.0
    other = Log.of(log.actions, wild, log.propensities, action_set=3, clusters=log.clusters)
    after = ridge_predictions(other, contexts, folds, action_contexts=own)
    assert np.array_equal(before[log.clusters == 5], after[log.clusters == 5])
    assert not np.allclose(before, after)


def test_a_cross_fitted_model_makes_dr_closer_than_ips() -> None:
    given = world()
    truth = given.value(given.target)
    errors = []
    rng = np.random.default_rng(8)
    for seed in range(40):
        kind, action, reward = given.draw(rng, 2000)
        log = Log.of(action, reward, given.logging[kind, action], action_set=5)
        predictions = ridge_predictions(log, np.eye(20)[kind], folds_of(log, seed=seed))
        rows = rows_of(log, target_of(log, given.target[kind], predictions))
        errors.append([student_t(each.terms(rows)).value - truth for each in (IPS(), DoublyRobust())])
    ips, dr = np.sqrt(np.mean(np.square(errors), axis=0))
    assert dr < ips


def test_missing_contexts_are_named() -> None:
    log, contexts, _ = logged()
    contexts[7, 2] = np.nan
    with pytest.raises(ValueError, match="contexts, row 7, feature 2: nan"):
        ridge_predictions(log, contexts, folds_of(log, seed=1))
    with pytest.raises(ValueError, match=r"contexts must have shape \(900, c\)"):
        ridge_predictions(log, contexts[:3], folds_of(log, seed=1))
