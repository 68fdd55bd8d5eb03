"""Resamples: NumPy's stream to the bit, Poisson weights that are Poisson, clusters drawn whole."""

import math

import numpy as np
import pytest

from ml.ope import bootstrap as module
from ml.ope.bootstrap import BLOCK, POISSON, bootstrap
from ml.ope.doubly_robust import DoublyRobust, SelfNormalisedDR
from ml.ope.importance import IPS, SNIPS
from ml.ope.intervals import student_t
from ml.ope.rows import rows_of
from ml.ope.target import target_of
from ml.ope.terms import Part, Terms

from .given import sample

ESTIMATORS = (IPS(), SNIPS(), DoublyRobust(), SelfNormalisedDR())


def terms(rows: int = 600, seed: int = 0) -> list[Terms]:
    given = sample(rows, seed)
    drawn = rows_of(given.log, target_of(given.log, given.target, given.predictions))
    return [each.terms(drawn) for each in ESTIMATORS]


def value_at(each: Terms, rows: np.ndarray) -> float:
    """The estimate over drawn rows, from its parts: numerator and normaliser both drawn."""
    return sum(
        part.sign
        * part.numerator[rows].mean()
        / (1 if part.normaliser is None else part.normaliser[rows].mean())
        for part in each.parts
    )


def test_multinomial_draws_the_rows_that_random_state_chooses() -> None:
    several = terms()
    stream = np.random.RandomState(12345)
    values = []
    for _ in range(50):
        rows = stream.choice(np.arange(600), size=600)
        values.append([value_at(each, rows) for each in several])
    expected = np.percentile(values, [2.5, 97.5], axis=0).T
    found = bootstrap(several, resamples=50, seed=12345, kind="multinomial")
    assert np.abs(np.array([each[1:3] for each in found]) - expected).max() < 1e-12


def test_a_fixed_normaliser_gives_what_libraries_give_that_do_not_redraw_it() -> None:
    snips = terms()[1]
    by_row = snips.contributions
    stream = np.random.RandomState(7)
    means = [np.mean(stream.choice(by_row, size=600)) for _ in range(40)]
    fixed = bootstrap([Terms.mean_of(by_row)], resamples=40, seed=7, kind="multinomial")[0]
    assert np.abs(np.array(fixed[1:3]) - np.percentile(means, [2.5, 97.5])).max() < 1e-12


def test_poisson_weights_have_the_moments_of_poisson() -> None:
    counts = np.array(POISSON)
    numbers = np.arange(len(counts))
    assert counts.sum() == 65536
    assert (counts * numbers).sum() == 65536
    assert (counts * numbers**2).sum() == 2 * 65536
    exact = np.array([math.exp(-1) / math.factorial(number) for number in numbers])
    assert np.abs(counts / 65536 - exact).max() < 2e-5


def test_poisson_weights_of_rows_and_resamples_are_unrelated() -> None:
    rows, resamples = 300, 101
    totals = module._poisson(np.eye(rows), resamples, seed=3)  # the weights themselves
    assert totals.shape == (resamples, rows)
    assert np.isin(totals, np.arange(9)).all()
    assert abs(totals.mean() - 1) < 4 / math.sqrt(rows * resamples)
    assert abs(totals.var() - 1) < 0.05
    between_rows, between_resamples = np.corrcoef(totals.T), np.corrcoef(totals)
    for correlations, size in ((between_rows, resamples), (between_resamples, rows)):
        off = correlations[~np.eye(len(correlations), dtype=bool)]
        assert abs(off.std() * math.sqrt(size) - 1) < 0.1
        assert np.abs(off).max() < 6 / math.sqrt(size)


def test_rows_of_different_blocks_have_weights_of_their_own() -> None:
    sums = np.zeros((2, BLOCK + 1))
    sums[0, 0] = sums[1, BLOCK] = 1.0
    first, second = module._poisson(sums, 400, seed=3).T
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15


def test_poisson_counts_numerator_normaliser_and_rows_alike() -> None:
    given = np.random.default_rng(1).random((40, 2))
    each = Terms((Part(given[:, 0], given[:, 1]), Part(given[:, 1])))
    weights = module._poisson(np.eye(40), 64, seed=9)
    values = weights @ given[:, 0] / (weights @ given[:, 1]) + weights @ given[:, 1] / weights.sum(axis=1)
    found = bootstrap([each], resamples=64, seed=9)[0]
    assert np.allclose(found[1:3], np.percentile(values, [2.5, 97.5]), rtol=0, atol=1e-12)


def test_clusters_are_drawn_whole() -> None:
    given = np.random.default_rng(1).random(60)
    clusters = np.arange(60) // 6
    weights = module._poisson(np.eye(10), 64, seed=9)
    values = weights[:, clusters] @ given / weights[:, clusters].sum(axis=1)
    found = bootstrap([Terms.mean_of(given)], clusters, resamples=64, seed=9)[0]
    assert np.allclose(found[1:3], np.percentile(values, [2.5, 97.5]), rtol=0, atol=1e-12)
    # Codes that no row has change nothing.
    assert bootstrap([Terms.mean_of(given)], 3 * clusters, resamples=64, seed=9)[0] == found


def test_the_number_of_threads_and_of_other_terms_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    several = terms(2 * BLOCK + 50)
    many = bootstrap(several, resamples=20, seed=1)
    monkeypatch.setattr("ml.threads.cores", lambda: 1)
    assert bootstrap(several, resamples=20, seed=1) == many
    assert bootstrap(several[2:3], resamples=20, seed=1)[0] == many[2]
    assert bootstrap(several, resamples=20, seed=2) != many


@pytest.mark.parametrize("kind", ["poisson", "multinomial"])
def test_both_kinds_agree_with_student_t_on_large_logs(kind: module.Kind) -> None:
    several = terms(5000, seed=4)
    clusters = np.random.default_rng(5).integers(0, 900, 5000)
    found = bootstrap(several, clusters, resamples=2000, seed=1, kind=kind)
    for each, interval in zip(several, found, strict=True):
        exact = student_t(each, clusters)
        assert interval.value == exact.value
        assert interval.error == pytest.approx(exact.error, rel=0.06)
        assert interval.lower == pytest.approx(exact.lower, abs=0.25 * exact.error)
        assert interval.upper == pytest.approx(exact.upper, abs=0.25 * exact.error)


def test_noise_of_simulation_widens_the_interval() -> None:
    given = np.random.default_rng(1).random(2000)
    plain = Terms.mean_of(given)
    noisy = Terms(plain.parts, noise=np.full(2000, 2 * given.std()))
    one, two = (bootstrap([each], resamples=4000, seed=1)[0].error for each in (plain, noisy))
    assert two / one == pytest.approx(math.sqrt(5), rel=0.05)


def test_resamples_without_a_weight_are_left_out_or_refused() -> None:
    rare = (np.arange(40) < 3).astype(float)
    ratio = Terms((Part(rare * 2.0, rare),))
    found = bootstrap([ratio], resamples=500, seed=1)[0]
    assert found[:3] == (2.0, 2.0, 2.0)
    with pytest.raises(
        ValueError, match=r"of 500 resamples hold no row with a weight above 0: there are too"
    ):
        bootstrap([Terms((Part(rare[:1].repeat(2) * [1, 0], np.array([1.0, 0])),))], resamples=500, seed=1)


def test_too_few_of_anything_is_refused() -> None:
    each = Terms.mean_of(np.ones(5))
    with pytest.raises(ValueError, match="at least 2 resamples, not 1"):
        bootstrap([each], resamples=1, seed=0)
    with pytest.raises(ValueError, match="at least 2 clusters"):
        bootstrap([each], np.zeros(5, dtype=np.int64), seed=0)
    with pytest.raises(ValueError, match="of the same rows"):
        bootstrap([each, Terms.mean_of(np.ones(4))], seed=0)
