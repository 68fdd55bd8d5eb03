"""How long would tell: held against simulated sequences, and the variance under more exploration."""

import numpy as np
import pytest

from ml.ope.power import days_needed, variance_with
from ml.ope.sequence import Sequence

from .given import world


def test_after_the_days_named_the_effect_is_seen_as_often_as_asked() -> None:
    settings = Sequence(planned_rows=3000, margin=0.02)
    days = days_needed(0.1, 1.0, 100, settings, power=0.8)
    assert days is not None
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(400):
        values = rng.normal(0.1, 1, (days, 100))
        looks = settings.looks((of_day, np.arange(100) + 100 * day) for day, of_day in enumerate(values))
        seen.append(looks[-1].lower > 0.02)
    # A little more than asked: earlier looks may have seen it already.
    assert 0.78 <= np.mean(seen) <= 0.9


def test_less_noise_more_rows_and_a_larger_effect_need_fewer_days() -> None:
    settings = Sequence()
    base = days_needed(0.1, 1.0, 100, settings)
    assert base is not None
    for quicker in ((0.2, 1.0, 100), (0.1, 0.5, 100), (0.1, 1.0, 200)):
        found = days_needed(*quicker, settings)
        assert found is not None
        assert found < base


@pytest.mark.parametrize("given", [(0.0, 1.0, 100), (-1.0, 1.0, 100), (0.1, 1.0, 0), (1e-4, 1.0, 10)])
def test_what_no_log_can_tell_has_no_days(given: tuple[float, float, float]) -> None:
    assert days_needed(*given, Sequence()) is None


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_variance_under_a_mixture_is_what_a_log_of_the_mixture_has(share: float) -> None:
    given = world()
    rng = np.random.default_rng(7)
    kind, action, reward = given.draw(rng, 300_000)
    moved = given.target - given.logging
    found = variance_with(
        share, moved[kind, action], reward, given.logging[kind, action], given.target[kind, action]
    )
    mixture = (1 - share) * given.logging + share * given.target
    squares = (given.rewards @ np.array([0.0, 1.0, 9.0])) * moved**2 / mixture
    mean = given.kinds @ (moved * given.means).sum(axis=1)
    exact = given.kinds @ squares.sum(axis=1) - mean**2
    assert found == pytest.approx(exact, rel=0.05)
