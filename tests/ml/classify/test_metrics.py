"""metrics: equal to scikit-learn's, weights included; drift, calibration and leaks by planted values."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as theirs

from ml.classify.calibration import Calibration, calibrated, choose, logit
from ml.classify.drift import drift, psi, psi_of_codes
from ml.classify.leakage import single_feature_power
from ml.classify.metrics import METRICS, calibration_error, cell_losses, gains, mean_loss, reliability
from ml.classify.resampling import interval, subject_weights
from tests.ml.classify.given import planted

RNG = np.random.default_rng(11)
P = np.round(RNG.random(600), 2)
Y = (RNG.random(600) < P).astype(np.float64)
W = np.vstack([np.ones(600), RNG.poisson(1.0, (3, 600))]).astype(np.float64)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("auc", lambda w: theirs.roc_auc_score(Y, P, sample_weight=w)),
        ("average_precision", lambda w: theirs.average_precision_score(Y, P, sample_weight=w)),
        ("brier", lambda w: theirs.brier_score_loss(Y, P, sample_weight=w)),
        ("log_loss", lambda w: theirs.log_loss(Y, np.clip(P, 1e-6, 1 - 1e-6), sample_weight=w)),
    ],
)
def test_a_metric_is_scikit_learn_s(name: str, oracle: object) -> None:
    found = METRICS[name](P, Y, W)
    assert found == pytest.approx([oracle(w) for w in W])  # type: ignore[operator]


def test_calibration_error_and_reliability_are_those_of_their_bins() -> None:
    p, y = np.repeat([0.1, 0.9], 50), np.repeat([0.0, 1.0], 50)
    assert calibration_error(p, y, np.ones((1, 100)))[0] == pytest.approx(0.1)
    assert reliability(p, y)[0] == pytest.approx((0.1, 0.0, 10))
    assert reliability(p, y)[-1] == pytest.approx((0.9, 1.0, 10))


def test_gains_of_a_perfect_order() -> None:
    y = np.r_[np.ones(20), np.zeros(80)]
    found = gains(np.linspace(1, 0, 100), y)
    assert found[0] == pytest.approx((5.0, 0.5))
    assert found[1] == pytest.approx((5.0, 1.0))
    assert found[9] == pytest.approx((0.0, 1.0))


def test_losses_of_each_task() -> None:
    p, y = np.array([[0.8], [0.4]]), np.array([[1.0], [np.nan]])
    assert np.allclose(cell_losses(p, y, "labels"), [[-np.log(0.8)], [np.nan]], equal_nan=True)
    one_hot = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert cell_losses(np.array([[0.3, 0.7], [0.4, 0.6]]), one_hot, "classes")[:, 0] == pytest.approx(
        [-np.log(0.7), -np.log(0.4)]
    )
    losses = cell_losses(np.array([[1.0, 2.0]]), np.array([[3.0, np.nan]]), "rewards")
    assert mean_loss(losses, np.array([[2.0, 9.0]]), np.ones((1, 1)))[0] == pytest.approx(4.0)


def test_a_subject_s_rows_stay_together() -> None:
    subjects = np.array(["b", "a", "b", "c"], dtype=object)
    w = subject_weights(subjects, 500, 1)
    assert (w[0] == 1).all()
    assert (w[:, 0] == w[:, 2]).all()
    assert w[1:].mean(axis=0) == pytest.approx(np.ones(4), abs=0.15)
    assert np.array_equal(w[:, [1, 3, 0]], subject_weights(subjects[[1, 3, 0]], 500, 1))


def test_an_interval_covers_what_is_sampled() -> None:
    """Of 200 samples of a mean of 0.3, about 95 % of the intervals hold it."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        y = (rng.random(150) < 0.3).astype(np.float64)
        w = subject_weights(np.arange(150).astype(str).astype(object), 200, int(rng.integers(1000)))
        _, low, high = interval((w @ y) / w.sum(axis=1))
        held += low <= 0.3 <= high
    assert 180 <= held <= 198


def test_drift_is_none_for_the_same_and_large_for_a_shift() -> None:
    x = RNG.normal(size=4000)
    assert psi(x, RNG.normal(size=4000)) < 0.02
    # Normal against one moved by 1: the index of the continuous case is 1, of deciles a little less.
    assert psi(x, RNG.normal(1.0, 1.0, 4000)) == pytest.approx(0.95, abs=0.15)
    assert psi(x, np.where(RNG.random(4000) < 0.5, np.nan, x)) > 3
    then, now = np.repeat([0, 1], 50).astype(np.int32), np.repeat([0, 1], [75, 25]).astype(np.int32)
    assert psi_of_codes(then, now, 2) == pytest.approx(0.25 * np.log(1.5) - 0.25 * np.log(0.5))
    one = planted()
    found = drift(one.shape, (one.features, one.codes), (one.features, one.codes))
    assert found == dict.fromkeys(("first", "second", "third", "fourth", "kind"), 0.0)


def test_calibration_is_kept_only_where_it_helps() -> None:
    rng = np.random.default_rng(2)
    true = rng.random(4000)
    y = (rng.random(4000) < true).astype(np.float64)
    assert choose(true, y, 1).kind == "none"
    sharp = 1 / (1 + np.exp(-3 * logit(true)))
    platt = choose(sharp, y, 1)
    assert platt.kind == "platt"
    assert platt.values == pytest.approx((1 / 3, 0.0), abs=0.08)
    stepped = np.where(true < 0.5, 0.45, 0.55) + true / 100
    steep = np.where(true < 0.5, 0.05, 0.95)
    y = (rng.random(4000) < steep).astype(np.float64)
    isotonic = choose(np.round(stepped, 4), y, 1)
    assert np.abs(isotonic(stepped) - steep).mean() < 0.02
    assert choose(sharp[:50], y[:50], 1).kind == "none"
    of_two = calibrated(np.array([[0.5, 0.5]]), [Calibration("platt", (1.0, 1.0)), Calibration()], "classes")
    assert of_two.sum() == pytest.approx(1.0)
    assert of_two[0, 0] > 0.5


def test_a_planted_leak_stands_out() -> None:
    one = planted()
    power = single_feature_power(one)
    assert 0.6 < power["first"] < 0.85
    assert power["second"] < 0.56
    assert 0.55 < power["kind"] < 0.8
    leaky = one.features.copy(order="F")
    # It is known only for those who stay: that it is missing tells.
    leaky[:, 2] = np.where(one.targets[:, 0] == 1, np.nan, 1.0)
    assert single_feature_power(replace(one, features=leaky))["third"] == 1.0
