"""The sequence: its formula, and that looking every day does not cost its level, clusters or not."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from ml.ope.sequence import Sequence, SoFar, boundary, effective, holm, log_mixture


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
        assert look.lower == pytest.approx(lowers[-1], abs=1e-9)
        assert look.upper == pytest.approx(2 * values.mean() - lowers[-1], abs=1e-9)
        assert look.p_value == pytest.approx(min(1.0, p_values[-1]), rel=1e-7)


@pytest.mark.parametrize("step", [(-0.4, 0.25), (0.4, -0.3)], ids=["learns late", "falls off"])
def test_bounds_are_of_the_mean_so_far_though_it_moves(step: tuple[float, float]) -> None:
    """A spec that is refitted nightly starts badly and gets better, or the other way round."""
    rng = np.random.default_rng(3)
    means = np.where(np.arange(56) < 10, *step)
    so_far, missed = np.cumsum(means) / np.arange(1, 57), 0
    for _ in range(60):
        days = [(rng.normal(mean, 1.6, 200), rng.integers(0, 2000, 200)) for mean in means]
        looks = Sequence().looks(days)
        missed += any(not look.lower <= mean <= look.upper for look, mean in zip(looks, so_far, strict=True))
    assert missed <= 3
    assert (looks[-1].lower > 0) == (so_far[-1] > 0)
    assert (looks[-1].upper < 0) == (so_far[-1] < 0)
    assert (looks[-1].p_value < 0.05) == (so_far[-1] > 0)


def test_numbers_that_are_all_alike_have_their_mean_for_bounds() -> None:
    (few, many) = Sequence(fewest_clusters=100, fewest_rewarded=30).looks(
        [(np.zeros(60), np.arange(60)), (np.zeros(60), np.arange(60) + 60)], rewarded=[0.0, 0.0]
    )
    assert (few.lower, few.upper) == (-np.inf, np.inf)
    assert (many.lower, many.upper, many.p_value) == (0.0, 0.0, 1.0)


def test_looks_begin_once_enough_rewards_tell() -> None:
    rng = np.random.default_rng(3)
    days = [(rng.normal(1, 1, 200), np.arange(200)) for _ in range(3)]
    looks = Sequence(fewest_rewarded=30).looks(days, rewarded=[10, 30, 40])
    assert (looks[0].lower, looks[0].upper, looks[0].p_value, looks[0].rewarded) == (-np.inf, np.inf, 1.0, 10)
    assert 0 < looks[1].lower < looks[2].lower < 1
    assert effective(6.0, 20.0) == pytest.approx(1.8)  # 4 and 2: (4 + 2)² / (16 + 4)
    assert effective(0.0, 0.0) == 0.0


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


RUNS = 250


@pytest.mark.parametrize(
    ("share", "sign"),
    [(0.0, 1), (0.3, -1), (0.9, 1)],
    ids=lambda each: f"{each:+.0f}" if isinstance(each, int) else f"subjects explain {each:.0%}",
)
def test_looking_each_day_fails_no_more_often_than_alpha(share: float, sign: int) -> None:
    """50 looks, no effect: rewards skewed either way; subjects come back, and differ by `share` of it."""
    rng = np.random.default_rng(5)
    subjects, days, daily = 400, 50, 120
    failures, naive = 0, 0
    for _ in range(RUNS):
        taste = rng.normal(0, 1, subjects)
        who = rng.integers(0, subjects, (days, daily))
        noise = sign * (rng.exponential(1.0, (days, daily)) - 1)
        values = math.sqrt(share) * taste[who] + math.sqrt(1 - share) * noise
        looks = Sequence(planned_rows=3000).looks(zip(values, who, strict=True))
        failures += any(look.p_value < 0.05 for look in looks)
        z = [look.value / math.sqrt(look.variance / look.rows) for look in looks]
        naive += max(z) > 1.645
    assert failures / RUNS <= 0.05
    assert naive / RUNS > (0.15 if share < 0.5 else 0.05)


@pytest.mark.parametrize(("logged", "reward"), [(0.02, 0.3), (0.05, 0.02)])
def test_what_is_rare_passes_no_more_often_than_alpha(logged: float, reward: float) -> None:
    """The live policy's action is seldom in the log, or rewards are: its value looks small until then."""
    rng = np.random.default_rng(5)
    days, daily, runs = 60, 500, 150
    rows, wrong = daily * np.arange(1, days + 1), {0: 0, 30: 0}
    for _ in range(runs):
        shown, earned = rng.random((days, daily)) < logged, rng.random((days, daily)) < reward
        values = earned - earned * shown / logged
        total, square = (np.cumsum(each.sum(axis=1)) for each in (values, values**2))
        told = np.cumsum((shown & earned).sum(axis=1))
        so_far = [
            SoFar(*each) for each in zip(rows, rows, total, square - total**2 / rows, told, strict=True)
        ]
        for fewest in wrong:
            looks = Sequence(fewest_rewarded=fewest).looks_at(so_far)
            wrong[fewest] += any(look.lower > 0 for look in looks)
    assert wrong[30] / runs <= 0.05
    assert wrong[0] / runs > 0.07  # what the limit is for


def test_an_effect_is_seen() -> None:
    rng = np.random.default_rng(6)
    seen = 0
    for _ in range(100):
        looks = Sequence().looks((rng.normal(0.06, 1, 200), rng.integers(0, 2000, 200)) for _ in range(50))
        seen += any(look.lower > 0 for look in looks)
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
