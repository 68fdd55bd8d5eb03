"""Rerankers: the papers' greedy choices, step by step in plain formulas; rules hold; rows are apart."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings

from ml.rank.dpp import DPP
from ml.rank.mmr import MMR
from ml.rank.rerank import Reranker
from ml.rank.rules import Rules
from tests.ml.rank.given import Given, allowed, page

K, LENGTH = 9, 5


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def mmr_values(scores: np.ndarray, similarity: np.ndarray, chosen: list[int], delta: float) -> np.ndarray:
    worst = similarity[:, chosen].clip(0, 1).max(axis=1) if chosen else np.zeros(len(scores))
    return (1 - delta) * scores - delta * worst


def dpp_values(scores: np.ndarray, similarity: np.ndarray, chosen: list[int], delta: float) -> np.ndarray:
    """What each adds to the determinant: not by the incremental factor, but by determinants."""
    if delta == 0:
        return scores
    quality = np.exp((1 - delta) * (scores - scores.mean()) / scores.std())
    kernel = quality[:, None] * similarity * quality
    before = np.linalg.det(kernel[np.ix_(chosen, chosen)]) if chosen else 1.0
    grown = [[*chosen, a] for a in range(len(scores))]
    return np.array([np.linalg.det(kernel[np.ix_(own, own)]) / before for own in grown])


CASES: list[tuple[type[Reranker], Callable[..., np.ndarray]]] = [(MMR, mmr_values), (DPP, dpp_values)]


@pytest.mark.parametrize(("kind", "values"), CASES)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("delta", [0.0, 0.3, 0.7])
def test_each_choice_is_the_best_by_the_formula(
    kind: type[Reranker], values: Callable[..., np.ndarray], *, shared: bool, delta: float
) -> None:
    rng = np.random.default_rng(4)
    scores = rng.random((40, K)).astype(np.float32)
    vectors = rng.normal(size=(40, K, 12))
    alike = [cosines(vectors[0 if shared else row]) for row in range(40)]
    found = kind(delta).rerank(scores, alike[0] if shared else vectors, length=LENGTH)
    for row in range(40):
        chosen: list[int] = []
        for column in found[row]:
            worth = values(scores[row].astype(float), alike[row], chosen, delta)
            worth[chosen] = -np.inf
            assert worth[column] >= worth.max() - 1e-5
            chosen.append(int(column))
        assert len(set(chosen)) == LENGTH


@pytest.mark.parametrize("kind", [MMR, DPP])
@settings(max_examples=40, deadline=None)
@given(page())
def test_rules_hold(kind: type[Reranker], given: Given) -> None:
    rng = np.random.default_rng(given.seed)
    scores, vectors = rng.random((1, given.k)), rng.normal(size=(1, given.k, 12))
    eligible = given.eligible[None]
    found = kind(0.5).rerank(scores, vectors, length=given.positions, eligible=eligible, rules=given.rules())
    for position, column in enumerate(found[0]):
        may = allowed(given, found[0][:position].tolist(), position)
        assert (column in may) if may else column == -1


@pytest.mark.parametrize("kind", [MMR, DPP])
def test_rows_do_not_see_each_other(kind: type[Reranker]) -> None:
    rng = np.random.default_rng(1)
    scores, vectors = rng.random((300, K)), rng.normal(size=(300, K, 6))
    eligible = rng.random((300, K)) < 0.7
    whole = kind(0.4).rerank(scores, vectors, length=LENGTH, eligible=eligible)
    order = rng.permutation(300)
    for rows in np.array_split(order, 7):
        part = kind(0.4).rerank(scores[rows], vectors[rows], length=LENGTH, eligible=eligible[rows])
        assert np.array_equal(part, whole[rows])


@pytest.mark.parametrize("kind", [MMR, DPP])
def test_short_of_candidates_a_list_ends_early_and_scores_of_others_are_not_looked_at(
    kind: type[Reranker],
) -> None:
    scores = np.array([[np.nan, 0.5, np.inf, 0.7]])
    eligible = np.array([[False, True, False, True]])
    found = kind(0.2).rerank(scores, np.eye(4), length=3, eligible=eligible)
    assert found.tolist() == [[3, 1, -1]]


@pytest.mark.parametrize("kind", [MMR, DPP])
def test_twins_stand_apart_the_more_the_more_variety_is_asked_for(kind: type[Reranker]) -> None:
    scores = np.array([[1.0, 0.99, 0.6, 0.1]])
    similarity = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    assert kind(0.0).rerank(scores, similarity, length=3).tolist() == [[0, 1, 2]]
    assert kind(0.9).rerank(scores, similarity, length=3).tolist() == [[0, 2, 3]]


@dataclass
class Wrong:
    change: dict[str, object]
    sentence: str


@pytest.mark.parametrize(
    "wrong",
    [
        Wrong({"scores": np.array([[0, 0, np.nan]])}, "score of candidate 2 in row 0 is nan"),
        Wrong({"likeness": np.eye(2)}, r"likeness must have shape \(3, 3\) or"),
        Wrong({"length": 0}, "length 1 or more"),
        Wrong({"eligible": np.ones((2, 3), bool)}, r"eligible must be boolean of shape \(1, 3\)"),
        Wrong({"rules": Rules.of("ab", positions=2)}, "the rules are about 2 candidates, not 3"),
    ],
)
def test_bad_input_is_refused_by_name(wrong: Wrong) -> None:
    good = {"scores": np.zeros((1, 3)), "likeness": np.eye(3), "length": 2}
    asked = {**good, **wrong.change}
    with pytest.raises(ValueError, match=wrong.sentence):
        MMR(0.5).rerank(asked.pop("scores"), asked.pop("likeness"), **asked)
    with pytest.raises(ValueError, match=r"diversity must lie in 0 to 1, not 1\.5"):
        MMR(1.5)
