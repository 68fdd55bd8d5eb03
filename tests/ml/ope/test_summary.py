"""Sums over buckets of subjects are those of all rows: values, intervals, looks and verdicts."""

from functools import reduce
from operator import add

import numpy as np
import pytest

from ml.draw import DrawRule, draw, first_position_probabilities, slate_propensities
from ml.ope.diagnostics import weights
from ml.ope.doubly_robust import DoublyRobust
from ml.ope.evidence import Day, of_actions
from ml.ope.gate import Rules, judge
from ml.ope.importance import SNIPS
from ml.ope.intervals import student_t
from ml.ope.judged import Judged
from ml.ope.log import Log
from ml.ope.logged import Logged
from ml.ope.prefixes import along_prefixes
from ml.ope.rows import rows_of
from ml.ope.summarise import Prepared, Shares, of_one, of_pair
from ml.ope.summary import OTHERS
from ml.ope.sums import Sums
from ml.ope.target import target_of

from .replays import visits

GIVEN = visits(3, households=60, days=6, daily=80)
N = len(GIVEN.rewards)
RNG = np.random.default_rng(5)
LIVE = np.full((N, 4), 0.25)
CANDIDATE = GIVEN.policy(LIVE, 0.2)
ACTIONS = RNG.integers(0, 4, N)
REWARDS = GIVEN.rewards[np.arange(N), ACTIONS].astype(float)
PREDICTIONS = RNG.uniform(0, 2, (N, 4))
LOG = Log.of(ACTIONS, REWARDS, np.full(N, 0.25), action_set=4, clusters=GIVEN.households)
BUCKETS = [np.flatnonzero(GIVEN.households % 3 == bucket) for bucket in range(3)]


def judged(policy: np.ndarray) -> Judged:
    own = (policy * PREDICTIONS).sum(axis=1)
    return Judged(
        np.full((N, 1), 0.25),
        policy[np.arange(N), ACTIONS][:, None],
        {"reward": REWARDS[:, None], "basket": (REWARDS == 3).astype(float)[:, None]},
        GIVEN.households,
        PREDICTIONS[np.arange(N), ACTIONS][:, None],
        own[:, None],
    )


def logged(rows: np.ndarray, policies: np.ndarray | None = None) -> Logged:
    could = {str(action): np.ones(len(rows), dtype=bool) for action in range(4)}
    named = np.full(len(rows), "log") if policies is None else policies
    return Logged(
        ACTIONS[rows].astype(str), np.full(len(rows), 0.25), named, could, GIVEN.households[rows],
        GIVEN.days[rows],
    )  # fmt: skip


def pair(rows: np.ndarray, candidate: np.ndarray = CANDIDATE):
    return of_pair(
        judged(candidate).rows(rows),
        judged(LIVE).rows(rows),
        logged(rows),
        days=GIVEN.days[rows],
        count=6,
        first={str(action): candidate[rows, action] for action in range(4)},
    )


def test_values_and_intervals_are_those_of_all_rows():
    target = target_of(LOG, CANDIDATE, PREDICTIONS)
    rows = rows_of(LOG, target)
    parts = [of_one(judged(CANDIDATE).rows(each), logged(each), {}) for each in BUCKETS]
    whole = reduce(add, parts)
    for name, estimator in (("DR", DoublyRobust()), ("SNIPS", SNIPS())):
        plain = student_t(estimator.terms(rows), GIVEN.households)
        assert whole.estimates.interval(f"reward/{name}") == pytest.approx(plain, rel=1e-9)
    gap = student_t(SNIPS().terms(rows) - DoublyRobust().terms(rows), GIVEN.households, level=0.9)
    summed = whole.estimates.interval("reward/SNIPS", minus="reward/DR", level=0.9)
    assert summed == pytest.approx(gap, rel=1e-9)
    # The plain formula of doubly robust estimation, row by row.
    chosen = CANDIDATE[np.arange(N), ACTIONS] / 0.25
    plain_dr = (
        (CANDIDATE * PREDICTIONS).sum(axis=1) + chosen * (REWARDS - PREDICTIONS[np.arange(N), ACTIONS])
    ).mean()
    assert whole.estimates.value("reward/DR") == pytest.approx(plain_dr, rel=1e-12)
    assert whole.estimates.value("reward/observed") == pytest.approx(REWARDS.mean(), rel=1e-12)
    described, expected = whole.weights_of("target"), weights(LOG, target)
    assert vars(described) == pytest.approx(vars(expected), rel=1e-9)


def test_nights_are_summed_as_if_each_window_were_all_there_is():
    first = {str(action): CANDIDATE[:, action] for action in range(4)}
    everyone = judged(CANDIDATE)
    prepared, shares = Prepared.of(everyone), Shares.of(logged(np.arange(N)), first, GIVEN.days, 6)
    for start, stop in ((0, 6), (2, 5), (3, 4)):
        within = (GIVEN.days >= start) & (GIVEN.days < stop)
        rows = np.flatnonzero(within)
        found = prepared.summary(shares, start, stop, within, open_rows=3)
        alone = of_one(
            everyone.rows(rows), logged(rows), {key: value[rows] for key, value in first.items()}, 3
        )
        assert found.open_rows == alone.open_rows == 3
        for name in alone.estimates.recipes:
            expected = pytest.approx(alone.estimates.interval(name), rel=1e-9, abs=1e-12)
            assert found.estimates.interval(name) == expected
        assert vars(found.weights_of("target")) == pytest.approx(vars(alone.weights_of("target")), rel=1e-9)
        assert found.shown == alone.shown
        assert sum(found.shown.values()) == len(rows)
        assert found.first == pytest.approx(alone.first)
        pairs = zip(found.tallies.calibrations(), alone.tallies.calibrations(), strict=True)
        assert all(vars(one) == pytest.approx(vars(other)) for one, other in pairs)


def test_a_night_does_not_change_with_those_after_it():
    """Servings of a draw become known on two nights: it counts on the first, in a range as by itself."""
    rows = np.arange(N)
    nights = GIVEN.days + rows % 2
    whole = Shares.of(logged(rows), {}, nights, 7)
    for night in range(7):
        until = np.flatnonzero(nights <= night)
        alone = Shares.of(logged(until), {}, nights[until], night + 1)
        for one, other in zip(
            whole.over(0, night + 1)[2].calibrations(),
            alone.over(0, night + 1)[2].calibrations(),
            strict=True,
        ):
            assert vars(one) == pytest.approx(vars(other))
    # Every draw is counted once, with the rows of its first night.
    draws = GIVEN.households * 10 + GIVEN.days
    first = {draw: nights[draws == draw].min() for draw in set(draws.tolist())}
    counted = sum(night == first[draw] for draw, night in zip(draws.tolist(), nights, strict=True))
    assert {each.rows for each in whole.over(0, 7)[2].calibrations()} == {counted}
    assert counted < N


def test_the_gate_says_the_same_of_sums_as_of_rows():
    days = {}
    for day in range(6):
        rows = np.flatnonzero(GIVEN.days == day)
        log = LOG.rows(rows)
        days[str(day)] = Day(
            log,
            target_of(log, CANDIDATE[rows], PREDICTIONS[rows]),
            target_of(log, LIVE[rows], PREDICTIONS[rows]),
        )
    plain = of_actions(days)
    summed = reduce(add, [pair(rows) for rows in BUCKETS]).facts(["reward"])
    rules = Rules(planned_rows=500, fewest_clusters=20)
    one, other = judge({"it": plain}, rules)["it"], judge({"it": summed}, rules)["it"]
    assert (one.answer, one.reasons) == (other.answer, other.reasons)
    for look, expected in zip(other.looks, one.looks, strict=True):
        assert vars(look) == pytest.approx(vars(expected), rel=1e-9)
    for name, interval in one.estimates.items():
        assert other.estimates[name] == pytest.approx(interval, rel=1e-9)
    assert summed.variances == pytest.approx(plain.variances, rel=1e-9)
    assert summed.live["reward"] == pytest.approx(plain.live["reward"], rel=1e-12)
    for each, expected in zip(summed.calibrations, plain.calibrations, strict=True):
        assert (each.policy, each.action, each.rows) == ("log", expected.action, expected.rows)
        numbers = (each.ratio, each.error, each.p_value)
        assert numbers == pytest.approx((expected.ratio, expected.error, expected.p_value), rel=1e-9)
    assert summed.others == plain.others == {}


def test_a_mislabelled_policy_and_what_was_never_logged_are_seen():
    often = np.flatnonzero(RNG.random(N) < np.where(ACTIONS == 2, 1.0, 0.15))
    policies = np.where(GIVEN.days[often] < 3, "new", "old")
    # Shown action 2 far more often than the propensities of the log say.
    sums = logged(often, policies)
    found = of_pair(
        judged(CANDIDATE).rows(often),
        judged(LIVE).rows(often),
        sums,
        days=GIVEN.days[often],
        count=6,
        first={"2": np.full(len(often), 0.1), "9": np.full(len(often), 0.25)},
    ).facts(["reward"])
    verdict = judge({"it": found}, Rules(fewest_clusters=20))["it"]
    said = " ".join(verdict.reasons)
    assert verdict.answer == "cannot tell"
    assert "of logging policy new are not those" in said or "of logging policy old are not those" in said
    assert "action '2' was shown" in said
    assert "25.0% of what the candidate does was never logged (9)" in said


def test_rare_widgets_are_supported_once_one_of_them_was_shown():
    first = {"0": np.full(N, 0.4), "1": np.full(N, 0.1), OTHERS: np.full(N, 0.5)}
    rare = np.flatnonzero(ACTIONS >= 2)
    of_all = of_one(judged(LIVE), logged(np.arange(N)), first)
    assert of_all.shown[OTHERS] == len(rare)
    assert of_all.unsupported == {}
    named = np.flatnonzero(ACTIONS < 2)
    part = {name: values[named] for name, values in first.items()}
    of_named = of_one(judged(LIVE).rows(named), logged(named), part)
    assert of_named.unsupported == {OTHERS: pytest.approx(0.5)}


def test_days_on_which_nothing_was_served_show_nothing():
    nobody = np.arange(0)
    first = {"0": np.zeros(0), OTHERS: np.zeros(0)}
    found = Shares.of(logged(nobody), first, GIVEN.days[nobody], 2)
    of_first, shown, _ = found.over(0, 2)
    assert of_first == {"0": 0.0, OTHERS: 0.0}
    assert shown.get(OTHERS, 0.0) == 0.0


def test_a_largest_weight_over_twenty_thousand_is_refused():
    heavy = judged(CANDIDATE)
    propensities = heavy.propensities.copy()
    propensities[7] = CANDIDATE[7, ACTIONS[7]] / 21_739
    rare = Judged(
        propensities, heavy.probabilities, heavy.rewards, heavy.clusters, heavy.predicted, heavy.expected
    )
    found = of_pair(rare, judged(LIVE), logged(np.arange(N)), days=GIVEN.days, count=6, first={})
    verdict = judge({"it": found.facts(["reward"])}, Rules(fewest_clusters=20))["it"]
    assert verdict.answer == "cannot tell"
    assert "one row counts 21,739 times in the value of the candidate" in " ".join(verdict.reasons)


def test_sums_of_different_estimates_do_not_add():
    from ml.ope.terms import Terms

    one = Sums.of({"a": Terms.mean_of(np.ones(3))}, None)
    other = Sums.of({"b": Terms.mean_of(np.ones(3))}, None)
    assert (one + one).value("a") == 1.0
    with pytest.raises(ValueError, match="do not add"):
        one + other
    alone = Sums.of({"a": Terms.mean_of(np.ones(2))}, np.zeros(2, dtype=np.int64)).interval("a")
    assert alone.value == 1.0
    assert np.isnan(alone.lower)


def test_predictions_along_prefixes_are_the_mean_over_what_the_target_draws():
    rng = np.random.default_rng(2)
    values, predictions = rng.normal(size=(5, 4)), rng.uniform(0, 2, (5, 4))
    rule, seen = DrawRule(0.5, 0.02), np.array([1.0, 0.7, 0.4])
    everyone = np.ones((5, 4), dtype=bool)
    slates, _ = draw(
        values, everyone, positions=3, temperature=0.5, floor=0.02, uniforms=rng.uniform(0.01, 0.99, (5, 3))
    )
    predicted, expected = along_prefixes(values, slates, rule, predictions, seen)
    for row in range(5):
        left = everyone[row].copy()
        for position in range(3):
            chances = first_position_probabilities(
                values[row : row + 1], left[None], temperature=0.5, floor=0.02
            )[0]
            mean = chances @ predictions[row]
            after = seen[position + 1 :].sum()
            of_each = seen[position] * predictions[row] + after * mean
            assert predicted[row, position] == pytest.approx(of_each[slates[row, position]], rel=1e-12)
            assert expected[row, position] == pytest.approx(chances @ of_each, rel=1e-12)
            left[slates[row, position]] = False


def test_slates_are_estimated_along_their_prefixes():
    rng = np.random.default_rng(8)
    values, target = np.zeros((400, 4)), rng.normal(size=(400, 4))
    slates, propensities = draw(
        values, np.ones((400, 4), bool), positions=2, temperature=1.0, floor=0.0,
        uniforms=rng.uniform(0.001, 0.999, (400, 2)),
    )  # fmt: skip
    probabilities = slate_propensities(target, np.ones((400, 4), bool), slates, temperature=1.0, floor=0.0)
    rewards = rng.choice([0.0, 1.0, 3.0], (400, 2))
    given = Judged(
        propensities.astype(float), probabilities.astype(float), {"reward": rewards}, np.arange(400)
    )
    ratio = given.probabilities / given.propensities
    plain = (ratio[:, 0] * rewards[:, 0] + ratio[:, 0] * ratio[:, 1] * rewards[:, 1]).mean()
    found = given.terms("reward")
    assert next(iter(found)) == "reward-interaction IPS"
    assert found["reward-interaction IPS"].value == pytest.approx(plain, rel=1e-12)
    assert given.weights == pytest.approx(ratio.prod(axis=1), rel=1e-12)
