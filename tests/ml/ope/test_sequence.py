"""The sequence: its formula, and that looking every day does not cost its level, clusters or not."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from ml.ope.sequence import Sequence, boundary, holm, log_mixture


def test_the_mixture_is_the_mean_of_likelihood_ratios_over_half_a_normal() -> None:
    for excess, variance, scale in ((3.0, 4.0, 2.0), (-1.0, 9.0, 1.0), (10.0, 20.0, 50.0)):
        exact, _ = integrate.quad(
            lambda u, s=excess, v=variance, r=scale: (
                2 * stats.norm.pdf(u, scale=1 / math.sqrt(r)) * math.exp(u * s - u * u * v / 2)
            ),
            0,
            np.inf,
        )
        assert log_mixture(excess, variance, scale) == pytest.approx(math.log(exact), abs=1e-8)


def test_the_boundary_is_where_the_mixture_is_one_over_alpha() -> None:
    for variance, scale, alpha in ((5.0, 2.0, 0.05), (1e6, 1e4, 0.001), (1e-3, 1.0, 0.3), (1.0, 1e9, 0.9)):
        s = boundary(variance, scale, alpha)
        assert log_mixture(s, variance, scale) == pytest.approx(-math.log(alpha), abs=1e-6)


def test_bounds_are_tightest_about_when_planned() -> None:
    planned = Sequence(planned_rows=5000)
    best = boundary(5000.0, planned.scale(1.0), 0.05)
    for other in (1000, 25_000):
        assert best < boundary(5000.0, Sequence(planned_rows=other).scale(1.0), 0.05)
    # Ten times too early or too late costs a third.
    for other in (500, 50_000):
        assert boundary(5000.0, Sequence(planned_rows=other).scale(1.0), 0.05) < 1.33 * best


def test_a_look_is_the_formula_over_all_rows_so_far() -> None:
    rng = np.random.default_rng(2)
    days = [(rng.normal(0.3, 1, 150), rng.integers(0, 120, 150)) for _ in range(4)]
    settings = Sequence(alpha=0.1, margin=0.05, planned_rows=300, fewest_clusters=50)
    looks = settings.looks(days)
    scale, lowers, p_values = 0.0, [], []
    for count, look in enumerate(looks, start=1):
        values, clusters = (np.concatenate(each) for each in zip(*days[:count], strict=True))
        groups = [values[clusters == code] for code in np.unique(clusters)]
        variance = sum(float((group - values.mean()).sum()) ** 2 for group in groups)
        scale = scale or settings.scale(variance / len(values))
        lowers.append(values.mean() - boundary(variance, scale, 0.1) / len(values))
        excess = (values - 0.05).sum()
        p_values.append(math.exp(-log_mixture(excess, variance, scale)))
        assert (look.rows, look.clusters) == (len(values), len(groups))
        assert look.value == pytest.approx(values.mean(), abs=1e-12)
        assert look.variance == pytest.approx(variance / len(values), rel=1e-9)
        assert look.lower == pytest.approx(max(lowers), abs=1e-9)
        assert look.p_value == pytest.approx(min([1.0, *p_values]), rel=1e-7)


def test_bounds_only_close_and_the_p_value_only_falls() -> None:
    rng = np.random.default_rng(3)
    looks = Sequence().looks((rng.normal(0, 1, 200), np.arange(200)) for _ in range(30))
    for before, after in pairwise(looks):
        assert after.lower >= before.lower
        assert after.upper <= before.upper
        assert after.p_value <= before.p_value


def test_the_bound_and_the_p_value_agree() -> None:
    rng = np.random.default_rng(4)
    days = [(rng.normal(0.1, 1, 300), np.arange(300)) for _ in range(20)]
    for look in Sequence(margin=0.05).looks(days):
        assert (look.lower > 0.05) == (look.p_value < 0.05)


def test_too_few_clusters_say_nothing() -> None:
    looks = Sequence(fewest_clusters=100).looks(
        [(np.ones(80) * 5, np.arange(80)), (np.ones(80), np.arange(80))]
    )
    assert [(look.lower, look.upper, look.p_value) for look in looks] == [(-np.inf, np.inf, 1.0)] * 2


RUNS = 400


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9], ids=lambda each: f"subjects explain {each:.0%}")
def test_looking_each_day_fails_no_more_often_than_alpha(share: float) -> None:
    """50 looks, no effect: rewards skewed; subjects come back, and differ by `share` of the variance."""
    rng = np.random.default_rng(5)
    subjects, days, daily = 400, 50, 120
    failures, naive = 0, 0
    for _ in range(RUNS):
        taste = rng.normal(0, 1, subjects)
        who = rng.integers(0, subjects, (days, daily))
        noise = rng.exponential(1.0, (days, daily)) - 1
        values = math.sqrt(share) * taste[who] + math.sqrt(1 - share) * noise
        looks = Sequence(planned_rows=3000).looks(zip(values, who, strict=True))
        failures += looks[-1].p_value < 0.05
        z = [look.value / math.sqrt(look.variance / look.rows) for look in looks]
        naive += max(z) > 1.645
    assert failures / RUNS <= 0.05
    assert naive / RUNS > (0.15 if share < 0.5 else 0.05)


def test_an_effect_is_seen() -> None:
    rng = np.random.default_rng(6)
    seen = 0
    for _ in range(100):
        looks = Sequence().looks((rng.normal(0.06, 1, 200), rng.integers(0, 2000, 200)) for _ in range(50))
        seen += looks[-1].lower > 0
    assert seen >= 95


def test_holm_is_the_textbooks() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"x": 0.7, "y": 0.6}) == {"y": 1.0, "x": 1.0}
    assert holm({}) == {}


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.0}, {"alpha": 1.0}, {"planned_rows": 0}, {"fewest_clusters": 1}]
)
def test_settings_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"alpha lies between|at least 1 row"):
        Sequence(**wrong)
