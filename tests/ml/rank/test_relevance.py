"""Relevance: weights are what they say, whatever a goal is counted in; what cannot be is refused by name."""

import numpy as np
import pytest

from ml.rank.relevance import relevance, typical_differences

RNG = np.random.default_rng(2)
CLICKS, CENTS = RNG.random((200, 6)), 500 + 90 * RNG.random((200, 6))
GOALS = {"click": CLICKS, "revenue": CENTS}
ODD = np.arange(6) % 2 == 1


def test_a_typical_difference_is_the_root_of_the_mean_variance_within_rows() -> None:
    shifted = CLICKS + np.arange(200)[:, None]  # what subjects differ in orders nothing
    found = typical_differences({**GOALS, "shifted": shifted})
    assert found["click"] == pytest.approx(np.sqrt(np.mean([row.var() for row in CLICKS])))
    assert found["shifted"] == pytest.approx(found["click"])
    eligible = np.tile(ODD, (200, 1))
    some = typical_differences({"click": np.where(eligible, CLICKS, np.nan)}, eligible)
    assert some["click"] == pytest.approx(np.sqrt(np.mean([row[ODD].var() for row in CLICKS])))


def test_weights_mean_the_same_in_any_unit() -> None:
    weights = {"click": 2.0, "revenue": 1.0}
    found = relevance(GOALS, weights, typical_differences(GOALS))
    plain = (2 * CLICKS / CLICKS.var(axis=1).mean() ** 0.5 + CENTS / CENTS.var(axis=1).mean() ** 0.5) / 3
    assert found == pytest.approx(plain, rel=1e-5)
    euros = {"click": CLICKS, "revenue": CENTS / 100}
    assert relevance(euros, weights, typical_differences(euros)) == pytest.approx(found, rel=1e-5)
    # Of two goals with the same weight, half of the variance comes from each.
    equal = relevance(GOALS, {"click": 1.0, "revenue": 1.0}, typical_differences(GOALS))
    parts = [relevance(GOALS, {name: 1.0}, typical_differences(GOALS)).var(axis=1).mean() for name in GOALS]
    assert parts == pytest.approx([1, 1], rel=1e-4)
    assert equal.var(axis=1).mean() == pytest.approx(0.5, abs=0.05)


def test_a_goal_that_never_differs_adds_nothing() -> None:
    flat = np.full((200, 6), 0.1)
    goals = {"click": CLICKS, "fresh": flat}
    differences = typical_differences(goals)
    assert differences["fresh"] == 0
    found = relevance(goals, {"click": 1.0, "fresh": 1.0}, differences)
    assert found == pytest.approx(CLICKS / differences["click"] / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"click": -0.5}, r"weight of 'click' is -0\.5, but a weight is a number of 0 or more"),
        ({"click": float("nan")}, "weight of 'click' is nan"),
        ({"click": 0.0, "revenue": 0.0}, "all weights are 0"),
        ({}, "all weights are 0"),
        ({"clik": 1.0}, "weight of 'clik': there is no such goal, only click, revenue"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        relevance(GOALS, weights, {"click": 1.0, "revenue": 1.0})


def test_values_that_are_no_numbers_are_named() -> None:
    wrong = {"click": np.array([[0.0, np.nan]])}
    with pytest.raises(ValueError, match="goal 'click' of candidate 1 in row 0 is nan"):
        typical_differences(wrong)
    assert relevance(wrong, {"click": 1}, {"click": 2}, np.array([[True, False]])).tolist() == [[0.0, 0.0]]
