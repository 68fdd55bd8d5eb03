"""The draw under rules: who may stand where, with which probability, and that it draws with exactly these."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats

from ml import draw as free
from ml.draw import DrawRule
from ml.marginals import marginals
from ml.rank import ruled
from ml.rank.redundancy import LEAST
from ml.rank.rules import Rules
from tests.ml.rank.given import Given, allowed, page

T, FLOOR, EPSILON = 0.4, 0.02, 0.1
RULE = DrawRule(T, FLOOR, EPSILON)
STEP = 2.0**-22


def alike(k: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(k, 3)) + 0.5
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def redundancy(kind: str, similarity: np.ndarray, chosen: list[int]) -> np.ndarray:
    """By the definitions: the largest similarity, or the variance left by a regression on the chosen."""
    if kind == "none" or not chosen:
        return np.zeros(len(similarity))
    if kind == "mmr":
        return similarity[:, chosen].clip(0, 1).max(axis=1)
    inverse = np.linalg.pinv(similarity[np.ix_(chosen, chosen)], rcond=1e-9)
    explained = np.einsum("ai,ij,aj->a", similarity[:, chosen], inverse, similarity[:, chosen])
    return -np.log(np.maximum(1 - explained, LEAST))


def plain(
    given: Given, scores: np.ndarray, slate: list[int], kind: str, strength: float, similarity: np.ndarray
) -> list[float]:
    """The conditional probability of each position of a slate, as the formulas are written."""
    found = []
    for position, widget in enumerate(slate):
        may = allowed(given, slate[:position], position)
        if not may:
            found.append(1.0 if widget < 0 else 0.0)
            continue
        before = [other for other in slate[:position] if other >= 0]
        values = scores - strength * redundancy(kind, similarity, before)
        odds = {a: np.exp(values[a] / T) for a in may}
        of = {a: FLOOR + (1 - len(may) * FLOOR) * odds[a] / sum(odds.values()) for a in may}
        found.append(EPSILON / len(may) + (1 - EPSILON) * of[widget] if widget in may else 0.0)
    return found


def slates_of(given: Given) -> list[list[int]]:
    """All slates that the rules allow, by walking through `allowed`."""
    slates: list[list[int]] = [[]]
    for position in range(given.positions):
        slates = [
            [*slate, widget]
            for slate in slates
            for widget in (sorted(allowed(given, slate, position)) or [-1])
        ]
    return slates


@settings(max_examples=50, deadline=None)
@given(page())
def test_without_a_price_for_redundancy_rules_alone_say_who_is_drawn_from(given: Given) -> None:
    check(given, "none", 0.0)


@pytest.mark.parametrize("kind", ["mmr", "dpp"])
@settings(max_examples=15, deadline=None)
@given(page())
def test_redundancy_costs_what_its_definition_says(kind: str, given: Given) -> None:
    check(given, kind, 0.3)


def check(given: Given, kind: str, strength: float) -> None:
    scores, similarity = np.random.default_rng(given.seed).random(given.k), alike(given.k, given.seed)
    rules = given.rules(kind=kind, strength=strength, likeness=similarity)
    slates = slates_of(given)[:60]
    eligible = np.tile(given.eligible, (len(slates), 1))
    found = ruled.slate_propensities(
        np.tile(scores, (len(slates), 1)), eligible, np.array(slates), rule=RULE, rules=rules
    )
    expected = [plain(given, scores, slate, kind, strength, similarity) for slate in slates]
    assert np.abs(found - np.array(expected)).max() < STEP
    if len(slates) < 60:
        assert found.astype(float).prod(axis=1).sum() == pytest.approx(1, abs=1e-12)


CAPS = [{}, {0: 1, 1: 2}]
PINS = [{}, {1: 4}, {0: 1, 2: 0}]
KINDS = ["none", "mmr", "dpp"]
OTHERS = [{}, {"spacing": 1, "blocked": [(2, 3)]}]


@pytest.mark.parametrize(("caps", "pins", "kind", "others"), list(product(CAPS, PINS, KINDS, OTHERS)))
def test_it_draws_as_often_as_it_says(caps: dict, pins: dict, kind: str, others: dict) -> None:
    rows, k = 20_000, 5
    given = Given(k, 3, [0, 0, 1, 1, 2], caps, pins=pins, eligible=np.ones(k, bool), **others)
    rules = given.rules(kind=kind, strength=0.4, likeness=alike(k))
    scores = np.tile([0.3, 0.9, 0.5, 0.4, 0.1], (rows, 1))
    everyone = np.ones(scores.shape, bool)
    uniforms = np.random.default_rng(len(str((caps, pins, kind, others)))).random((rows, 3))
    drawn = ruled.draw(scores, everyone, rule=RULE, uniforms=uniforms, rules=rules)
    again = ruled.slate_propensities(scores, everyone, drawn.slates, rule=RULE, rules=rules)
    assert np.array_equal(again, drawn.propensities)
    for position, widget in pins.items():
        assert (drawn.slates[:, position] == widget).all()
        assert (drawn.propensities[:, position] == 1).all()
    slates = np.array(slates_of(given))
    chances = ruled.slate_propensities(
        scores[: len(slates)], everyone[: len(slates)], slates, rule=RULE, rules=rules
    ).astype(float).prod(axis=1)  # fmt: skip
    code = (slates + 1) @ [100, 10, 1]
    counts = np.array([(drawn.slates + 1) @ [100, 10, 1] == each for each in code]).sum(axis=1)
    assert counts.sum() == rows
    assert chances.sum() == pytest.approx(1, abs=1e-12)
    assert stats.chisquare(counts, rows * chances).pvalue > 1e-4


def test_without_rules_it_is_the_free_draw_to_the_bit() -> None:
    rng = np.random.default_rng(3)
    scores, uniforms = rng.random((500, 12)), rng.random((500, 4))
    eligible = rng.random((500, 12)) < 0.6
    keys = np.arange(500, dtype=np.uint64)
    settings = {"temperature": T, "floor": FLOOR, "epsilon": EPSILON}
    expected = free.draw(scores, eligible, positions=4, uniforms=uniforms, **settings)
    slates = expected.slates
    for rules in (None, Rules.of([""] * 12, positions=4)):
        drawn = ruled.draw(scores, eligible, rule=RULE, uniforms=uniforms, rules=rules)
        assert np.array_equal(drawn.slates, slates)
        assert np.array_equal(drawn.propensities, expected.propensities)
        first = ruled.first_position_probabilities(scores, eligible, rule=RULE, rules=rules)
        assert np.array_equal(first, free.first_position_probabilities(scores, eligible, **settings))
        along = ruled.slate_propensities(scores, eligible, slates, rule=RULE, rules=rules)
        assert np.array_equal(along, free.slate_propensities(scores, eligible, slates, **settings))
        known = {"positions": 4, "rule": RULE, "draws": 8, "seed": 1, "keys": keys}
        means = ruled.position_means(scores, eligible, rules=rules, **known)
        assert means == pytest.approx(marginals(scores, eligible, **known).means, abs=1e-12)


def test_means_by_position_are_those_of_all_slates() -> None:
    given = Given(5, 3, [0, 0, 1, 1, 2], {0: 1}, 1, {1: 4}, eligible=np.ones(5, bool))
    rules, scores = (
        given.rules(kind="mmr", strength=0.4, likeness=alike(5)),
        np.array([[0.3, 0.9, 0.5, 0.4, 0.1]]),
    )
    everyone, slates = np.ones((1, 5), bool), np.array(slates_of(given))
    many = np.tile(scores, (len(slates), 1)), np.ones((len(slates), 5), bool)
    chances = ruled.slate_propensities(*many, slates, rule=RULE, rules=rules).astype(float).prod(axis=1)
    exact = np.zeros((3, 5))
    for slate, chance in zip(slates, chances, strict=True):
        for position, widget in enumerate(slate):
            if widget >= 0:
                exact[position, widget] += chance
    found = ruled.position_means(
        scores, everyone, positions=3, rule=RULE, rules=rules, draws=4000, seed=1,
        keys=np.zeros(1, dtype=np.uint64),
    )[0]  # fmt: skip
    assert found[0] == pytest.approx(exact[0], abs=1e-12)
    assert found == pytest.approx(exact, abs=0.01)


def test_expected_worth_follows_the_prefix() -> None:
    given = Given(4, 2, [0, 0, 1, 1], {0: 1}, eligible=np.ones(4, bool))
    scores, worth = np.array([0.3, 0.9, 0.5, 0.4]), np.array([5.0, 7.0, 1.0, 2.0])
    found = ruled.expected_along(
        scores[None], np.ones((1, 4), bool), np.array([[0, 3]]), worth[None], rule=RULE, rules=given.rules()
    )[0]
    none = np.eye(4)
    first = [plain(given, scores, [a], "none", 0, none)[0] for a in range(4)]
    second = [plain(given, scores, [0, a], "none", 0, none)[1] for a in range(4)]
    assert second[1] == 0
    assert found == pytest.approx([first @ worth, second @ worth], abs=1e-5)


def test_a_slate_that_the_rules_forbid_has_no_probability() -> None:
    given = Given(4, 3, [0, 0, 1, 1], {0: 1}, pins={1: 3}, blocked=[(0, 2)], eligible=np.ones(4, bool))
    slates = np.array([[0, 3, 1], [2, 3, 0], [0, 1, 3], [1, 3, 2], [0, 3, -1]])
    found = ruled.slate_propensities(
        np.zeros((5, 4)), np.ones((5, 4), bool), slates, rule=DrawRule(1.0), rules=given.rules()
    )
    third = pytest.approx(1 / 3, abs=1e-6)
    assert found[0].tolist() == [third, 1, 0]
    assert found[1].tolist() == [third, 1, 0]
    assert found[2].tolist() == [third, 0, 0]
    assert found[3].tolist() == [third, 1, 1]
    assert found[4].tolist() == [third, 1, 1]


def test_a_pin_holds_for_whom_it_is_eligible() -> None:
    given = Given(3, 2, [0, 1, 2], pins={0: 2}, eligible=np.array([True, True, False]))
    drawn = ruled.draw(
        np.zeros((1, 3)), given.eligible[None], rule=RULE, uniforms=np.full((1, 2), 0.5), rules=given.rules()
    )
    assert sorted(drawn.slates[0].tolist()) == [0, 1]


def test_rules_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="a pin at position 2 lies outside a page of 2 positions"):
        Rules.of("abc", positions=2, pins={2: "a"})
    with pytest.raises(ValueError, match="caps and spacing must be 0 or more"):
        Rules.of("abc", positions=2, themes={"a": "t"}, caps={"t": -1})
    with pytest.raises(ValueError, match="variety needs a similarity of shape"):
        Rules.of("abc", positions=2, kind="mmr", strength=1.0)
    with pytest.raises(ValueError, match="wholly similar to itself"):
        Rules.of("ab", positions=2, kind="dpp", strength=1.0, likeness=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="the rules are about 3 candidates, not 2"):
        ruled.first_position_probabilities(
            np.zeros((1, 2)), np.ones((1, 2), bool), rule=RULE, rules=Rules.of("abc", positions=1)
        )
