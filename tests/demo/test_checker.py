"""Estimates beside the truth: the exact value of each policy over the servings that were judged."""

import numpy as np
import pytest

from jobs.demo import checker
from jobs.demo.truth import Truth
from tests.jobs.judged import WIDGETS, judgements
from tests.ml.ope.replays import visits

GIVEN = visits(11, households=80, days=5, daily=120)
LIVE = np.full((len(GIVEN.rewards), 4), 0.25)
BETTER = GIVEN.policy(LIVE, 0.2)


def test_estimates_are_held_to_the_exact_value():
    log = judgements(GIVEN, LIVE, {"better": BETTER, "live": LIVE}, seed=3)
    ids = [f"d{row:06d}" for row in range(len(LIVE))]
    places = np.arange(len(LIVE))
    known = Truth("start", tuple(WIDGETS), ids, places, places, GIVEN.rewards, LIVE)
    checked = checker.check(log, known)
    assert {each.spec for each in checked} == {"better", "live"}
    for each in checked:
        policy = {"better": BETTER, "live": LIVE}[each.spec]
        assert each.truth == pytest.approx(GIVEN.value(policy), rel=1e-9)
        assert each.by_subject == (each.lower <= each.truth <= each.upper)
    for name, error, by_subject, _ in checker.summary(checked):
        assert error < 0.1, name
        assert by_subject == 1.0, name
