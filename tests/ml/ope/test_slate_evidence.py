"""The gate on a page of several positions: slates drawn by the draw itself, of a world that is known."""

import numpy as np
import pytest

from ml.draw import draw, slate_propensities
from ml.ope.evidence import Evidence
from ml.ope.gate import Rules, judge
from ml.ope.intervals import student_t
from ml.ope.slate_evidence import SlateDay, average_weights, of_slates
from ml.ope.slates import Slates

WIDGETS = ("a", "b", "c", "d", "e", "f")
APPEAL = np.array([0.5, 0.2, 0.1, 0.6, 0.05, 0.3])
LIVE = np.array([0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
POSITIONS, T, FLOOR = 3, 0.4, 0.05
RULES = Rules(planned_rows=3000)


def conditional(scores: np.ndarray, layouts: np.ndarray) -> np.ndarray:
    wide = np.tile(scores, (len(layouts), 1))
    found = slate_propensities(wide, np.ones(wide.shape, bool), layouts, temperature=T, floor=FLOOR)
    return found.astype(float)


def days(
    candidate: np.ndarray, *, logging: np.ndarray = LIVE, count: int = 20, model: bool = False
) -> dict[str, SlateDay]:
    rng = np.random.default_rng(8)
    found = {}
    for day in range(count):
        who = rng.integers(0, 300, 200)
        wide = np.tile(logging, (200, 1))
        uniforms = rng.random((200, POSITIONS))
        everyone = np.ones(wide.shape, bool)
        layouts = draw(
            wide, everyone, positions=POSITIONS, temperature=T, floor=FLOOR, uniforms=uniforms
        ).slates
        seen = np.arange(POSITIONS) < rng.choice([1, 2, 3], 200, p=[0.2, 0.2, 0.6])[:, None]
        rewards = (rng.random(layouts.shape) < APPEAL[layouts]) * seen * 1.0
        views = (rng.random(layouts.shape) < 0.5) * seen * 1.0
        of = {
            name: Slates(rewards, conditional(LIVE, layouts), conditional(scores, layouts), seen, who)
            for name, scores in (("candidate", candidate), ("live", LIVE))
        }
        third = np.full(layouts.shape, 0.3)
        guess = {"predicted": third, "candidate_expected": third, "live_expected": third} if model else {}
        found[str(day)] = SlateDay(layouts, of["candidate"], of["live"], others={"views": views}, **guess)
    return found


def evidence(candidate: np.ndarray, **more: object) -> Evidence:
    return of_slates(days(candidate, **more), widgets=WIDGETS)


@pytest.fixture(scope="module")
def better() -> Evidence:
    return evidence(APPEAL, model=True)


def test_slates_that_earn_more_may_go_live_and_those_that_earn_less_not(better: Evidence) -> None:
    found = judge({"by appeal": better, "against it": evidence(-APPEAL)}, RULES)
    assert found["by appeal"].answer == "yes", found["by appeal"].reasons
    assert found["against it"].answer == "no", found["against it"].reasons
    assert next(iter(found["by appeal"].estimates)) == "cascade-DR"
    assert next(iter(found["against it"].estimates)) == "reward-interaction IPS"


def test_the_difference_is_near_what_the_world_would_pay(better: Evidence) -> None:
    rng = np.random.default_rng(1)
    true = {}
    for name, scores in (("candidate", APPEAL), ("live", LIVE)):
        wide = np.tile(scores, (40_000, 1))
        drawn = draw(
            wide,
            np.ones(wide.shape, bool),
            positions=POSITIONS,
            temperature=T,
            floor=FLOOR,
            uniforms=rng.random((40_000, POSITIONS)),
        )
        true[name] = float((APPEAL[drawn.slates] @ np.array([1.0, 0.8, 0.6])).mean())
    for terms in better.estimates.values():
        interval = student_t(terms, better.all_clusters, level=0.999)
        assert interval.lower < true["candidate"] - true["live"] < interval.upper
    assert better.live["reward"] == pytest.approx(true["live"], rel=0.05)


def test_a_policy_mislabelled_as_the_live_one_is_found() -> None:
    found = judge({"it": evidence(APPEAL, logging=-LIVE)}, RULES)["it"]
    assert found.answer == "cannot tell"
    assert "propensities of logging policy 0 are not those it drew with" in " ".join(found.reasons)


def test_a_row_counts_by_where_rewards_are_earned(better: Evidence) -> None:
    slates = Slates(
        np.array([[3.0, 0.0], [0.0, 1.0]]), np.full((2, 2), 0.5), np.array([[1.0, 0.5], [0.5, 0.25]])
    )
    assert average_weights(slates).tolist() == [2.0, 0.75 + 0.25 * 0.5]
    assert abs(better.weights["candidate"].mean - 1) < 4 * better.weights["candidate"].mean_error
    assert better.weights["live"].mean == pytest.approx(1.0)


def test_guardrails_have_differences_of_their_own(better: Evidence) -> None:
    assert set(better.differences) == {"reward", "views"}
    guarded = Rules(planned_rows=3000, guardrails={"views": 0.2})
    assert judge({"it": better}, guarded)["it"].guardrails["views"].rows == 4000


def test_without_days_or_clusters_there_is_nothing_to_judge() -> None:
    with pytest.raises(ValueError, match="there is no log"):
        of_slates({}, widgets=WIDGETS)
    day = days(APPEAL, count=1)["0"]
    loose = Slates(day.candidate.rewards, day.candidate.propensities, day.candidate.probabilities)
    with pytest.raises(ValueError, match="the gate needs clusters"):
        of_slates({"0": SlateDay(day.layouts, loose, loose)}, widgets=WIDGETS)
