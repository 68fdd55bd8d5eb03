"""Marginals by position: against the sum over all orders, within their own standard error."""

from itertools import permutations

import numpy as np
import pytest

from ml.draw import DrawRule, first_position_probabilities, slate_propensities
from ml.marginals import marginals

RULE = DrawRule(0.3, 0.02, 0.1)
SETTINGS = {"temperature": RULE.temperature, "floor": RULE.floor, "epsilon": RULE.epsilon}


def exact(scores: np.ndarray, eligible: np.ndarray, positions: int) -> np.ndarray:
    """Sum over every slate that can be drawn."""
    columns = np.flatnonzero(eligible)
    slates = np.array(list(permutations(columns.tolist(), positions)), dtype=np.int32)
    many = (np.repeat(scores[None], len(slates), 0), np.repeat(eligible[None], len(slates), 0))
    chance = slate_propensities(*many, slates, **SETTINGS).astype(np.float64).prod(axis=1)
    found = np.zeros((positions, len(scores)))
    for position in range(positions):
        np.add.at(found[position], slates[:, position], chance)
    return found


def test_they_are_the_sum_over_all_orders_within_their_error() -> None:
    rng = np.random.default_rng(0)
    scores, eligible = rng.random((40, 5)), rng.random((40, 5)) < 0.9
    eligible[:, :3] = True
    found = marginals(
        scores, eligible, positions=3, rule=RULE, draws=400, seed=1, keys=np.arange(40, dtype=np.uint64)
    )
    expected = np.stack([exact(*pair, 3) for pair in zip(scores, eligible, strict=True)])
    off = (found.means - expected)[:, 1:] / np.maximum(found.errors[:, 1:], 1e-9)
    moves = found.errors[:, 1:] > 0
    assert 0.9 < np.sqrt((off[moves] ** 2).mean()) < 1.1
    first = first_position_probabilities(scores, eligible, **SETTINGS)
    assert np.abs(found.means[:, 0] - first).max() < 1e-12
    assert found.errors[:, 0].max() < 1e-12
    assert np.abs(found.means.sum(axis=2) - 1).max() < 1e-12


def test_a_row_does_not_see_its_neighbours_and_a_short_one_ends() -> None:
    scores = np.random.default_rng(2).random((6, 4))
    eligible = np.ones((6, 4), dtype=bool)
    eligible[3] = [False, True, False, False]
    keys = np.arange(6, dtype=np.uint64) + 9
    whole = marginals(scores, eligible, positions=2, rule=RULE, draws=8, seed=1, keys=keys)
    some = np.array([4, 3])
    part = marginals(scores[some], eligible[some], positions=2, rule=RULE, draws=8, seed=1, keys=keys[some])
    assert np.array_equal(part.means, whole.means[some])
    assert np.array_equal(part.errors, whole.errors[some])
    assert whole.means[3].tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"draws": 1}, "need 1 position and 2 draws or more, not 2 positions and 1 draws"),
        ({"positions": 0}, "not 0 positions"),
        ({"keys": np.arange(3, dtype=np.uint64)}, r"keys must have shape \(2,\)"),
        ({"scores": np.full((2, 3), np.nan)}, "the score of candidate 0 in row 0 is nan"),
    ],
)
def test_bad_input_is_refused_by_name(wrong: dict[str, object], sentence: str) -> None:
    good = {"positions": 2, "rule": RULE, "draws": 4, "seed": 1, "keys": np.arange(2, dtype=np.uint64)}
    arguments = {"scores": np.zeros((2, 3)), "eligible": np.ones((2, 3), dtype=bool), **good, **wrong}
    with pytest.raises(ValueError, match=sentence):
        marginals(arguments.pop("scores"), arguments.pop("eligible"), **arguments)
