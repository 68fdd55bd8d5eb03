"""Several logging policies: the formulas, and less error than each policy's propensity alone gives."""

import numpy as np
import pytest

from ml.ope.importance import IPS
from ml.ope.log import Log
from ml.ope.rows import rows_of
from ml.ope.several import WeightedIPS, balanced
from ml.ope.target import Target

from .given import world


def mixed(rows: int, seed: int) -> tuple[Log, np.ndarray, Target, float]:
    """A third of the rows drawn by the world's logging policy, the rest by one far from the target."""
    given = world()
    rng = np.random.default_rng(seed)
    policies = np.stack(
        [given.logging, 0.01 + 0.95 * (given.target < 0.2) / (given.target < 0.2).sum(1)[:, None]]
    )
    policies[1] /= policies[1].sum(axis=1, keepdims=True)
    which = (rng.random(rows) < 2 / 3).astype(int)
    kind = rng.choice(20, rows, p=given.kinds)
    action = (np.cumsum(policies[which, kind], axis=1) < rng.random((rows, 1))).sum(axis=1)
    reward = np.array(
        [rng.choice([0.0, 1.0, 3.0], p=given.rewards[k, a]) for k, a in zip(kind, action, strict=True)]
    )
    every = policies[:, kind, action].T
    log = Log.of(action, reward, every[np.arange(rows), which], action_set=5, policies=which)
    return log, every, Target(given.target[kind, action]), given.value(given.target)


def test_balanced_divides_by_the_mixture() -> None:
    log, every, target, _ = mixed(300, 1)
    counts = [int((log.policies == policy).sum()) for policy in (0, 1)]
    total = 0.0
    for row in range(300):
        mixture = sum(counts[policy] / 300 * every[row, policy] for policy in (0, 1))
        total += target.probabilities[row] / mixture * log.rewards[row, 0]
    found = IPS().terms(rows_of(balanced(log, every), target)).value
    assert found == pytest.approx(total / 300, abs=1e-9)


def test_weighted_weighs_each_policy_by_its_precision() -> None:
    log, _, target, _ = mixed(300, 2)
    terms = [target.probabilities[row] / log.propensities[row] * log.rewards[row, 0] for row in range(300)]
    of_policy = [
        [term for term, policy in zip(terms, log.policies, strict=True) if policy == j] for j in (0, 1)
    ]
    variances = [sum((x - sum(part) / len(part)) ** 2 for x in part) / (len(part) - 1) for part in of_policy]
    scale = sum(len(part) / variance for part, variance in zip(of_policy, variances, strict=True))
    expected = sum(sum(part) / variance for part, variance in zip(of_policy, variances, strict=True)) / scale
    assert WeightedIPS().terms(rows_of(log, target)).value == pytest.approx(expected, abs=1e-9)


def test_both_are_closer_to_the_truth_than_each_rows_own_propensity() -> None:
    errors = []
    for seed in range(60):
        log, every, target, truth = mixed(500, 100 + seed)
        own = rows_of(log, target)
        values = [
            IPS().terms(own).value,
            IPS().terms(rows_of(balanced(log, every), target)).value,
            WeightedIPS().terms(own).value,
        ]
        errors.append([value - truth for value in values])
    naive, of_balanced, of_weighted = np.sqrt(np.mean(np.square(errors), axis=0))
    assert of_balanced < 0.8 * naive
    assert of_balanced < of_weighted < naive
    assert abs(np.mean(errors, axis=0)[1]) < 3 * of_balanced / np.sqrt(60)


def test_what_does_not_fit_is_refused() -> None:
    log, every, target, _ = mixed(50, 3)
    with pytest.raises(ValueError, match=r"propensities, row 0: .* its own policy's column says otherwise"):
        balanced(log, every[:, ::-1])
    with pytest.raises(ValueError, match=r"propensities must have shape \(50, 2\)"):
        balanced(log, every[:, :1])
    wrong = every.copy()
    wrong[4, 1] = np.nan
    with pytest.raises(ValueError, match="propensities of logging policy 1, row 4: missing"):
        balanced(log, wrong)
    alone = Log.of(log.actions, log.rewards, log.propensities, action_set=5)
    with pytest.raises(ValueError, match="the log names no logging policies"):
        balanced(alone, every)
    silent = np.where(log.policies[:, None] == 1, 0.0, log.rewards)
    with pytest.raises(ValueError, match="logging policy 1 do not vary"):
        WeightedIPS().terms(
            rows_of(
                Log.of(log.actions, silent, log.propensities, action_set=5, policies=log.policies), target
            )
        )
