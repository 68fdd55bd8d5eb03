"""Values are exact, intervals are over households."""

from itertools import permutations

import numpy as np
import pytest

from jobs.demo import value


def test_a_layout_s_value_discounts_by_position() -> None:
    rewards = np.array([[3.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
    layouts = np.array([[0, 1], [2, 1]])
    assert value.of_layouts(rewards, layouts).tolist() == [3.8, 3.8]


def test_draws_agree_with_a_sum_over_all_layouts() -> None:
    rng = np.random.default_rng(7)
    weights, rewards = rng.random(5) + 0.05, rng.integers(0, 4, 5).astype(float)
    exact = 0.0
    for layout in permutations(range(5), 3):
        probability, left = 1.0, weights.sum()
        for widget in layout:
            probability *= weights[widget] / left
            left -= weights[widget]
        exact += probability * sum(0.8**k * rewards[widget] for k, widget in enumerate(layout))
    rows = 20_000
    values = value.of_draws(
        np.tile(rewards, (rows, 1)), value.by_weights(np.tile(weights, (rows, 1))), 3, seed=1
    )
    assert values.mean() == pytest.approx(exact, abs=0.003)


def test_one_position_is_exact_without_a_draw() -> None:
    rewards, weights = np.array([[3.0, 1.0, 0.0]]), np.array([[0.5, 0.3, 0.2]])
    assert value.of_draws(rewards, value.by_weights(weights), 1, seed=1).tolist() == [1.8]
    assert value.of_probabilities(rewards, weights).tolist() == [1.8]


def test_best_layout_and_top_break_ties_to_the_lower_column() -> None:
    rewards = np.array([[1.0, 3.0, 1.0, 0.0], [1.0, 0.0, 1.0, 3.0]])
    assert value.best_layout(rewards, 3).tolist() == [1, 3, 0]
    assert value.top(np.array([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]]), 2).tolist() == [[1, 2], [0, 1]]


def test_intervals_are_paired_over_households() -> None:
    rng = np.random.default_rng(3)
    household = rng.integers(0, 300, 4000)
    taste = rng.gamma(2.0, 0.5, 300)[household]
    policies = {"base": taste, "double": 2 * taste}
    base, double = value.intervals(policies, household, "base", seed=1)
    assert base.gain == base.gain_low == base.gain_high == 0
    # What doubles each visit gains 100 % in every resample, however much the means themselves vary.
    assert (double.gain, double.gain_low, double.gain_high) == pytest.approx((100, 100, 100))
    assert base.mean == pytest.approx(taste.mean())
    # Delta method for a ratio of household sums, as an independent figure for the width.
    sums, visits = np.bincount(household, taste, 300), np.bincount(household, minlength=300)
    error = np.std(sums - taste.mean() * visits) / visits.mean() / np.sqrt(300)
    assert (base.low, base.high) == pytest.approx(
        (base.mean - 1.96 * error, base.mean + 1.96 * error), abs=0.25 * error
    )
    assert value.intervals(policies, household, "base", seed=1) == [base, double]


def test_no_visits_are_refused() -> None:
    with pytest.raises(ValueError, match="no visit"):
        value.intervals({"a": np.array([])}, np.array([], dtype=int), "a", seed=1)
