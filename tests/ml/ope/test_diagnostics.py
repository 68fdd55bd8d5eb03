"""What tells a log that can be trusted from one that cannot."""

import numpy as np
import pytest

from ml.ope.diagnostics import open_share, population_stability, unsupported, weights
from ml.ope.log import Log
from ml.ope.target import Target, target_of

from .given import sample


def test_weights_are_described() -> None:
    log = Log.of([0, 1, 0, 1], [1.0, 0, 0, 0], [0.5, 0.25, 0.5, 1.0], action_set=2, clusters=[0, 0, 1, 1])
    found = weights(log, Target(np.array([1.0, 0.5, 0.25, 0.0])))  # weights 2, 2, 0.5, 0
    assert found.rows == 4
    assert found.effective_rows == pytest.approx(4.5**2 / (4 + 4 + 0.25))
    assert found.effective_clusters == pytest.approx(4.5**2 / (16 + 0.25))
    assert found.effective_share == pytest.approx(found.effective_rows / 4)
    assert (found.mean, found.largest) == (1.125, 2.0)
    assert found.mean_error > 0


def test_mean_weight_is_one_where_propensities_are_right() -> None:
    given = sample(20_000)
    found = weights(given.log, target_of(given.log, given.target))
    assert abs(found.mean - 1) < 4 * found.mean_error


def test_actions_that_were_never_logged_are_named_with_the_target_s_share() -> None:
    log = Log.of([0, 1, 1], [1.0, 0, 0], [0.5] * 3, action_set=("a", "b", "c", "d"))
    target = target_of(log, np.array([[0.5, 0.2, 0.3, 0], [0.5, 0.5, 0, 0], [0.4, 0, 0.6, 0]]))
    assert unsupported(log, target) == {"c": pytest.approx(0.3)}
    with pytest.raises(ValueError, match="support needs the target's probabilities of all actions"):
        unsupported(log, Target(target.probabilities))


def test_stability_is_the_formula_and_sees_a_shift() -> None:
    rng = np.random.default_rng(3)
    reference, same = rng.normal(size=(4000, 2)), rng.normal(size=(4000, 2))
    shifted = same + np.array([0.0, 1.0])
    found = population_stability(reference, shifted)
    assert found[0] < 0.02
    assert found[1] > 0.25
    edges = np.quantile(reference[:, 1], np.linspace(0, 1, 11)[1:-1])
    r, c = (np.histogram(each[:, 1], [-np.inf, *edges, np.inf])[0] / 4000 for each in (reference, shifted))
    assert found[1] == pytest.approx(np.sum((c - r) * np.log(c / r)), abs=2e-3)
    assert population_stability(reference, reference).tolist() == [0.0, 0.0]


def test_stability_of_a_flag_compares_its_shares() -> None:
    reference, current = np.zeros((100, 1)), np.zeros((100, 1))
    reference[:20], current[:60] = 1, 1
    expected = (0.6 - 0.2) * np.log(0.6 / 0.2) + (0.4 - 0.8) * np.log(0.4 / 0.8)
    assert population_stability(reference, current)[0] == pytest.approx(expected)


def test_contexts_that_are_missing_are_named() -> None:
    wrong = np.zeros((5, 3))
    wrong[2, 1] = np.nan
    with pytest.raises(
        ValueError, match="current contexts, row 2, feature 1: nan, but it is a finite number"
    ):
        population_stability(np.zeros((5, 3)), wrong)
    with pytest.raises(ValueError, match="shapes"):
        population_stability(np.zeros((5, 3)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="current contexts have no rows"):
        population_stability(np.zeros((5, 3)), np.zeros((0, 3)))


def test_young_rows_are_still_open() -> None:
    assert open_share([0, 5, 20, 100], 20) == 0.5
    with pytest.raises(ValueError, match="ages, row 1: -3, but an age is 0 or more"):
        open_share([1, -3], 20)
