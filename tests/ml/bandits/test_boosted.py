"""Boosted trees as a policy, and ensembles: the same bits again, from shown rows, weighted as they say."""

import numpy as np
import pytest

from ml.bandits.boosted import Boosted
from ml.bandits.ensemble import Ensemble
from ml.bandits.lints import LinTS
from ml.bandits.linucb import LinUCB
from ml.bandits.uniform import Uniform
from ml.draw import DrawRule
from tests.ml.bandits.given import ARMS, NAMES, SHARED, WIDTH, contexts, logged, sums

RNG = np.random.default_rng(8)
X, ACTION, _ = logged(2000)
# Arm 2 is good where feature 1 is large; arm 0 always middling.
REWARD = np.where(ACTION == 2, 3.0 * (X[:, 1] > 0.5), np.where(ACTION == 0, 1.0, 0.2))
CHANCE = RNG.uniform(0.05, 1.0, 2000)
HERE = contexts(300)


def fitted(library: str = "xgboost", **more: object) -> Boosted:
    model = Boosted(library, trees=12, learning_rate=0.5, **more)
    return model.fit(X, ACTION, REWARD, CHANCE, arms=ARMS)


@pytest.mark.parametrize("library", ["xgboost", "catboost"])
def test_it_learns_an_arm_by_context_and_twice_the_same(library: str) -> None:
    model = fitted(library)
    scores = model.scores(*HERE)
    good = HERE[0][:, 1] > 0.6
    bad = HERE[0][:, 1] < 0.4
    assert (scores[good].argmax(axis=1) == 2).mean() > 0.98
    assert (scores[bad].argmax(axis=1) == 0).mean() > 0.98
    assert np.array_equal(fitted(library).scores(*HERE), scores)
    assert np.array_equal(model.scores(HERE[0][7:9], HERE[1][7:9]), scores[7:9])
    propensities = model.propensities(*HERE)
    assert np.array_equal(propensities, np.eye(ARMS)[scores.argmax(axis=1)])


def test_rows_count_by_the_inverse_of_their_propensity_up_to_a_limit() -> None:
    x, action = np.ones((400, 2)), np.zeros(400, dtype=int)
    reward = np.repeat([0.0, 1.0], 200)
    chance = np.repeat([0.9, 0.1], 200)
    shared = np.ones((1, 2), dtype=np.float32)
    for most, expected in ((100.0, (1 / 0.1) / (1 / 0.9 + 1 / 0.1)), (1.0, 0.5), (5.0, 5 / (1 / 0.9 + 5))):
        model = Boosted(trees=8, depth=1, learning_rate=0.9, most_weight=most).fit(
            x, action, reward, chance, arms=1
        )
        assert abs(model.scores(shared)[0, 0] - expected) < 0.04


def test_an_ensemble_is_the_weighted_mean_of_its_members() -> None:
    linucb, lints = LinUCB(1.0, 0.5).fit(sums()), LinTS(1.0, 0.7).fit(sums())
    both = Ensemble([(3.0, linucb), (1.0, lints), (1.0, Uniform(ARMS, WIDTH))], DrawRule(0.2))
    keys = np.arange(300, dtype=np.uint64)
    normals = both.normals(1, keys, page="", epoch=0, arms=NAMES)
    expected = 0.6 * linucb.values(*HERE) + 0.2 * lints.values(*HERE, normals)
    assert np.abs(both.values(*HERE, normals) - expected).max() < 1e-6
    odds = np.exp((expected - expected.max(axis=1, keepdims=True)) / 0.2)
    found = both.propensities(*HERE, normals=normals)
    assert np.abs(found - odds / odds.sum(axis=1, keepdims=True)).max() < 1e-5


def one(**wrong: object) -> dict[str, object]:
    good = {"contexts": X[:9], "actions": ACTION[:9], "rewards": REWARD[:9], "propensities": CHANCE[:9]}
    return {**good, "arms": ARMS, **wrong}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Boosted().scores(*HERE), "not fitted yet"),
        (lambda: Boosted("lightgbm").fit(**one()), "library must be xgboost or catboost"),
        (lambda: Boosted().fit(**one(contexts=X[:0])), r"shape \(m, d\) with m above 0"),
        (lambda: Boosted().fit(**one(rewards=REWARD[:3])), r"rewards must have shape \(9,\)"),
        (lambda: Boosted().fit(**one(contexts=np.full((9, 2), np.nan))), "the context of row 0 holds NaN"),
        (lambda: Boosted().fit(**one(actions=np.arange(9))), "the action of row 5 is none of the 5 arms"),
        (
            lambda: Boosted().fit(**one(propensities=np.arange(9) / 8)),
            "the propensity of row 0 does not lie in 0 to 1",
        ),
        (lambda: Ensemble([]), "an ensemble needs members with weights above 0"),
        (lambda: Ensemble([(0.0, Uniform(1, 1))]), "an ensemble needs members with weights above 0"),
        (
            lambda: Ensemble([(1.0, LinTS().fit(sums())), (1.0, LinTS().fit(sums()))]).normals(
                1, np.zeros(1, np.uint64), page="", epoch=0, arms=NAMES
            ),
            "one member of an ensemble at most may sample",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()


def test_shapes_that_do_not_fit_are_refused() -> None:
    model = fitted()
    with pytest.raises(ValueError, match=r"action contexts must have shape \(300, 5, …\)"):
        model.scores(HERE[0], HERE[1][:, :2])
    assert HERE[0].shape[1] == SHARED
