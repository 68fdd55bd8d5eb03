"""Slates: the papers' formulas row by row, and worlds in which each estimator's assumption holds or fails."""

import math
from itertools import permutations

import numpy as np
import pytest

from ml.draw import DrawRule, draw, slate_propensities
from ml.marginals import marginals
from ml.ope.bootstrap import bootstrap
from ml.ope.intervals import student_t
from ml.ope.slates import (
    Marginals,
    Slates,
    cascade_dr,
    independent_ips,
    of_logged,
    reward_interaction_ips,
    standard_ips,
)
from ml.ope.terms import Terms

WIDGETS, POSITIONS, T = 4, 3, 0.5
LOGGING, TARGET = np.array([0.0, 0.3, 0.6, 0.2]), np.array([0.7, 0.1, 0.2, 0.5])
ORDERS = np.array(list(permutations(range(WIDGETS), POSITIONS)))
APPEAL = np.array([0.6, 0.2, 0.5, 0.3])
SEEN = 0.8 ** np.arange(POSITIONS)


def chances(scores: np.ndarray, orders: np.ndarray = ORDERS) -> np.ndarray:
    """(orders, K) conditional propensities of given slates."""
    wide = np.tile(scores, (len(orders), 1))
    return slate_propensities(wide, np.ones(wide.shape, bool), orders, temperature=T, floor=0.02).astype(
        float
    )


def expected(world: str, orders: np.ndarray) -> np.ndarray:
    """(orders, K) mean reward by position, seen or not: rewards stand alone, look back, or look ahead too."""
    own = APPEAL[orders]
    if world == "alone":
        pull = np.ones(orders.shape)
    elif world == "cascade":  # a good widget above leaves less for those below
        pull = np.cumprod(np.column_stack([np.ones(len(orders)), 1 - 0.7 * own[:, :-1]]), axis=1)
    else:  # the widgets below compete as well
        pull = 1 - 0.8 * (own.sum(axis=1, keepdims=True) - own) / 1.4
    return own * pull * SEEN


def truth(world: str) -> float:
    return float(chances(TARGET).prod(axis=1) @ expected(world, ORDERS).sum(axis=1))


def marginal_of(scores: np.ndarray) -> np.ndarray:
    """(widgets, K) exact marginals, by enumeration."""
    whole = chances(scores).prod(axis=1)
    found = np.zeros((WIDGETS, POSITIONS))
    for order, chance in zip(ORDERS, whole, strict=True):
        found[order, np.arange(POSITIONS)] += chance
    return found


def logged(rows: int, seed: int, world: str) -> tuple[np.ndarray, Slates]:
    rng = np.random.default_rng(seed)
    wide = np.tile(LOGGING, (rows, 1))
    drawn = draw(
        wide,
        np.ones(wide.shape, bool),
        positions=POSITIONS,
        temperature=T,
        floor=0.02,
        uniforms=rng.random((rows, 3)),
    )
    rewards = (rng.random((rows, POSITIONS)) < expected(world, drawn.slates)).astype(float)
    seen = (rewards > 0) | (rng.random((rows, POSITIONS)) < 0.5)
    given = Slates(rewards, drawn.propensities.astype(float), chances(TARGET, drawn.slates), seen)
    return drawn.slates, given


def test_values_are_those_of_the_papers_formulas() -> None:
    rng = np.random.default_rng(0)
    orders, base = logged(80, 1, "cascade")
    alpha = np.array([1.0, 0.5, 0.25])
    given = Slates(base.rewards, base.propensities, base.probabilities, position_weights=alpha)
    q, v = rng.random((80, 3)), rng.random((80, 3))
    both = Marginals(marginal_of(LOGGING)[orders, np.arange(3)], marginal_of(TARGET)[orders, np.arange(3)])
    sums = {"sips": 0.0, "rips": 0.0, "iips": 0.0, "cdr": 0.0}
    above, below, whole = np.zeros(3), np.zeros(3), 0.0
    for i in range(80):
        prefix = 1.0
        slate = math.prod(given.probabilities[i] / given.propensities[i])
        whole += slate
        for k in range(3):
            before = prefix
            prefix *= given.probabilities[i, k] / given.propensities[i, k]
            reward = alpha[k] * given.rewards[i, k]
            sums["sips"] += slate * reward
            sums["rips"] += prefix * reward
            sums["iips"] += both.target[i, k] / both.logging[i, k] * reward
            sums["cdr"] += prefix * (reward - q[i, k]) + before * v[i, k]
            above[k] += prefix * reward
            below[k] += prefix
    assert standard_ips(given).value == pytest.approx(sums["sips"] / 80, abs=1e-9)
    assert standard_ips(given, normalised=True).value == pytest.approx(sums["sips"] / whole, abs=1e-9)
    assert reward_interaction_ips(given).value == pytest.approx(sums["rips"] / 80, abs=1e-9)
    assert reward_interaction_ips(given, normalised=True).value == pytest.approx(
        (above / below).sum(), abs=1e-9
    )
    assert independent_ips(given, both).value == pytest.approx(sums["iips"] / 80, abs=1e-9)
    assert cascade_dr(given, q, v).value == pytest.approx(sums["cdr"] / 80, abs=1e-9)


@pytest.mark.parametrize(
    ("world", "unbiased"),
    [
        ("alone", {"standard", "cascade", "independent", "cascade-DR"}),
        ("cascade", {"standard", "cascade", "cascade-DR"}),
        ("both ways", {"standard"}),
    ],
)
def test_each_is_unbiased_where_its_assumption_holds(world: str, unbiased: set[str]) -> None:
    orders, given = logged(150_000, 3, world)
    here = np.arange(POSITIONS)
    exact = Marginals(marginal_of(LOGGING)[orders, here], marginal_of(TARGET)[orders, here])
    middling = np.full(given.rewards.shape, 0.3)
    found = {
        "standard": standard_ips(given),
        "cascade": reward_interaction_ips(given),
        "independent": independent_ips(given, exact),
        "cascade-DR": cascade_dr(given, middling, middling),
    }
    for name, terms in found.items():
        interval = student_t(terms, level=0.999)
        assert (interval.lower <= truth(world) <= interval.upper) is (name in unbiased), name
    errors = {name: student_t(terms).error for name, terms in found.items()}
    assert errors["cascade-DR"] < errors["cascade"] < errors["standard"]
    assert errors["independent"] < errors["cascade"]


def test_with_a_model_of_all_that_follows_little_noise_is_left() -> None:
    orders, given = logged(5000, 4, "cascade")
    q, v = np.zeros(given.rewards.shape), np.zeros(given.rewards.shape)
    whole, means = chances(TARGET), expected("cascade", ORDERS)
    for k in range(POSITIONS):
        after = whole[:, k + 1 :].prod(axis=1)
        for prefix in ORDERS:
            same = (ORDERS[:, : k + 1] == prefix[: k + 1]).all(axis=1)
            q[(orders[:, : k + 1] == prefix[: k + 1]).all(axis=1), k] = after[same] @ means[same, k:].sum(
                axis=1
            )
            begun = (ORDERS[:, :k] == prefix[:k]).all(axis=1)
            rest = whole[:, k:].prod(axis=1)
            v[(orders[:, :k] == prefix[:k]).all(axis=1), k] = rest[begun] @ means[begun, k:].sum(axis=1)
    modelled = student_t(cascade_dr(given, q, v), level=0.999)
    assert modelled.lower <= truth("cascade") <= modelled.upper
    assert modelled.error < 0.9 * student_t(reward_interaction_ips(given)).error


def test_normalised_values_are_near_the_truth_and_redraw_their_normalisers() -> None:
    _, given = logged(20_000, 5, "cascade")
    for terms in (standard_ips(given, normalised=True), reward_interaction_ips(given, normalised=True)):
        interval = student_t(terms, level=0.999)
        assert interval.lower <= truth("cascade") <= interval.upper
        assert bootstrap([terms], resamples=400, seed=1)[0].error == pytest.approx(interval.error, rel=0.12)


def test_simulated_marginals_enter_the_interval_with_their_error() -> None:
    rows, draws, runs = 200, 80, 100
    orders, given = logged(rows, 7, "alone")
    here = np.arange(POSITIONS)
    known = independent_ips(
        given, Marginals(marginal_of(LOGGING)[orders, here], marginal_of(TARGET)[orders, here])
    )
    rule, everyone = DrawRule(temperature=T, floor=0.02), np.ones((rows, WIDGETS), bool)
    gaps, noises = [], []
    for seed in range(runs):
        logging, target = (
            marginals(
                np.tile(scores, (rows, 1)),
                everyone,
                positions=POSITIONS,
                rule=rule,
                draws=draws,
                seed=2 * seed + number,
                keys=np.arange(rows, dtype=np.uint64),
            )
            for number, scores in enumerate((LOGGING, TARGET))
        )
        simulated = Marginals(
            of_logged(logging.means, orders, empty=1.0),
            of_logged(target.means, orders, empty=1.0),
            of_logged(logging.errors, orders, empty=0.0),
            of_logged(target.errors, orders, empty=0.0),
        )
        terms = independent_ips(given, simulated)
        gaps.append(terms.value - known.value)
        noises.append(math.sqrt(student_t(terms).error ** 2 - student_t(Terms(terms.parts)).error ** 2))
    assert abs(np.mean(gaps)) < 0.01 * known.value
    assert 0.95 * np.std(gaps) < np.mean(noises) < 1.6 * np.std(gaps)


def test_places_that_hold_nothing_have_a_marginal_of_one() -> None:
    values = np.arange(12.0).reshape(2, 2, 3)
    assert of_logged(values, np.array([[2, -1], [0, 1]]), empty=1.0).tolist() == [[2.0, 1.0], [6.0, 10.0]]


def slates(**changed: object) -> Slates:
    good = {
        "rewards": np.array([[1.0, 0.0], [0.0, 3.0]]),
        "propensities": np.full((2, 2), 0.5),
        "probabilities": np.full((2, 2), 0.5),
        "seen": np.array([[True, False], [True, True]]),
    }
    return Slates(**{**good, **changed})


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"propensities": np.array([[0.5, 1], [1, 0]])}, "^propensities at position 1, row 1: 0, but a prop"),
        ({"propensities": np.array([[0.5, 1.1], [1, 1]])}, r"^propensities at position 1, row 0: 1\.1, but"),
        ({"propensities": np.array([[np.nan, 1], [1, 1]])}, "^propensities at position 0, row 0: missing"),
        ({"probabilities": np.array([[0, 1], [-1, 1.0]])}, "^target probabilities at position 0, row 1: -1"),
        (
            {"rewards": np.array([[1.0, 2], [0, 3]])},
            "^rewards at position 1, row 0: 2, but a position that was",
        ),
        ({"rewards": np.zeros((2, 2))}, "^rewards are 0 in all 2 slates"),
        ({"rewards": np.array([[np.nan, 0], [0, 3]])}, "^rewards at position 0, row 0: missing"),
        ({"rewards": np.ones(3)}, r"rewards of slates must have shape \(n, K\)"),
        ({"seen": np.ones((2, 3), bool)}, r"seen must have shape \(2, 2\)"),
        ({"position_weights": np.ones(3)}, r"position weights must have shape \(2,\)"),
        ({"clusters": np.array([0, -1])}, "clusters, row 1: -1"),
    ],
)
def test_what_breaks_a_rule_is_named(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        slates(**wrong)


def test_marginals_and_models_are_checked() -> None:
    half = np.full((2, 2), 0.5)
    with pytest.raises(
        ValueError,
        match="logging marginals at position 1, row 0: 0, but what was logged has a marginal above 0",
    ):
        independent_ips(slates(), Marginals(np.array([[0.5, 0], [0.5, 0.5]]), half))
    with pytest.raises(ValueError, match="target marginals at position 0, row 1: 2, but"):
        independent_ips(slates(), Marginals(half, np.array([[0.5, 0], [2, 0.5]])))
    with pytest.raises(ValueError, match=r"expected must have shape \(2, 2\)"):
        cascade_dr(slates(), half, half[:1])
    with pytest.raises(ValueError, match="predicted at position 0, row 0: missing"):
        cascade_dr(slates(), half * np.nan, half)
