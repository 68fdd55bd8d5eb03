"""Student's t and empirical Bernstein against the formulas, and against the truth with clusters."""

import math

import numpy as np
import pytest
from scipy import stats

from ml.ope.importance import SNIPS
from ml.ope.intervals import empirical_bernstein, student_t
from ml.ope.rows import rows_of
from ml.ope.target import target_of
from ml.ope.terms import Terms

from .given import sample

VALUES = np.array([0.0, 1.0, 0.5, 3.0, 0.0, 2.0])


def test_student_t_of_rows_is_the_textbooks() -> None:
    found = student_t(Terms.mean_of(VALUES))
    expected = stats.ttest_1samp(VALUES, 0).confidence_interval(0.95)
    assert found.value == VALUES.mean()
    assert found[1:3] == pytest.approx(expected, abs=1e-12)


def test_student_t_of_equal_clusters_is_that_of_their_means() -> None:
    clusters = np.array([4, 1, 4, 0, 0, 1])
    means = [VALUES[clusters == code].mean() for code in (0, 1, 4)]
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.9)
    assert student_t(Terms.mean_of(VALUES), clusters, level=0.9)[1:3] == pytest.approx(expected, abs=1e-12)


def test_a_normaliser_s_error_is_in_the_interval() -> None:
    given = sample(4000)
    terms = SNIPS().terms(rows_of(given.log, target_of(given.log, given.target)))
    weights = terms.parts[0].normaliser
    ratio = terms.value
    by_hand = math.sqrt(np.sum((terms.parts[0].numerator - ratio * weights) ** 2)) / weights.sum()
    assert student_t(terms).error == pytest.approx(by_hand * math.sqrt(4000 / 3999), rel=1e-9)


def test_empirical_bernstein_is_theorem_4() -> None:
    level, low, high = 0.9, -1.0, 4.0
    delta, n = 0.05, len(VALUES)
    scaled = (VALUES - low) / (high - low)
    half = math.sqrt(2 * scaled.var(ddof=1) * math.log(2 / delta) / n) + 7 * math.log(2 / delta) / (
        3 * (n - 1)
    )
    found = empirical_bernstein(Terms.mean_of(VALUES), low=low, high=high, level=level)
    assert found.upper - found.value == pytest.approx(half * (high - low), abs=1e-12)
    assert found.value - found.lower == pytest.approx(half * (high - low), abs=1e-12)


def test_empirical_bernstein_of_clusters_looks_at_their_sums() -> None:
    clusters = np.array([0, 0, 1, 2, 2, 2])
    sums = np.array([1.0, 0.5, 5.0])
    delta, span = 0.025, 3 * 3.0
    logarithm = math.log(2 / delta)
    half = math.sqrt(2 * (sums / span).var(ddof=1) * logarithm / 3) + 7 * logarithm / (3 * 2)
    found = empirical_bernstein(Terms.mean_of(VALUES), clusters, low=0.0, high=3.0)
    assert found.upper - found.value == pytest.approx(half * span * 3 / 6, abs=1e-12)


def test_rows_outside_the_bounds_and_normalised_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^terms, row 3: 3, but the bounds are 0 to 2"):
        empirical_bernstein(Terms.mean_of(VALUES), low=0, high=2)
    given = sample(50)
    terms = SNIPS().terms(rows_of(given.log, target_of(given.log, given.target)))
    with pytest.raises(ValueError, match="needs a mean"):
        empirical_bernstein(terms, low=0, high=100)
    with pytest.raises(ValueError, match="level of an interval lies between 0 and 1"):
        student_t(terms, level=95)
    with pytest.raises(ValueError, match="at least 2 clusters"):
        student_t(terms, np.zeros(50, dtype=np.int64))


def test_clustered_intervals_hold_the_truth_where_those_of_rows_do_not() -> None:
    rng = np.random.default_rng(11)
    hits = np.zeros(2)
    for _ in range(500):
        sizes = rng.integers(1, 12, 150)
        clusters = np.repeat(np.arange(150), sizes)
        values = (rng.normal(1.0, 1.0, 150))[clusters] + rng.normal(0, 0.5, sizes.sum())
        for which, codes in enumerate((clusters, None)):
            interval = student_t(Terms.mean_of(values), codes)
            hits[which] += interval.lower <= 1.0 <= interval.upper
    assert 0.93 <= hits[0] / 500 <= 0.97
    assert hits[1] / 500 < 0.75
