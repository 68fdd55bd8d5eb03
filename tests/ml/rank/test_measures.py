"""Measures of lists: their papers' formulas, list by list and pair by pair."""

import math
from itertools import combinations, permutations

import numpy as np
import pytest

from ml.rank import measures

RNG = np.random.default_rng(5)
K, THEMES = 7, np.array([0, 0, 1, 1, 2, 2, 2])
LISTS = np.array([RNG.permutation(K)[:4] for _ in range(30)])
LISTS[3, 3] = LISTS[4, 1:] = LISTS[5] = -1
SIMILARITY = (lambda half: half @ half.T)(RNG.normal(size=(K, 5)))
GAINS = RNG.random((30, K))


def test_distance_within_a_list_is_the_mean_over_its_pairs() -> None:
    found = measures.intra_list_distance(LISTS, SIMILARITY)
    for row, own in zip(found, LISTS, strict=True):
        pairs = [1 - SIMILARITY[a, b] for a, b in combinations(own[own >= 0], 2)]
        assert row == pytest.approx(np.mean(pairs)) if pairs else math.isnan(row)


def test_coverage_counts_who_is_shown_at_all() -> None:
    assert measures.coverage(np.array([[0, 2], [2, -1]]), 4) == 0.5


def test_gini_is_the_mean_difference_of_pairs() -> None:
    shows = np.array([5.0, 0, 1, 1, 13])
    plain = np.abs(shows[:, None] - shows).mean() / (2 * shows.mean())
    assert measures.gini(shows) == pytest.approx(plain)
    assert measures.gini(np.ones(4)) == 0
    assert measures.gini(np.array([0, 0, 0, 8])) == 0.75
    with pytest.raises(ValueError, match="not all 0"):
        measures.gini(np.zeros(3))


def dcg(own: list[int], gains: np.ndarray, alpha: float) -> float:
    total = 0.0
    for j, a in enumerate(own):
        above = sum(THEMES[b] == THEMES[a] for b in own[:j])
        total += gains[a] * (1 - alpha) ** above / math.log2(2 + j)
    return total


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_alpha_ndcg_is_that_of_the_list_by_the_best(alpha: float) -> None:
    found = measures.alpha_ndcg(LISTS, GAINS, THEMES, alpha)
    for row in range(8):
        own = [int(a) for a in LISTS[row] if a >= 0]
        best = max(dcg(list(order), GAINS[row], alpha) for order in permutations(range(K), 4))
        assert found[row] == pytest.approx(dcg(own, GAINS[row], alpha) / best)
    assert np.isnan(measures.alpha_ndcg(LISTS[:1], np.zeros((1, K)), THEMES)).all()


def test_calibration_is_the_divergence_from_tastes() -> None:
    tastes = RNG.random((30, 3))
    tastes[1, 2] = tastes[2] = 0
    found = measures.calibration(LISTS, tastes, THEMES)
    for row, own in enumerate(LISTS):
        themes = [THEMES[a] for a in own if a >= 0]
        if row in (2, 5):
            assert math.isnan(found[row])
            continue
        expected = 0.0
        for t, p in enumerate(tastes[row] / tastes[row].sum()):
            q = 0.99 * themes.count(t) / len(themes) + 0.01 * p
            expected += p * math.log(p / q) if p else 0.0
        assert found[row] == pytest.approx(expected)
    alike = measures.calibration(np.array([[0, 2, 4, 5]]), np.array([[1.0, 1, 2]]), THEMES)
    assert alike == pytest.approx(0, abs=1e-12)
