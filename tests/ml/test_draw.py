"""The final draw: its propensities are those of the formula, and it draws with exactly these."""

from dataclasses import asdict
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.draw import MOST_CANDIDATES, STEPS, DrawRule, draw, first_position_probabilities, slate_propensities

T, FLOOR = 0.3, 0.02


def plain(scores: list[float], left: list[int], temperature: float, floor: float) -> dict[int, float]:
    """The formula as it is written, in float64."""
    odds = {column: np.exp(scores[column] / temperature) for column in left}
    total = sum(odds.values())
    return {column: floor + (1 - len(left) * floor) * odds[column] / total for column in left}


def plain_slate(scores: list[float], left: list[int], slate: tuple[int, ...]) -> list[float]:
    left, found = list(left), []
    for column in slate:
        found.append(plain(scores, left, T, FLOOR)[column])
        left.remove(column)
    return found


def test_every_slate_has_the_probability_of_the_formula_and_they_sum_to_one() -> None:
    scores = np.array([[0.9, 0.4, 0.35, -0.2, 0.1]])
    eligible = np.array([[True, True, False, True, True]])
    columns = [0, 1, 3, 4]
    slates = np.array(list(permutations(columns, 3)), dtype=np.int32)
    many = len(slates)
    found = slate_propensities(
        np.repeat(scores, many, axis=0), np.repeat(eligible, many, axis=0), slates, temperature=T, floor=FLOOR
    )
    expected = np.array([plain_slate(scores[0].tolist(), columns, tuple(slate)) for slate in slates])
    assert np.abs(found - expected).max() < 2.0**-23
    assert abs(found.astype(np.float64).prod(axis=1).sum() - 1) < 1e-12


def test_frequencies_agree_with_propensities() -> None:
    count = 200_000
    scores = np.tile([0.9, 0.4, 0.35, -0.2], (count, 1))
    eligible = np.ones(scores.shape, dtype=bool)
    uniforms = np.random.default_rng(5).random((count, 2))
    drawn = draw(scores, eligible, positions=2, temperature=T, floor=FLOOR, uniforms=uniforms)
    codes, first, counts = np.unique(
        drawn.slates[:, 0] * 4 + drawn.slates[:, 1], return_index=True, return_counts=True
    )
    assert len(codes) == 12
    expected = drawn.propensities[first].astype(np.float64).prod(axis=1) * count
    assert abs(expected.sum() - count) < 1e-6
    assert ((counts - expected) ** 2 / expected).sum() < 24.7  # chi-square, 11 degrees of freedom, 1 %


def test_the_propensity_is_the_length_of_the_uniforms_interval_to_the_bit() -> None:
    scores = np.array([[0.2, 0.7, 0.1]])
    eligible = np.ones((1, 3), dtype=bool)
    probabilities = first_position_probabilities(scores, eligible, temperature=T, floor=FLOOR)[0]
    edges = np.rint(np.cumsum(probabilities) * STEPS).astype(int)[:-1]
    for column, edge in enumerate(edges):
        for offset, expected in ((-0.5, column), (0.5, column + 1)):
            uniforms = np.array([[(edge + offset) / STEPS]])
            drawn = draw(scores, eligible, positions=1, temperature=T, floor=FLOOR, uniforms=uniforms)
            assert drawn.slates[0, 0] == expected
            assert drawn.propensities[0, 0] == np.float32(probabilities[expected])


@given(
    scores=st.lists(st.floats(-5, 5), min_size=1, max_size=9),
    mask=st.integers(1, 511),
    positions=st.integers(1, 6),
    temperature=st.floats(0.01, 3),
    floor=st.sampled_from([0.0, 0.001, 0.1]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=200, deadline=None)
def test_a_draw_is_valid_and_its_propensities_are_found_again(
    scores: list[float], mask: int, positions: int, temperature: float, floor: float, seed: int
) -> None:
    values = np.array([scores])
    eligible = np.array([[bool(mask >> column & 1) for column in range(len(scores))]])
    uniforms = np.random.default_rng(seed).random((1, positions)) * (1 - 2e-16) + 1e-16
    drawn = draw(
        values, eligible, positions=positions, temperature=temperature, floor=floor, uniforms=uniforms
    )
    slate = drawn.slates[0][drawn.slates[0] >= 0]
    assert len(slate) == min(positions, eligible.sum())
    assert len(set(slate.tolist())) == len(slate)
    assert eligible[0][slate].all()
    assert (drawn.propensities[0, : len(slate)] > 0).all()
    assert (drawn.propensities[0, : len(slate)] >= np.float32(floor) - 2.0**-24).all()
    assert (drawn.propensities[0, len(slate) :] == 1).all()
    again = slate_propensities(values, eligible, drawn.slates, temperature=temperature, floor=floor)
    assert again.tolist() == drawn.propensities.tolist()
    first = first_position_probabilities(values, eligible, temperature=temperature, floor=floor)[0]
    assert first.sum() == (1 if eligible.any() else 0)
    assert (first.astype(np.float32) == first).all()
    if len(slate):
        assert drawn.propensities[0, 0] == first[slate[0]]


def test_a_prefix_has_the_propensities_of_the_whole() -> None:
    scores = np.random.default_rng(1).random((50, 8))
    eligible = np.ones(scores.shape, dtype=bool)
    uniforms = np.random.default_rng(2).random((50, 5))
    drawn = draw(scores, eligible, positions=5, temperature=T, floor=FLOOR, uniforms=uniforms)
    prefix = slate_propensities(scores, eligible, drawn.slates[:, :3], temperature=T, floor=FLOOR)
    assert prefix.tolist() == drawn.propensities[:, :3].tolist()


def test_a_slate_that_could_not_be_drawn_has_propensity_zero_from_there_on() -> None:
    scores = np.zeros((1, 4))
    eligible = np.array([[True, False, True, True]])
    found = slate_propensities(scores, eligible, np.array([[0, 1, 2]]), temperature=T, floor=0.0)
    assert found[0, 1:].tolist() == [0, 0]
    assert abs(found[0, 0] - 1 / 3) < 2.0**-23


def test_fewer_candidates_than_positions_give_a_shorter_slate() -> None:
    eligible = np.array([[False, True, False], [False, False, False]])
    uniforms = np.full((2, 3), 0.5)
    drawn = draw(np.zeros((2, 3)), eligible, positions=3, temperature=T, floor=FLOOR, uniforms=uniforms)
    assert drawn.slates.tolist() == [[1, -1, -1], [-1, -1, -1]]
    assert drawn.propensities.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_far_apart_scores_do_not_overflow_and_still_draw_all() -> None:
    scores = np.array([[1000.0, -1000.0, 0.0]])
    eligible = np.ones((1, 3), dtype=bool)
    drawn = draw(scores, eligible, positions=3, temperature=0.01, floor=0.0, uniforms=np.full((1, 3), 0.9999))
    assert drawn.slates.tolist() == [[0, 2, 1]]
    assert drawn.propensities.tolist() == [[1, 1, 1]]


def test_at_temperature_0_with_epsilon_it_is_epsilon_greedy_at_every_position() -> None:
    scores = np.array([[0.2, 0.7, 0.7, 0.1]])
    eligible = np.array([[True, True, True, True]])
    slates = np.array(list(permutations(range(4), 2)), dtype=np.int32)
    found = slate_propensities(
        np.repeat(scores, 12, axis=0),
        np.repeat(eligible, 12, axis=0),
        slates,
        temperature=0.0,
        floor=0.0,
        epsilon=0.2,
    )
    for slate, propensity in zip(slates.tolist(), found, strict=True):
        left = [0, 1, 2, 3]
        for position, column in enumerate(slate):
            best = max(left, key=lambda one: (scores[0, one], -one))
            expected = 0.2 / len(left) + (0.8 if column == best else 0.0)
            assert abs(propensity[position] - expected) < 2.0**-22
            left.remove(column)


def test_epsilon_mixes_the_whole_rule_with_a_uniform_draw() -> None:
    scores = np.array([[0.9, 0.4, 0.35]])
    eligible = np.ones((1, 3), dtype=bool)
    rule = DrawRule(T, FLOOR, 0.3)
    found = first_position_probabilities(scores, eligible, **asdict(rule))[0]
    without = plain(scores[0].tolist(), [0, 1, 2], T, FLOOR)
    assert np.abs(found - [0.1 + 0.7 * without[column] for column in range(3)]).max() < 2.0**-23


def test_thousands_of_candidates_are_drawn_from() -> None:
    scores = np.zeros((1, MOST_CANDIDATES))
    found = first_position_probabilities(scores, np.ones(scores.shape, bool), temperature=0.1, floor=0.0)
    assert found.sum() == 1
    assert found.min() > 0


def test_rows_do_not_see_each_other() -> None:
    rng = np.random.default_rng(3)
    scores, uniforms = rng.random((300, 24)), rng.random((300, 6))
    eligible = rng.random((300, 24)) < 0.7
    whole = draw(scores, eligible, positions=6, temperature=T, floor=FLOOR, uniforms=uniforms)
    order = rng.permutation(300)
    for rows in np.array_split(order, 7):
        part = draw(
            scores[rows], eligible[rows], positions=6, temperature=T, floor=FLOOR, uniforms=uniforms[rows]
        )
        assert part.slates.tolist() == whole.slates[rows].tolist()
        assert part.propensities.tolist() == whole.propensities[rows].tolist()


def test_scores_of_ineligible_candidates_are_not_looked_at() -> None:
    scores = np.array([[np.nan, 0.5, np.inf]])
    eligible = np.array([[False, True, False]])
    drawn = draw(scores, eligible, positions=1, temperature=T, floor=FLOOR, uniforms=np.full((1, 1), 0.5))
    assert drawn.slates.tolist() == [[1]]


GOOD = {
    "scores": np.zeros((2, 3)),
    "eligible": np.ones((2, 3), dtype=bool),
    "positions": 2,
    "temperature": 0.1,
    "floor": 0.01,
    "uniforms": np.full((2, 2), 0.5),
}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"scores": np.array([[0, 0, 0], [0, np.nan, 0.0]])}, "the score of candidate 1 in row 1 is nan"),
        ({"scores": np.zeros((2, 4))}, "scores and eligible must have one shape"),
        ({"eligible": np.ones((2, 3))}, "eligible must be boolean"),
        ({"temperature": -0.1}, "temperature must be 0 or more, not -0.1"),
        ({"temperature": float("nan")}, "temperature must be 0 or more, not nan"),
        ({"epsilon": 1.5}, "epsilon must lie in 0 to 1, not 1.5"),
        ({"floor": 0.4}, "floor 0.4 leaves no room for 3 candidates: it must lie in 0 to 0.3333"),
        ({"floor": -0.1}, "floor -0.1 leaves no room"),
        ({"positions": 0}, "positions must be at least 1"),
        ({"uniforms": np.full((2, 3), 0.5)}, r"uniforms must have shape \(2, 2\), not \(2, 3\)"),
        ({"uniforms": np.array([[0.5, 0.5], [1.0, 0.5]])}, "uniforms must lie between 0 and 1"),
    ],
)
def test_bad_input_is_refused_by_name(wrong: dict[str, object], sentence: str) -> None:
    arguments = {**GOOD, **wrong}
    with pytest.raises(ValueError, match=sentence):
        draw(arguments.pop("scores"), arguments.pop("eligible"), **arguments)


@pytest.mark.parametrize(
    ("slates", "sentence"),
    [
        ([[0, 1], [2, 2]], "the slate of row 1 repeats a candidate"),
        ([[0, 3], [0, 1]], "slates must name columns 0 to 2"),
        ([[0, 1]], r"slates must have shape \(2, length\)"),
    ],
)
def test_impossible_slates_are_refused(slates: list[list[int]], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        slate_propensities(GOOD["scores"], GOOD["eligible"], np.array(slates), temperature=T, floor=FLOOR)
