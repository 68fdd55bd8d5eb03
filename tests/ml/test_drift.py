"""Drift: codes that keep the order, indices that are the plain formula's, and chance that is right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2_contingency, wasserstein_distance

from ml import drift

NUMBERS = arrays(np.float64, st.integers(2, 40), elements=st.floats(-1e9, 1e9))


def counts(values: np.ndarray) -> np.ndarray:
    return np.bincount(drift.codes(values), minlength=drift.SIZE)


@given(NUMBERS)
def test_codes_keep_the_order_of_numbers(values: np.ndarray) -> None:
    found = drift.codes(np.sort(values))
    assert (np.diff(found) >= 0).all()
    assert found.min() > drift.MISSING
    assert found.max() < drift.SIZE


def test_small_whole_numbers_have_codes_of_their_own() -> None:
    assert len(np.unique(drift.codes(np.arange(-16.0, 17.0)))) == 33
    assert drift.codes(np.array([100.0])) == drift.codes(np.array([100.9]))  # a 64th of 64 apart
    assert drift.codes(np.array([100.0])) < drift.codes(np.array([101.0]))
    assert drift.VALUES[drift.codes(np.array([100.0, -3.0, 0.0, 2.0**-20])) - 1].tolist() == [
        100,
        -3,
        0,
        2.0**-20,
    ]
    assert drift.codes(np.array([np.nan, np.inf, -np.inf])).tolist() == [0, drift.SIZE - 1, 1]


def test_the_indices_are_the_formula_s() -> None:
    then = np.repeat([0.0, 1.0, 2.0, np.nan], [40, 30, 20, 10])
    now = np.repeat([0.0, 1.0, 2.0, np.nan], [10, 30, 20, 40])
    found = drift.compare(counts(then), counts(now))
    p, q = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.3, 0.2, 0.4])
    assert found.psi == pytest.approx(((q - p) * np.log(q / p)).sum())
    middle = (p + q) / 2
    js = ((p * np.log2(p / middle)).sum() + (q * np.log2(q / middle)).sum()) / 2
    assert found.js == pytest.approx(js)
    table = np.array([p * 100, q * 100])
    assert found.chance == pytest.approx(chi2_contingency(table).pvalue)


def test_the_same_is_0_and_strangers_are_1() -> None:
    here, there = counts(np.arange(100.0)), counts(np.full(100, np.nan))
    assert drift.compare(here, here) == (0.0, 0.0, 0.0, 1.0)
    assert drift.compare(here, there).js == pytest.approx(1.0)
    with pytest.raises(ValueError, match="populations of 100 and 0: neither may be empty"):
        drift.compare(here, np.zeros_like(here))


def test_a_shift_is_the_wasserstein_distance_in_standard_deviations() -> None:
    rng = np.random.default_rng(3)
    then, now = rng.integers(0, 30, 500).astype(float), rng.integers(10, 60, 300).astype(float)
    found = drift.shift(counts(then), counts(now))
    assert found == pytest.approx(wasserstein_distance(then, now) / then.std())
    some = np.where(np.arange(300) < 60, np.nan, now)
    assert drift.shift(counts(then), counts(some)) == pytest.approx(
        wasserstein_distance(then, some[60:]) / then.std() + 0.2
    )
    assert drift.shift(counts(np.full(9, 4.0)), counts(np.full(9, 5.0))) == 0.25


def test_an_atom_that_moves_by_a_hair_goes_not_far_though_its_bin_is_another() -> None:
    spread = np.random.default_rng(4).normal(1.4, 0.5, 300)
    then, now = (counts(np.concatenate([spread, np.full(700, at)])) for at in (1.406, 1.407))
    found = drift.compare(then, now)
    assert (found.psi > 1, found.shift < 0.1) == (True, True)


def test_bins_are_deciles_of_the_reference() -> None:
    values = np.random.default_rng(1).lognormal(3, 1, 20_000)
    bins = drift.deciles(counts(values))[drift.codes(values)]
    shares = np.bincount(bins, minlength=11)[1:] / len(values)
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.03)  # a decile ends with a whole code


def test_chance_is_as_often_small_as_it_says() -> None:
    rng = np.random.default_rng(2)
    tails = [
        drift.compare(counts(rng.gamma(2, 3, 3000)), counts(rng.gamma(2, 3, 1500))).chance for _ in range(400)
    ]
    assert np.mean(np.array(tails) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(tails) == pytest.approx(0.5, abs=0.06)
