"""Arms that share: one dense ridge regression on all features at once is what they are held to."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.bandits.linucb import LinUCB
from ml.bandits.sharing import ARMS_AT_ONCE, solve
from ml.bandits.statistics import Statistics, empty, of_rows
from tests.ml.bandits.given import ARMS, LABELS, WIDTH, contexts, logged, rows_of, sums

RIDGE, SHARED_RIDGE = 3.0, 0.7


def features(x: NDArray, arm: NDArray) -> NDArray:
    """(w ⊗ x, x where it is the row's arm): the features of Li et al. 2010, algorithm 2, as one vector."""
    said = (LABELS[arm][:, :, None] * x[:, None, :]).reshape(len(x), -1)
    own = np.zeros((len(x), ARMS, WIDTH))
    own[np.arange(len(x)), arm] = x
    return np.concatenate([said, own.reshape(len(x), -1)], axis=1)


def dense() -> tuple[NDArray, NDArray]:
    """Coefficients and covariance of all of them at once."""
    x, action, reward = logged()
    z = features(x, action)
    prior = np.concatenate([np.full(3 * WIDTH, SHARED_RIDGE), np.full(ARMS * WIDTH, RIDGE)])
    covariance = np.linalg.inv(z.T @ z + np.diag(prior))
    return covariance @ z.T @ reward, covariance


def test_scores_and_doubts_are_those_of_one_regression_on_all_features() -> None:
    theta, covariance = dense()
    shared, own = contexts(30)
    model = LinUCB(RIDGE, 0.5, shared_ridge=SHARED_RIDGE).fit(sums(), LABELS)
    scores, bonuses = model.scores(shared, own), model.bonuses(shared, own)
    for arm in range(ARMS):
        z = features(rows_of(shared, own)[:, arm], np.full(30, arm))
        assert np.abs(scores[:, arm] - z @ theta).max() < 2e-6
        assert np.abs(bonuses[:, arm] - 0.5 * np.sqrt(((z @ covariance) * z).sum(axis=1))).max() < 2e-6


def test_loadings_are_the_covariance_between_arms() -> None:
    _, covariance = dense()
    fitted = solve(sums(), LABELS, ridge=RIDGE, shared_ridge=SHARED_RIDGE)
    x = np.random.default_rng(3).normal(size=(2, WIDTH))
    one, other = (features(x[[row]], np.array([arm]))[0] for row, arm in ((0, 1), (1, 3)))
    common = fitted.common()
    assert np.isclose(x[0] @ common[1] @ common[3].T @ x[1], one @ covariance @ other, rtol=1e-9)


def test_a_new_arm_starts_from_its_labels() -> None:
    x, action, reward = logged()
    known = action != 4
    fitted = LinUCB(RIDGE, shared_ridge=SHARED_RIDGE).fit(
        of_rows(x[known], action[known], reward[known], arms=ARMS), LABELS
    )
    lone = solve(fitted.statistics_, LABELS, ridge=1e9, shared_ridge=SHARED_RIDGE)
    assert np.abs(fitted.theta_[4]).max() > 0.01
    # With a ridge that leaves arms nothing of their own, arms with equal labels are one.
    assert np.abs(lone.theta[[0, 4]] - lone.theta[1]).max() < 1e-6
    doubt = [np.trace(each) for each in fitted.covariance_]
    assert max(doubt) == doubt[4] < WIDTH * (1 / RIDGE + 2 / SHARED_RIDGE)


def test_without_data_what_is_believed_is_the_prior() -> None:
    fitted = solve(empty(ARMS, WIDTH), LABELS, ridge=RIDGE, shared_ridge=SHARED_RIDGE)
    assert not fitted.theta.any()
    assert np.allclose(fitted.covariance(), np.eye(WIDTH) * (1 / RIDGE + 2 / SHARED_RIDGE))


def test_many_arms_are_taken_a_few_at_a_time() -> None:
    rng = np.random.default_rng(4)
    arms = ARMS_AT_ONCE + 3
    many = of_rows(rng.normal(size=(999, 3)), rng.integers(0, arms, 999), rng.normal(size=999), arms=arms)
    fitted = solve(many, rng.normal(size=(arms, 2)), ridge=1.0, shared_ridge=1.0)
    common = fitted.common()
    assert np.allclose(fitted.covariance(), fitted.own + common @ np.swapaxes(common, 1, 2), rtol=1e-12)


def test_days_one_by_one_fit_as_all_at_once() -> None:
    x, action, reward = logged()
    model = LinUCB(RIDGE, shared_ridge=SHARED_RIDGE).fit(empty(ARMS, WIDTH), LABELS)
    for part in np.array_split(np.arange(len(x)), 5):
        model.partial_fit(of_rows(x[part], action[part], reward[part], arms=ARMS))
    whole = LinUCB(RIDGE, shared_ridge=SHARED_RIDGE).fit(sums(), LABELS)
    assert np.abs(model.theta_ - whole.theta_).max() < 1e-12
    assert np.abs(model.covariance_ - whole.covariance_).max() < 1e-12


SUMS: Statistics = sums(50)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: LinUCB().fit(SUMS, LABELS), "need both labels and a shared_ridge"),
        (lambda: LinUCB(shared_ridge=1.0).fit(SUMS), "need both labels and a shared_ridge"),
        (lambda: LinUCB(shared_ridge=1.0).fit(SUMS, LABELS[:3]), r"labels must have shape \(5, m\)"),
        (lambda: LinUCB(shared_ridge=0.0).fit(SUMS, LABELS), "need a shared_ridge above 0, not 0.0"),
        (lambda: LinUCB(0.0, shared_ridge=1.0).fit(SUMS, LABELS), "need a ridge above 0, not 0.0"),
        (
            lambda: LinUCB(shared_ridge=1.0).fit(SUMS, np.where(np.eye(5, 3) > 0, np.nan, LABELS)),
            "the labels of arm 0 hold NaN",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
