"""Propensities are held against what was drawn: mislabelled policies are found, rare widgets not accused."""

import numpy as np
import pytest

from ml.ope.calibration import STAKES, Tallies, bets, calibration, codes_of_draws
from ml.ope.intervals import student_t
from ml.ope.log import Log
from ml.ope.terms import Terms

from .given import world


def logged_by_two(rows: int, seed: int, *, swapped: bool) -> Log:
    """Half the rows by the world's logging policy, half by another; swapped names one as the other."""
    given = world()
    rng = np.random.default_rng(seed)
    policies = np.stack([given.logging, given.logging[:, ::-1]])
    which = np.arange(rows) % 2
    kind = rng.choice(20, rows, p=given.kinds)
    action = (np.cumsum(policies[which, kind], axis=1) < rng.random((rows, 1))).sum(axis=1)
    said = np.zeros_like(which) if swapped else which
    return Log.of(action, rng.random(rows), policies[said, kind, action], action_set=5, policies=which)


def test_a_policy_labelled_as_another_is_found() -> None:
    found = calibration(logged_by_two(4000, 1, swapped=True))
    assert len(found) == 10
    assert all(each.p_value > 0.01 for each in found if each.policy == "0")
    assert min(each.p_value for each in found if each.policy == "1") < 1e-6


def test_ratios_are_the_formula() -> None:
    log = logged_by_two(500, 2, swapped=False)
    for each in calibration(log):
        rows = log.policies == int(each.policy)
        shown = rows & (log.actions == int(each.action))
        assert each.ratio == pytest.approx((1 / log.propensities[shown]).sum() / rows.sum(), abs=1e-12)
        assert each.rows == 250


def test_policies_that_are_what_they_say_are_seldom_accused() -> None:
    accused = [
        min(each.p_value for each in calibration(logged_by_two(1500, seed, swapped=False))) < 0.05
        for seed in range(100)
    ]
    assert np.mean(accused) <= 0.12


def test_only_rows_where_an_action_could_be_shown_count() -> None:
    rng = np.random.default_rng(5)
    eligible = np.ones((3000, 3), dtype=bool)
    eligible[:1500, 2] = False
    p = eligible / eligible.sum(axis=1, keepdims=True)
    actions = (np.cumsum(p, axis=1) < rng.random((3000, 1))).sum(axis=1)
    log = Log.of(actions, np.ones(3000), p[np.arange(3000), actions], action_set=3)
    assert min(each.p_value for each in calibration(log, eligible)) > 0.01
    assert abs(calibration(log)[2].ratio - 0.5) < 0.1
    assert abs(calibration(log, eligible)[2].ratio - 1) < 0.2
    assert calibration(log, eligible)[2].rows == 1500
    with pytest.raises(ValueError, match=r"eligible must have shape \(3000, 3\)"):
        calibration(log, eligible[:5])


def test_where_an_action_is_never_shown_the_other_stands_out_in_a_long_log() -> None:
    for rows, is_surprising in ((5, False), (5000, True)):
        log = Log.of([0] * rows, [1.0] * rows, [0.3] * rows, action_set=2)
        always, never = calibration(log)
        assert (always.ratio, never.ratio) == (pytest.approx(1 / 0.3), 0)
        assert (always.p_value < 0.001) is is_surprising
        assert never.p_value == 1


def test_the_p_value_is_the_wealth_of_bets_on_draws() -> None:
    shown, could = np.array([4.0, 0, 2, 0, 0]), np.array([True, True, True, True, False])
    draws = np.array([0, 0, 1, 2, 3])
    wealth = 0.0
    for stake in STAKES:
        # A draw of two rows, 4 and 0; one of 2; one of 0; none that could show it.
        wealth += (1 + stake * (2 - 1)) * (1 + stake * (2 - 1)) * (1 + stake * (0 - 1)) / len(STAKES)
    (found,) = Tallies((("it", "a"),), bets(shown, could, draws)).calibrations()
    assert found.p_value == pytest.approx(min(1, 1 / wealth), rel=1e-12)
    assert found.ratio == pytest.approx(6 / 4)
    # Gaps of the draws that could show it: 4 + 0 - 2, 2 - 1, 0 - 1.
    assert found.error == pytest.approx(np.sqrt(4 + 1 + 1) / 4)
    # Two nights, of which the second has the last draws; and two buckets, one of which knows no more actions.
    nights = bets(shown, could, draws, np.array([0, 1, 1, 1]), 2)
    assert nights.sum(axis=0) == pytest.approx(bets(shown, could, draws)[0], rel=1e-12)
    assert nights[:, 0].tolist() == [2, 2]
    one = Tallies((("it", "a"), ("it", "b")), np.stack([nights[0], nights[0]]))
    both = one + Tallies((("it", "a"),), nights[1:])
    assert both.keys == (("it", "a"), ("it", "b"))
    assert both.sums[0] == pytest.approx(bets(shown, could, draws)[0], rel=1e-12)
    # Two ratios are looked at now.
    assert both.calibrations()[0].p_value == pytest.approx(min(1, 2 / wealth), rel=1e-12)


def rare(seed: int, days: int = 28) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Propensities, widgets and days of a page whose 8 widgets are nearly all rare: likely in a few rows."""
    rng = np.random.default_rng(seed)
    who = rng.integers(0, 8, 40 * days)
    p = np.full((len(who), 8), 0.002)
    p[np.arange(len(who)), np.where(who == 7, rng.integers(0, 7, len(who)), 7)] += 1 - 0.016
    actions = np.minimum((np.cumsum(p, axis=1) < rng.random((len(who), 1))).sum(axis=1), 7)
    return p, actions, np.repeat(np.arange(days), 40)


def test_rare_widgets_are_not_accused_on_any_night() -> None:
    """Of 60 logs, looked at after each week, at the level of 5 %; a normal test accuses nearly all."""
    accused = normal = 0
    for seed in range(60):
        p, actions, days = rare(seed)
        drawn = p[np.arange(len(p)), actions]
        nights = [days < until for until in (7, 14, 21, 28)]
        logs = [Log.of(actions[rows], rows[rows], drawn[rows], action_set=8) for rows in nights]
        accused += any(min(each.p_value for each in calibration(log)) < 0.05 for log in logs)
        found = calibration(logs[-1])
        normal += any(abs(each.ratio - 1) > 4 * each.error for each in found)
    assert accused <= 3
    assert normal >= 45


def test_a_rare_widget_that_is_shown_three_times_as_often_is_found() -> None:
    p, _, _ = rare(1, days=60)
    true = p.copy()
    true[:, 3] += 0.004
    true /= true.sum(axis=1, keepdims=True)
    long = np.tile(np.arange(len(p)), 3)
    uniforms = np.random.default_rng(3).random((len(long), 1))
    actions = np.minimum((np.cumsum(true[long], axis=1) < uniforms).sum(axis=1), 7)
    log = Log.of(actions, np.ones(len(long)), p[long, actions], action_set=8)
    worst = min(calibration(log), key=lambda each: each.p_value)
    assert (worst.action, worst.p_value < 1e-3) == ("3", True)


def test_rows_that_share_a_draw_count_once() -> None:
    """One lucky draw of p = 0.01 that a subject sees 50 times is no evidence; 50 such draws of 1000 are."""
    clusters, days = np.repeat(np.arange(20), 50), np.zeros(1000, np.int64)
    shown = Log.of(
        np.where(clusters == 0, 0, 1), np.ones(1000), np.where(clusters == 0, 0.01, 0.99), action_set=2,
        clusters=clusters,
    )  # fmt: skip
    assert calibration(shown, draws=codes_of_draws(clusters, days))[0].p_value > 0.05
    assert calibration(shown, draws=np.arange(1000))[0].p_value < 1e-6


def test_a_draw_that_went_to_many_is_one_draw() -> None:
    """A page's default: 64 draws a night, each shown to 20 newcomers, by right propensities."""
    chances, target = np.array([0.6, 0.2, 0.1, 0.06, 0.04]), np.array([0.05, 0.05, 0.1, 0.2, 0.6])
    means, accused, held = np.array([0.3, 0.2, 0.1, 0.3, 0.4]), {}, {}
    rng = np.random.default_rng(2)
    for _ in range(20):
        actions = np.repeat(rng.choice(5, 7 * 64, p=chances), 20)
        rewards = (rng.random(len(actions)) < means[actions]) * 1.0
        ids = {"subject": np.arange(len(actions)), "draw": np.arange(len(actions)) // 20}
        terms = Terms.mean_of(target[actions] / chances[actions] * rewards)
        for name, clusters in ids.items():
            log = Log.of(actions, rewards, chances[actions], action_set=5, clusters=clusters)
            worst = min(each.p_value for each in calibration(log))
            interval = student_t(terms, clusters)
            accused[name] = accused.get(name, 0) + (worst < 1e-3)
            held[name] = held.get(name, 0) + (interval.lower <= target @ means <= interval.upper)
    assert accused["draw"] == 0
    assert accused["subject"] >= 10
    assert held["draw"] >= 17
    assert held["subject"] <= 12
