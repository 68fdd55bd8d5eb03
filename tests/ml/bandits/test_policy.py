"""What all policies share, and the simple ones: propensities by the formula, in whatever order rows come."""

import numpy as np
import pytest

from ml.bandits.constant import Constant
from ml.bandits.epsilon_greedy import EpsilonGreedy
from ml.bandits.fixed import Fixed
from ml.bandits.household_mean import HouseholdMean
from ml.bandits.linear import FEW_ARMS
from ml.bandits.lints import LinTS
from ml.bandits.linucb import LinUCB
from ml.bandits.quadratic import Quadratic
from ml.bandits.softmax import Softmax
from ml.bandits.statistics import of_rows as statistics_of
from ml.bandits.uniform import Uniform
from ml.draw import DrawRule
from tests.ml.bandits.given import ARMS, OWN, SHARED, WIDTH, contexts, rows_of, sums

HERE = contexts(60)


def test_epsilon_greedy_takes_the_best_and_any_with_epsilon() -> None:
    model = EpsilonGreedy(1.0, epsilon=0.2).fit(sums())
    found = model.propensities(*HERE)
    best = model.scores(*HERE).argmax(axis=1)
    expected = np.full((60, ARMS), 0.04)
    expected[np.arange(60), best] += 0.8
    assert np.abs(found - expected).max() < 2.0**-22
    assert not model.bonuses(*HERE).any()


def test_softmax_weighs_by_the_expected_reward() -> None:
    model = Softmax(1.0, temperature=0.3, floor=0.02).fit(sums())
    odds = np.exp(model.scores(*HERE).astype(np.float64) / 0.3)
    expected = 0.02 + 0.9 * odds / odds.sum(axis=1, keepdims=True)
    assert np.abs(model.propensities(*HERE) - expected).max() < 2.0**-22


def test_uniform_and_constant_know_no_context() -> None:
    assert np.abs(Uniform(ARMS, WIDTH).propensities(*HERE) - 1 / ARMS).max() < 2.0**-22
    ones = np.ones((60, SHARED), dtype=np.float32), HERE[1]
    model = Constant([3, 0], ARMS, WIDTH)
    assert np.array_equal(model.propensities(*ones), np.tile(np.eye(ARMS)[3], (60, 1)))
    slates = model.draw(*ones, uniforms=np.full((60, 3), 0.5)).slates
    assert slates.tolist() == [[3, 0, 1]] * 60


def test_the_household_mean_is_read_back_from_its_feature() -> None:
    columns, centers, scales = np.array([1, 2, 6, 7, 3]), np.arange(5) / 10, np.arange(1, 6) / 4
    model = HouseholdMean(columns, centers, scales, WIDTH)
    shared, own = np.ones((60, SHARED), dtype=np.float32), HERE[1]
    shared[:, 1:] = HERE[0][:, 1:]
    x = rows_of(shared, own)
    expected = np.stack([centers[a] + scales[a] * x[:, a, columns[a]] for a in range(ARMS)], axis=1)
    assert np.abs(model.scores(shared, own) - expected).max() < 1e-6
    again = model.select(np.array([4, -1, 0])).scores(shared, own[:, [4, 1, 0]])
    assert np.abs(again - expected[:, [4, 4, 0]] * [1, 0, 1]).max() < 1e-6


@pytest.mark.parametrize("own", [0, 1, OWN, WIDTH])
def test_doubts_are_right_though_features_are_collinear_and_arms_are_known_unequally(own: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, WIDTH))
    x[:, 0] = 1.0
    x[:, 3] = x[:, 2] + 1e-3 * x[:, 3]
    covariance = np.stack(
        [np.linalg.inv(x[:n].T @ x[:n] + np.eye(WIDTH)) for n in (20_000, 300, 0, 4_000, 20)]
    )
    shared, rest = WIDTH - own, x[:256, None, WIDTH - own :].repeat(5, axis=1)
    found = Quadratic(covariance, shared).squares(
        np.ascontiguousarray(x[:256, :shared], dtype=np.float32), rest.astype(np.float32)
    )
    expected = np.einsum("nd,kde,ne->nk", x[:256], covariance, x[:256])
    # x rounded to float32 is another x: next to collinear features that alone is some 1e-4.
    assert np.abs(np.sqrt(np.maximum(found, 0)) / np.sqrt(expected) - 1).max() < 2e-3


@pytest.mark.parametrize("threads_blocks", [3, 5000])
def test_the_best_are_those_of_a_full_sort(threads_blocks: int) -> None:
    shared, own = contexts(threads_blocks)
    model = LinUCB(1.0, 0.5).fit(sums())
    values = model.scores(shared, own) + model.bonuses(shared, own)
    assert np.array_equal(model.top(shared, own, length=3), np.argsort(-values, axis=1, kind="stable")[:, :3])
    eligible = np.random.default_rng(2).random(values.shape) < 0.5
    found = model.top(shared, own, length=ARMS, eligible=eligible)
    order = np.argsort(np.where(eligible, -values, np.inf), axis=1, kind="stable")
    count = eligible.sum(axis=1)[:, None]
    assert np.array_equal(found, np.where(np.arange(ARMS) < count, order, -1))


@pytest.mark.parametrize("arms", [7, FEW_ARMS + 1])
def test_equals_signs_and_zeros_are_ranked_as_a_stable_sort_does(arms: int) -> None:
    rng = np.random.default_rng(6)
    theta = rng.choice([-3.5, -1e-30, -0.0, 0.0, 1e-30, 2.0, 2.5e8], (arms, 1))
    shared = np.ones((3, 1), dtype=np.float32)
    expected = np.argsort(-theta[:, 0].astype(np.float32), kind="stable")[:5]
    assert Fixed(theta).top(shared, length=5).tolist() == [expected.tolist()] * 3


def test_masks_prefixes_and_marginals_agree_with_each_other() -> None:
    model = LinUCB(1.0, 0.5, rule=DrawRule(0.3, 0.01)).fit(sums())
    eligible = np.random.default_rng(3).random((60, ARMS)) < 0.8
    eligible[:, 0] = True
    first = model.propensities(*HERE, eligible=eligible)
    assert not first[~eligible].any()
    assert np.abs(first.sum(axis=1) - 1).max() == 0
    slates = np.zeros((60, 1), dtype=np.int32)
    assert np.array_equal(
        model.slate_propensities(HERE[0], slates, HERE[1], eligible=eligible)[:, 0], first[:, 0]
    )
    keys = np.arange(60, dtype=np.uint64)
    found = model.marginals(*HERE, positions=2, draws=4, seed=1, keys=keys, eligible=eligible)
    assert np.abs(found.means[:, 0] - first).max() < 1e-12


def test_thousands_of_arms() -> None:
    rng = np.random.default_rng(5)
    arms = 5_000
    model = Fixed(rng.normal(size=(arms, 4)))
    shared = rng.normal(size=(10, 4)).astype(np.float32)
    expected = np.argsort(-(shared @ model.theta_.T.astype(np.float32)), axis=1)[:, :12]
    assert np.array_equal(model.top(shared, length=12), expected)


@pytest.mark.parametrize("kind", [LinUCB, LinTS])
def test_regressions_of_thousands_of_arms(kind: type[LinUCB | LinTS]) -> None:
    """Fitted, sampled and drawn from as the formulas have it; nearly half of the arms were never shown."""
    rng = np.random.default_rng(6)
    arms, floor, temperature, alpha = 2_000, 0.0002, 0.3, 0.4
    x, shown, rewards = rng.normal(size=(1500, 4)), rng.integers(0, arms, 1500), rng.choice([0.0, 1, 3], 1500)
    rule = DrawRule(temperature, floor)
    model = kind(2.0, alpha, rule=rule).fit(statistics_of(x, shown, rewards, arms=arms))
    some = rng.normal(size=(3, 4)).astype(np.float32)
    keys, names = np.arange(3, dtype=np.uint64), [f"w{arm}" for arm in range(arms)]
    normals = model.normals(1, keys, page="home", epoch=0, arms=names)
    found = model.propensities(some, normals=normals)
    doubt, mean = np.empty((3, arms)), np.empty((3, arms))
    for arm in range(arms):
        own = x[shown == arm]
        inverse = np.linalg.inv(2.0 * np.eye(4) + own.T @ own)
        mean[:, arm] = some @ inverse @ own.T @ rewards[shown == arm]
        doubt[:, arm] = np.sqrt(np.einsum("nd,de,ne->n", some, inverse, some))
    values = mean + alpha * doubt * (1.0 if normals is None else normals.rows(slice(0, 3)))
    powers = np.exp((values - values.max(axis=1, keepdims=True)) / temperature)
    expected = floor + (1 - arms * floor) * powers / powers.sum(axis=1, keepdims=True)
    assert np.unique(shown).size < 0.6 * arms
    assert found == pytest.approx(expected, rel=2e-3, abs=1e-6)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-9


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Constant([0, 0], 3, 2), "a constant names columns 0 to 2, each once"),
        (lambda: Constant([3], 3, 2), "a constant names columns 0 to 2, each once"),
        (lambda: HouseholdMean(np.array([0]), np.ones(1), np.ones(1), 4), "stand in columns 1 to 3"),
        (lambda: Fixed(np.full((2, 2), np.nan)), "coefficients must be finite"),
        (
            lambda: LinUCB().fit(sums()).top(*HERE, length=2, eligible=np.ones((2, 2), bool)),
            r"eligible must have shape \(60, 5\)",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
