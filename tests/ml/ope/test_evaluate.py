"""All goals by all estimators at once: the numbers of each alone."""

import numpy as np
import pytest

from ml.ope.bootstrap import bootstrap
from ml.ope.doubly_robust import DoublyRobust
from ml.ope.evaluate import evaluate
from ml.ope.importance import IPS, SNIPS
from ml.ope.log import Log
from ml.ope.rows import rows_of
from ml.ope.target import target_of

from .given import sample


def test_each_goal_has_each_estimator_s_value_and_interval() -> None:
    given = sample(800)
    rewards = np.column_stack([given.log.rewards[:, 0], given.log.rewards[:, 0] > 0])
    clusters = np.arange(800) // 4
    log = Log.of(
        given.log.actions,
        rewards,
        given.log.propensities,
        action_set=5,
        goals=("points", "any"),
        clusters=clusters,
    )
    target = target_of(log, given.target, [given.predictions, given.predictions / 3])
    found = evaluate(log, target, [IPS(), SNIPS(), DoublyRobust()], seed=5, resamples=200, level=0.9)
    assert [(each.goal, each.estimator) for each in found] == [
        (goal, name) for goal in ("points", "any") for name in ("IPS", "SNIPS", "DR")
    ]
    for each in found:
        estimator = {"IPS": IPS(), "SNIPS": SNIPS(), "DR": DoublyRobust()}[each.estimator]
        terms = estimator.terms(rows_of(log, target, each.goal))
        alone = bootstrap([terms], clusters, resamples=200, seed=5, level=0.9)[0]
        assert (each.value, each.lower, each.upper, each.error) == pytest.approx(tuple(alone), abs=1e-12)
        assert (each.rows, each.clusters, each.level) == (800, 200, 0.9)
        assert each.interval == "poisson bootstrap of clusters, 200 resamples"
