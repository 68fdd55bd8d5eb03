"""Statistics that add: sums over rows, days and decays against the formula as it is written."""

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bandits.statistics import RunningSums, Statistics, as_of, as_of_each, empty, of_rows, pack, unpack

DAY = date(2017, 9, 1)


def rows(
    count: int, arms: int = 3, width: int = 4, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width)), rng.integers(0, arms, count), rng.choice([0.0, 1.0, 3.0], count)


def near(left: Statistics, right: Statistics) -> bool:
    return left.n.tolist() == right.n.tolist() and all(
        np.allclose(getattr(left, name), getattr(right, name), rtol=1e-12, atol=1e-12)
        for name in ("xx", "rx", "rr")
    )


def same(left: Statistics, right: Statistics) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in ("n", "xx", "rx", "rr"))


def test_sums_are_those_of_the_formula() -> None:
    x, action, reward = rows(500)
    found = of_rows(x, action, reward, arms=3)
    for arm in range(3):
        own, r = x[action == arm], reward[action == arm]
        assert found.n[arm] == len(own)
        assert np.allclose(unpack(found.xx, 4)[arm], own.T @ own, rtol=1e-12)
        assert np.allclose(found.rx[arm], own.T @ r, rtol=1e-12)
        assert np.isclose(found.rr[arm], (r**2).sum(), rtol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 3, 8, 9])
def test_sums_by_blocks_and_threads_are_those_of_row_after_row(width: int) -> None:
    x, action, reward = rows(20_000, width=width)
    found, expected = of_rows(x, action, reward, arms=3), empty(3, width)
    high, low = np.triu_indices(width)
    for i in range(len(x)):
        expected.xx[action[i]] += x[i, high] * x[i, low]
        expected.rx[action[i]] += reward[i] * x[i]
        expected.rr[action[i]] += reward[i] ** 2
        expected.n[action[i]] += 1
    assert near(found, expected)


@given(cuts=st.lists(st.integers(0, 600), max_size=5))
@settings(max_examples=30, deadline=None)
def test_batches_in_order_give_the_same_bits_as_all_at_once(cuts: list[int]) -> None:
    x, action, reward = rows(600)
    found = RunningSums(0, 4)
    bounds = [0, *sorted(cuts), 600]
    for start, end in pairwise(bounds):
        found.grow(max(action[:end].max(initial=-1) + 1, 0))
        found.add(x[start:end], action[start:end], reward[start:end])
        assert found.statistics().n.sum() == end  # looking on the way changes nothing
    found.grow(3)
    assert same(found.statistics(), of_rows(x, action, reward, arms=3))


def test_days_add_to_the_whole_in_any_order() -> None:
    x, action, reward = rows(300)
    parts = [
        of_rows(x[part], action[part], reward[part], arms=3)
        for part in np.split(np.arange(300), [90, 91, 200])
    ]
    whole = of_rows(x, action, reward, arms=3)
    assert near(parts[0] + parts[1] + parts[2] + parts[3], whole)
    assert near(parts[2] + parts[0] + parts[3] + parts[1], whole)


def history(days: list[int]) -> list[tuple[date, Statistics]]:
    return [(DAY + timedelta(day), of_rows(*rows(40, seed=day), arms=3)) for day in days]


@pytest.mark.parametrize("window", [None, 1, 4, 30])
@pytest.mark.parametrize("half_life", [None, 0.5, 7.0])
@pytest.mark.parametrize("open_days", [0, 2])
def test_a_day_is_the_weighted_sum_of_the_days_in_its_window(
    window: int | None, half_life: float | None, open_days: int
) -> None:
    past = history([0, 1, 4, 5, 9])
    for today in (5, 7, 9):
        expected = empty(3, 4)
        for then, sums in past:
            age = today - (then - DAY).days
            if open_days <= age < (window or 1000):
                expected = expected + sums.weighted(2 ** (-age / half_life) if half_life else 1.0)
        found = as_of(
            past,
            DAY + timedelta(today),
            window_days=window,
            half_life_days=half_life,
            open_days=open_days,
        )
        assert found is None if not expected.n.any() else near(found, expected)


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("half_life", [None, 3.0])
@pytest.mark.parametrize("open_days", [0, 3])
def test_a_range_of_days_gives_the_same_bits_as_each_day_alone(
    window: int | None, half_life: float | None, open_days: int
) -> None:
    past = history([2, 3, 6])
    wanted = [DAY + timedelta(day) for day in range(12)]
    settings = {"window_days": window, "half_life_days": half_life, "open_days": open_days}
    for day, found in as_of_each(past, wanted, **settings):
        alone = as_of(past, day, **settings)
        assert (found is None and alone is None) or same(found, alone)
    assert [day for day, found in as_of_each(past, wanted, **settings) if found is None][:2] == wanted[:2]


def test_triangles_unpack_to_symmetric_matrices_and_back() -> None:
    packed = np.arange(12.0).reshape(2, 6)
    assert unpack(packed, 3)[1].tolist() == [[6, 7, 8], [7, 9, 10], [8, 10, 11]]
    assert pack(unpack(packed, 3)).tolist() == packed.tolist()


X, A, R = rows(4, width=2)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"x": np.full((4, 2), np.nan)}, "the context of row 0 holds NaN"),
        ({"r": np.array([0, 1, np.nan, 0])}, "the reward of row 2 is not a number"),
        ({"a": np.array([0, 1, 2, 3])}, "the action of row 3 is none of the 3 arms"),
        ({"a": np.array([0, -1, 2, 1])}, "the action of row 1 is none of the 3 arms"),
        ({"x": np.zeros(4)}, "contexts must have shape"),
        ({"r": np.zeros(3)}, "4 contexts need as many actions and rewards"),
    ],
)
def test_bad_rows_are_refused_by_name(wrong: dict[str, np.ndarray], sentence: str) -> None:
    given_rows = {"x": X, "a": A, "r": R, **wrong}
    with pytest.raises(ValueError, match=sentence):
        of_rows(given_rows["x"], given_rows["a"], given_rows["r"], arms=3)


def test_statistics_of_other_shapes_do_not_add() -> None:
    with pytest.raises(ValueError, match="do not add"):
        empty(2, 3) + empty(2, 4)
    with pytest.raises(ValueError, match="cannot have shapes"):
        Statistics(np.zeros(2, dtype=np.int64), np.zeros((2, 5)), np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="rx holds NaN"):
        Statistics(np.zeros(1, dtype=np.int64), np.zeros((1, 1)), np.full((1, 1), np.nan), np.zeros(1))
