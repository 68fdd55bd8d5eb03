"""Every estimator against its paper's formula, row by row, and against the truth of a world that is known."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from ml.ope.doubly_robust import DirectMethod, DoublyRobust, SelfNormalisedDR, ShrunkDR, SwitchDR
from ml.ope.importance import IPS, SNIPS, ClippedIPS, Replay
from ml.ope.intervals import student_t
from ml.ope.log import Log
from ml.ope.rows import Rows, rows_of
from ml.ope.target import Target, target_of

from .given import Sample, sample, world


def plain(given: Sample, each: Callable[[float, float, float, float], float]) -> float:
    """Sum `each(w, r, q̂(x, a), v̂)` over rows, by hand, and divide by n."""
    total = 0.0
    for row, action in enumerate(given.log.actions.tolist()):
        weight = given.target[row, action] / given.log.propensities[row]
        expected = sum(p * q for p, q in zip(given.target[row], given.predictions[row], strict=True))
        total += each(weight, given.log.rewards[row, 0], given.predictions[row, action], expected)
    return total / len(given.log)


def norm(given: Sample) -> float:
    return plain(given, lambda w, r, q, v: w)


FORMULAS = [
    (IPS(), lambda given: plain(given, lambda w, r, q, v: w * r)),
    (ClippedIPS(1.5), lambda given: plain(given, lambda w, r, q, v: min(w, 1.5) * r)),
    (SNIPS(), lambda given: plain(given, lambda w, r, q, v: w * r) / norm(given)),
    (DirectMethod(), lambda given: plain(given, lambda w, r, q, v: v)),
    (DoublyRobust(), lambda given: plain(given, lambda w, r, q, v: v + w * (r - q))),
    (
        SelfNormalisedDR(),
        lambda given: (
            plain(given, lambda w, r, q, v: v) + plain(given, lambda w, r, q, v: w * (r - q)) / norm(given)
        ),
    ),
    (SwitchDR(1.5), lambda given: plain(given, lambda w, r, q, v: v + (w * (r - q) if w <= 1.5 else 0.0))),
    (ShrunkDR(2.0), lambda given: plain(given, lambda w, r, q, v: v + 2 * w / (w * w + 2) * (r - q))),
    (ShrunkDR(math.inf), lambda given: plain(given, lambda w, r, q, v: v + w * (r - q))),
    (ShrunkDR(0.0), lambda given: plain(given, lambda w, r, q, v: v)),
]


def rows(given: Sample) -> Rows:
    return rows_of(given.log, target_of(given.log, given.target, given.predictions))


@pytest.mark.parametrize(("estimator", "formula"), FORMULAS, ids=lambda each: getattr(each, "name", ""))
def test_values_are_those_of_the_papers_formulas(estimator, formula) -> None:
    given = sample(700, seed=3)
    assert estimator.terms(rows(given)).value == pytest.approx(formula(given), rel=0, abs=1e-9)


def test_replay_is_the_mean_reward_of_rows_that_agree() -> None:
    given = sample(400)
    chosen = np.eye(5)[np.random.default_rng(1).integers(0, 5, 400)]
    agree = [row for row, action in enumerate(given.log.actions) if chosen[row, action] == 1]
    expected = sum(given.log.rewards[row, 0] for row in agree) / len(agree)
    found = Replay().terms(rows_of(given.log, target_of(given.log, chosen))).value
    assert found == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="no logged action has target probability 1"):
        Replay().terms(rows(given))


def test_influence_has_mean_zero_and_is_the_derivative_by_a_rows_weight() -> None:
    given = sample(200, seed=5)
    for estimator, _ in FORMULAS:
        terms = estimator.terms(rows(given))
        assert abs(terms.influence.mean()) < 1e-12
        assert terms.contributions.mean() == pytest.approx(terms.value, abs=1e-12)
        # A 201st row that is row 7 again moves the value by about ψ₇ / 201.
        twice = np.append(np.arange(200), 7)
        again = Sample(given.log.rows(twice), given.target[twice], given.predictions[twice])
        moved = estimator.terms(rows(again)).value - terms.value
        assert moved == pytest.approx(terms.influence[7] / 201, rel=0.05, abs=1e-9)


def test_a_difference_is_paired_row_by_row() -> None:
    given = sample(300, seed=9)
    live = np.full((300, 5), 0.2)
    candidate = rows(given)
    other = rows_of(given.log, target_of(given.log, live, given.predictions))
    for estimator, _ in FORMULAS:
        one, two = estimator.terms(candidate), estimator.terms(other)
        assert (one - two).value == pytest.approx(one.value - two.value, abs=1e-12)
        assert np.allclose((one - two).influence, one.influence - two.influence, atol=1e-12)
        assert abs((one - one).influence).max() < 1e-12


def test_of_several_goals_each_has_its_value() -> None:
    given = sample(300)
    rewards = np.column_stack([given.log.rewards[:, 0], given.log.rewards[:, 0] > 0])
    log = Log.of(given.log.actions, rewards, given.log.propensities, action_set=5, goals=("points", "any"))
    target = target_of(log, given.target, [given.predictions, given.predictions / 3])
    assert IPS().terms(rows_of(log, target)).value == IPS().terms(rows(given)).value
    weights = target.probabilities / log.propensities
    assert IPS().terms(rows_of(log, target, "any")).value == pytest.approx(np.mean(weights * rewards[:, 1]))
    with pytest.raises(ValueError, match="the log has no goal 'sale': it has points, any"):
        rows_of(log, target, "sale")


def test_a_target_of_numbers_alone_serves_as_one_of_matrices() -> None:
    given = sample(100)
    full = target_of(given.log, given.target, given.predictions)
    compact = Target(full.probabilities, full.predicted, full.expected)
    for estimator, _ in FORMULAS:
        of_both = [estimator.terms(rows_of(given.log, each)).value for each in (full, compact)]
        assert of_both[0] == of_both[1]


def test_what_cannot_be_estimated_is_said() -> None:
    given = sample(50)
    no_model = rows_of(given.log, target_of(given.log, given.target))
    for estimator, _ in FORMULAS:
        if estimator.needs_model:
            with pytest.raises(ValueError, match="this estimator needs a model: give predictions"):
                estimator.terms(no_model)
    never = rows_of(given.log, Target(np.zeros(50)))
    with pytest.raises(ValueError, match="the target policy never does what was logged"):
        _ = SNIPS().terms(never).value
    for wrong in (lambda: ClippedIPS(0.0), lambda: SwitchDR(-1.0), lambda: ShrunkDR(float("nan"))):
        with pytest.raises(ValueError, match="must be"):
            wrong()


RUNS, ROWS = 1000, 10_000


def covered(model: str) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return by estimator: share of 95 % intervals that hold the truth, root mean square error, and bias."""
    given = world()
    truth = given.value(given.target)
    means = {"good": given.means, "bad": 3.0 - 2.0 * given.means, "none": given.means}[model]
    expected = (given.target * means).sum(axis=1)
    estimators = [IPS(), SNIPS(), DoublyRobust()] if model == "good" else [DoublyRobust()]
    hits, errors = {each.name: 0 for each in estimators}, {each.name: [] for each in estimators}
    rng = np.random.default_rng(2017)
    for _ in range(RUNS):
        kind, action, reward = given.draw(rng, ROWS)
        log = Log.of(action, reward, given.logging[kind, action], action_set=5)
        target = Target(given.target[kind, action], means[kind, action][:, None], expected[kind][:, None])
        drawn = rows_of(log, target)
        for each in estimators:
            interval = student_t(each.terms(drawn))
            hits[each.name] += interval.lower <= truth <= interval.upper
            errors[each.name].append(interval.value - truth)
    return (
        {name: count / RUNS for name, count in hits.items()},
        {name: float(np.sqrt(np.mean(np.square(found)))) for name, found in errors.items()},
        {name: float(np.mean(found)) for name, found in errors.items()},
    )


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    shares, errors, biases = covered("good")
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares
    assert errors["DR"] < 0.95 * errors["IPS"]
    assert all(abs(bias) < 4 * errors[name] / math.sqrt(RUNS) for name, bias in biases.items())


def test_a_bad_model_costs_precision_and_nothing_else() -> None:
    shares, errors, biases = covered("bad")
    assert 0.93 <= shares["DR"] <= 0.97
    assert abs(biases["DR"]) < 4 * errors["DR"] / math.sqrt(RUNS)
    # As DECISIONS.md reports it: of IPS 0.0190, of DR with the good model 0.0159.
    assert errors["DR"] == pytest.approx(0.0285, abs=0.0005)
