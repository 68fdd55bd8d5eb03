"""A policy of six positions, valued from the demo's log alone, against the exact truth of the replay."""

import numpy as np

from jobs.demo.replay import Replay
from ml.draw import DrawRule
from ml.marginals import marginals
from ml.ope.exposure import exposures
from ml.ope.judged import Judged
from ml.ope.sums import Sums

VISITS = 6000
RULE = DrawRule(temperature=0.1, floor=0.005)
SEEN = 0.8 ** np.arange(6)


def test_the_position_based_estimate_is_near_the_truth_where_prefixes_tell_nothing(full: Replay) -> None:
    some = slice(0, VISITS)
    rewards, layout = full.rewards.home[some].astype(float), full.home_layout[some]
    values = np.tile(rewards.mean(axis=0), (VISITS, 1)) + full.rewards.home_scores[some]
    keys = np.arange(VISITS, dtype=np.uint64)
    means = marginals(
        values, np.ones(values.shape, bool), positions=6, rule=RULE, draws=100, seed=9, keys=keys
    ).means
    truth = (np.einsum("nka,k->na", means, SEEN) * rewards).sum(axis=1).mean()

    seen = np.arange(6) < full.seen[some, None]
    given = Judged(
        full.home_propensities[some],
        np.full(layout.shape, 0.5),
        {"reward": np.where(seen, np.take_along_axis(rewards, layout, axis=1), 0.0)},
        np.unique(full.rewards.household[some], return_inverse=True)[1],
        seen=seen,
        exposures=exposures(values, layout, RULE, SEEN, None, seed=1, keys=keys),
    )
    found = Sums.of(given.terms("reward"), given.clusters).interval("position-based IPS")
    assert found.lower <= truth <= found.upper
    assert found.upper - found.lower < 0.15 * truth
    effective = given.weights.sum() ** 2 / np.square(given.weights).sum()
    assert effective > 0.4 * VISITS
