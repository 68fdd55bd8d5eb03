"""Exposures, and the estimator that weighs by them: exact over all slates and all looks of a small page."""

from itertools import product

import numpy as np
import pytest

from ml.draw import DrawRule
from ml.ope.doubly_robust import DoublyRobust
from ml.ope.exposure import DRAWS, exposures
from ml.ope.judged import Judged
from ml.ope.rows import Rows
from ml.ope.slates import Exposures, Slates, position_based
from tests.ml.ope.test_slates import (
    APPEAL,
    LOGGING,
    ORDERS,
    POSITIONS,
    TARGET,
    WIDGETS,
    T,
    chances,
    marginal_of,
)

STOPS = np.array([0.1, 0.2, 0.3, 0.4])  # how many positions somebody looks at, from none to all
SEEN = 1 - np.cumsum(STOPS)[:-1]
RULE = DrawRule(temperature=T, floor=0.02)


def exact() -> np.ndarray:
    """(widgets,) exposures of the target, by enumeration."""
    return marginal_of(TARGET) @ (SEEN / SEEN[0])


def every(rated: np.ndarray | None) -> tuple[np.ndarray, Slates, Exposures]:
    """Every slate and every look, with its probability; a widget that is seen earns its appeal."""
    cases = list(product(range(len(ORDERS)), range(POSITIONS + 1)))
    order, looks = (np.array(part) for part in zip(*cases, strict=True))
    slates, whole = ORDERS[order], chances(LOGGING).prod(axis=1)
    seen = np.arange(POSITIONS) < looks[:, None]
    found = Slates(
        np.where(seen, APPEAL[slates], 0.0), chances(LOGGING)[order], chances(TARGET)[order], seen,
    )  # fmt: skip
    shown = exact()
    given = Exposures(shown[slates])
    if rated is not None:
        given = Exposures(shown[slates], rated[slates], np.full(len(slates), SEEN[0] * shown @ rated))
    return whole[order] * STOPS[looks], found, given


@pytest.mark.parametrize("rated", [None, np.array([0.1, 0.9, 0.3, 0.3]), APPEAL])
def test_it_is_unbiased_whatever_the_model_says(rated: np.ndarray | None) -> None:
    chance, slates, given = every(rated)
    truth = SEEN @ (marginal_of(TARGET).T @ APPEAL)
    terms = position_based(slates, given)
    assert chance.sum() == pytest.approx(1)
    assert chance @ terms.contributions == pytest.approx(truth, abs=1e-12)
    if rated is APPEAL:  # a model that knows leaves nothing to chance but whether anybody looks
        assert np.ptp(terms.contributions) == pytest.approx(0, abs=1e-12)


def test_weights_are_1_in_the_mean() -> None:
    chance, slates, given = every(None)
    times = np.round(chance * 2e5).astype(int)
    row = np.repeat(np.arange(len(times)), times)
    judged = Judged(
        slates.propensities[row], slates.probabilities[row], {"reward": slates.rewards[row]}, row,
        seen=slates.seen[row], exposures=given.rows(row),
    )  # fmt: skip
    assert judged.weights.mean() == pytest.approx(1, abs=1e-3)
    names = list(judged.terms("reward"))
    assert names[0] == "position-based IPS"
    assert "reward-interaction IPS" in names


def test_with_one_position_it_is_doubly_robust() -> None:
    rng = np.random.default_rng(1)
    p, q, r, own, all_of = rng.random((5, 40))
    slates = Slates(r[:, None], p[:, None], q[:, None])
    found = position_based(slates, Exposures(q[:, None], own[:, None], all_of))
    expected = DoublyRobust().terms(Rows(r, p, q, own, all_of))
    assert np.allclose(found.contributions, expected.contributions, rtol=1e-12)


def test_a_position_without_a_drawn_widget_tells_nothing() -> None:
    rewards, p = np.array([[1.0, 0.0, 3.0]]), np.array([[0.5, 1.0, 0.25]])
    shown = np.array([[0.9, np.nan, 0.4]])
    found = position_based(Slates(rewards, p, p), Exposures(shown))
    first, last = 0.9 * 1 / 0.5, 0.9 * 1 + 0.4 * 3 / 0.25
    assert found.value == pytest.approx((first + last) / 2)


def test_exposures_are_those_of_all_orders() -> None:
    rows = 2000
    values = np.tile(TARGET, (rows, 1))
    slates = np.tile([[2, 0, -1]], (rows, 1))
    predictions = np.tile(APPEAL, (rows, 1))
    keys = np.arange(rows, dtype=np.uint64)
    found = exposures(values, slates, RULE, SEEN, predictions, seed=3, keys=keys)
    expected = exact()
    error = 5 / np.sqrt(rows * DRAWS)
    assert found.logged[:, :2].mean(axis=0) == pytest.approx(expected[[2, 0]], abs=error)
    assert np.isnan(found.logged[:, 2]).all()
    assert found.rated is not None
    assert found.rated[0].tolist() == [APPEAL[2], APPEAL[0], 0]
    assert found.modelled is not None
    assert found.modelled.mean() == pytest.approx(SEEN[0] * expected @ APPEAL, abs=error)
    # Who looks at all sees so many widgets: shares of what is seen add up, however they were drawn.
    whole = exposures(
        values, np.tile(np.arange(WIDGETS), (rows, 1))[:, :POSITIONS], RULE, SEEN, None, seed=3, keys=keys
    )
    assert whole.rated is None
    assert whole.logged[:, 0] == pytest.approx(
        exposures(values, slates, RULE, SEEN, None, seed=3, keys=keys).logged[:, 1]
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"logged": np.ones((1, 2))}, r"exposures must have shape \(1, 3\)"),
        ({"logged": np.ones((1, 3)), "rated": np.ones((1, 3))}, "give both or none"),
    ],
)
def test_what_does_not_fit_is_refused(more: dict[str, np.ndarray], sentence: str) -> None:
    half = np.full((1, 3), 0.5)
    with pytest.raises(ValueError, match=sentence):
        position_based(Slates(half, half, half), Exposures(**more))
