"""Examination is recovered from sightings, and from clicks alone whatever the relevance of each visit."""

import itertools

import numpy as np
import pytest

from ml.position_bias import click_rate, from_seen, from_swaps, swap_weight


def test_seen_over_served_is_the_examination_curve() -> None:
    found = from_seen(np.array([10, 8, 0]), np.array([10, 2, 0]))
    np.testing.assert_array_equal(found, [1.0, 0.25, np.nan])
    with pytest.raises(ValueError, match="more often than it was served"):
        from_seen(np.array([1]), np.array([2]))


def test_a_swap_weight_is_one_over_the_chance_of_the_order() -> None:
    weights = {"a": 0.5, "b": 0.3, "c": 0.2}

    def chance(*order: str) -> float:
        left, all_of_it = 1.0, 1.0
        for widget in order:
            all_of_it *= weights[widget] / left
            left -= weights[widget]
        return all_of_it

    for above, here, below in itertools.permutations(weights):
        both = chance(here, below, above) + chance(below, here, above)
        first, second = weights[here], weights[below] / (1 - weights[here])
        expected = both / chance(here, below, above)
        assert swap_weight(np.array([first]), np.array([second]))[0] == pytest.approx(expected)
        # The same two below a third: propensities are given what stands above.
        both = chance(above, here, below) + chance(above, below, here)
        upper = weights[here] / (1 - weights[above])
        expected = both / chance(above, here, below)
        assert swap_weight(np.array([upper]), np.array([1.0]))[0] == pytest.approx(expected)
    assert np.isnan(swap_weight(np.array([1.0]), np.array([0.5]))[0])


def test_swaps_find_the_curve_where_what_is_likely_clicked_stands_above() -> None:
    rng = np.random.default_rng(7)
    n, examination = 60_000, 0.8 ** np.arange(4)
    relevance = rng.beta(1, 3, size=(n, 4))
    weights = np.exp(4 * relevance)
    weights /= weights.sum(axis=1, keepdims=True)
    layout = np.argsort(rng.exponential(size=weights.shape) / weights, axis=1)
    drawn = np.take_along_axis(weights, layout, axis=1)
    propensity = drawn / (1 - np.column_stack([np.zeros(n), drawn.cumsum(axis=1)[:, :-1]]))
    seen = rng.random(n)[:, None] < examination
    clicks = seen & (rng.random((n, 4)) < np.take_along_axis(relevance, layout, axis=1))
    weight = swap_weight(propensity[:, :-1], propensity[:, 1:])
    found = from_swaps((weight * clicks[:, :-1]).sum(axis=0), (weight * clicks[:, 1:]).sum(axis=0))
    naive = clicks.sum(axis=0) / clicks[:, 0].sum()
    np.testing.assert_allclose(found, examination, atol=0.02)
    assert abs(naive - examination).max() > 0.08


def test_a_click_rate_counts_what_was_examined() -> None:
    served, examination = np.array([[10, 0], [0, 10], [0, 0]]), np.array([1.0, 0.5])
    np.testing.assert_allclose(
        click_rate(np.array([2, 2, 0]), served, examination, (1.0, 5.0)), [3 / 15, 3 / 10, 1 / 5]
    )
    assert np.isnan(click_rate(np.array([0]), np.array([[0, 0]]), examination, (0.0, 0.0)))[0]
