"""Disjoint LinUCB against its formula, arm by arm and row by row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.bandits.blocks import BLOCK
from ml.bandits.linucb import LinUCB
from ml.bandits.statistics import Statistics, empty, of_rows

ARMS, SHARED, OWN = 5, 6, 2
WIDTH = SHARED + OWN


def logged(count: int = 800, seed: int = 0) -> tuple[NDArray, NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, WIDTH)), rng.integers(0, ARMS, count), rng.choice([0.0, 1.0, 3.0], count)


def contexts(count: int, seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(count, SHARED)).astype(np.float32)
    return shared, rng.normal(size=(count, ARMS, OWN)).astype(np.float32)


def plain(
    rows: tuple[NDArray, NDArray, NDArray], shared: NDArray, own: NDArray, ridge: float, alpha: float
) -> tuple[NDArray, NDArray]:
    """Li et al. 2010, algorithm 1, as it is written."""
    x, action, reward = rows
    scores, bonuses = np.empty(own.shape[:2]), np.empty(own.shape[:2])
    for arm in range(own.shape[1]):
        d, c = x[action == arm], reward[action == arm]
        inverse = np.linalg.inv(d.T @ d + ridge * np.eye(x.shape[1]))
        theta = inverse @ (d.T @ c)
        for row in range(len(shared)):
            features = np.concatenate([shared[row], own[row, arm]]).astype(np.float64)
            scores[row, arm] = features @ theta
            bonuses[row, arm] = alpha * np.sqrt(features @ inverse @ features)
    return scores, bonuses


def fitted(ridge: float = 1.0, alpha: float = 0.5) -> LinUCB:
    return LinUCB(ridge, alpha).fit(of_rows(*logged(), arms=ARMS))


def test_scores_and_bonuses_are_those_of_the_formula() -> None:
    shared, own = contexts(40)
    scores, bonuses = plain(logged(), shared, own, 2.0, 0.7)
    model = fitted(2.0, 0.7)
    assert np.abs(model.scores(shared, own) - scores).max() < 2e-6
    assert np.abs(model.bonuses(shared, own) - bonuses).max() < 2e-6


def test_without_features_of_its_own_an_arm_sees_the_context_alone() -> None:
    shared = np.random.default_rng(3).normal(size=(30, WIDTH)).astype(np.float32)
    none = np.empty((30, ARMS, 0), dtype=np.float32)
    scores, bonuses = plain(logged(), shared, none, 1.0, 0.5)
    model = fitted()
    assert np.abs(model.scores(shared) - scores).max() < 2e-6
    assert np.abs(model.bonuses(shared, none) - bonuses).max() < 2e-6


def test_days_one_by_one_fit_as_all_at_once() -> None:
    x, action, reward = logged()
    model = LinUCB(1.0, 0.5)
    for part in np.array_split(np.arange(len(x)), 9):
        model.partial_fit(of_rows(x[part], action[part], reward[part], arms=ARMS))
    assert np.abs(model.theta_ - fitted().theta_).max() < 1e-12
    assert np.abs(model.covariance_ - fitted().covariance_).max() < 1e-12


def test_the_order_of_rows_does_not_matter() -> None:
    x, action, reward = logged()
    order = np.random.default_rng(4).permutation(len(x))
    other = LinUCB(1.0, 0.5).fit(of_rows(x[order], action[order], reward[order], arms=ARMS))
    assert np.abs(other.theta_ - fitted().theta_).max() < 1e-12


@given(order=st.permutations(range(BLOCK + 50)))
@settings(max_examples=5, deadline=None)
def test_a_rows_score_is_the_same_bits_beside_any_other_rows(order: list[int]) -> None:
    shared, own = contexts(BLOCK + 50)
    model = fitted()
    scores, bonuses = model.scores(shared, own), model.bonuses(shared, own)
    rows = np.array(order)
    for part in (rows, rows[:200], rows[200:], rows[:1]):
        assert np.array_equal(model.scores(shared[part], own[part]), scores[part])
        assert np.array_equal(model.bonuses(shared[part], own[part]), bonuses[part])


def test_parts_of_the_features_sum_to_the_score() -> None:
    shared, own = contexts(20)
    model = fitted()
    first = np.arange(ARMS * WIDTH).reshape(ARMS, WIDTH) % 3 == 0
    parts = model.scores(shared, own, columns=first) + model.scores(shared, own, columns=~first)
    assert np.abs(parts - model.scores(shared, own)).max() < 1e-5


def test_an_arm_never_seen_scores_nothing_and_is_doubted_most() -> None:
    shared, own = contexts(20)
    model = fitted(ridge=4.0, alpha=0.5)
    chosen = model.select(np.array([2, -1]))
    assert np.array_equal(chosen.scores(shared, own[:, :2])[:, 1], np.zeros(20))
    length = np.sqrt((shared.astype(np.float64) ** 2).sum(1) + (own[:, 1].astype(np.float64) ** 2).sum(1))
    assert np.allclose(chosen.bonuses(shared, own[:, :2])[:, 1], 0.5 * length / 2.0, rtol=1e-6)
    own_of_2 = np.repeat(own[:, :1], ARMS, axis=1)
    assert np.array_equal(chosen.scores(shared, own[:, :2])[:, 0], model.scores(shared, own_of_2)[:, 2])


def test_more_data_leaves_less_doubt() -> None:
    x, action, reward = logged()
    shared, own = contexts(50)
    less = LinUCB(1.0, 0.5).fit(of_rows(x[:300], action[:300], reward[:300], arms=ARMS))
    assert (fitted().bonuses(shared, own) < less.bonuses(shared, own)).all()


def test_without_alpha_there_is_no_bonus() -> None:
    shared, own = contexts(5)
    assert not fitted(alpha=0.0).bonuses(shared, own).any()


def test_parameters_restore_the_policy() -> None:
    shared, own = contexts(30)
    model = fitted()
    restored = LinUCB(1.0, 0.5).restore(model.theta_, model.covariance_)
    assert np.array_equal(restored.scores(shared, own), model.scores(shared, own))
    assert np.array_equal(restored.bonuses(shared, own), model.bonuses(shared, own))


def test_a_singular_arm_is_named() -> None:
    x, action, reward = logged()
    x[action == 3, 1] = x[action == 3, 0]
    with pytest.raises(ValueError, match=r"arm 3: its λI \+ Σxxᵀ is singular; give a ridge above 0"):
        LinUCB(ridge=0.0).fit(of_rows(x, action, reward, arms=ARMS))
    LinUCB(ridge=0.1).fit(of_rows(x, action, reward, arms=ARMS))


def test_sums_that_no_rows_can_have_are_refused() -> None:
    sums = of_rows(*logged(), arms=ARMS)
    broken = Statistics(sums.n, np.where(np.arange(ARMS)[:, None] == 1, -sums.xx, sums.xx), sums.rx, sums.rr)
    with pytest.raises(ValueError, match="arm 1: its"):
        LinUCB().fit(broken)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: LinUCB().scores(np.zeros((1, 2))), "not fitted yet"),
        (lambda: LinUCB(ridge=-1).fit(empty(1, 2)), "ridge must be 0 or more"),
        (lambda: LinUCB(alpha=float("nan")).fit(empty(1, 2)), "alpha must be 0 or more"),
        (lambda: fitted().scores(np.zeros((3, WIDTH + 1))), r"contexts must have shape \(n, 8 or fewer\)"),
        (lambda: fitted().scores(np.zeros((3, SHARED))), r"action contexts must have shape \(3, 5, 2\)"),
        (lambda: fitted().scores(np.full((3, WIDTH), np.nan)), "the context of row 0 holds NaN"),
        (
            lambda: fitted().bonuses(np.zeros((2, SHARED)), np.full((2, ARMS, OWN), np.inf)),
            "the action context of row 0 holds NaN or infinity",
        ),
        (
            lambda: LinUCB(0.0).fit(of_rows(*logged(), arms=ARMS)).select(np.array([-1])),
            "needs a ridge above 0",
        ),
        (
            lambda: LinUCB().restore(np.zeros((2, 3)), np.zeros((2, 2, 2))),
            "2 arms of 3 features cannot have covariances",
        ),
        (
            lambda: LinUCB().restore(np.full((1, 1), np.nan), np.ones((1, 1, 1))),
            "the parameters of a policy must be finite",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
