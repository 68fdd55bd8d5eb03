"""Tastes: click rates by looks and decayed vectors, as the plain sums give them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.features.tastes import (
    DECAY_GRID,
    GRID,
    PRIOR_LOOKS,
    TASTE_DAYS,
    Tastes,
    click_rates,
    decayed_means,
    population_rates,
)

ROWS = st.lists(
    st.tuples(
        st.integers(0, 2),  # subject
        st.integers(0, 200),  # day
        st.integers(0, 1),  # arm
        st.integers(0, 3),  # clicks
        st.integers(0, 3_000_000),  # looks, in millionths
        st.tuples(st.integers(-GRID, GRID), st.integers(-GRID, GRID)),
        st.integers(1, 16),  # weight, in quarters
    ),
    max_size=12,
)


def tastes(rows: list) -> Tastes:
    rows = sorted(rows, key=lambda row: row[:2])
    columns = [np.array([row[i] for row in rows], dtype=np.int64) for i in range(5)]
    at = np.arange(len(rows))
    sums = np.array([row[5] for row in rows], dtype=np.int64).reshape(-1, 2)
    weight = np.array([row[6] * GRID // 4 for row in rows], dtype=np.int64)
    return Tastes(columns[0], columns[1], (at, *columns[2:5]), weight, sums, 3)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, days=st.lists(st.integers(0, 220), min_size=1, max_size=3, unique=True).map(sorted))
def test_values_are_the_plain_sums(rows: list, days: list[int]) -> None:
    made, at = tastes(rows), np.array(days)
    prior = np.array([[0.2, np.nan]] * len(days))
    rates, means = click_rates(made, at, prior), decayed_means(made, at, 10.0)
    for who in range(3):
        for place, day in enumerate(days):
            near = [row for row in rows if row[0] == who and day - TASTE_DAYS < row[1] <= day]
            clicks = sum(row[3] for row in near if row[2] == 0)
            looks = sum(row[4] for row in near if row[2] == 0) / 1e6
            wanted = (clicks + PRIOR_LOOKS * 0.2) / (looks + PRIOR_LOOKS) if looks else np.nan
            np.testing.assert_allclose(rates[who, place], [wanted, np.nan], rtol=1e-12)
            ages = [round(DECAY_GRID * 2 ** ((row[1] - day) / 10)) for row in near]
            total = sum(age * row[6] * GRID // 4 for age, row in zip(ages, near, strict=True))
            sums = [sum(age * row[5][j] for age, row in zip(ages, near, strict=True)) for j in range(2)]
            np.testing.assert_allclose(
                means[who, place], [s / total if total else np.nan for s in sums], rtol=1e-12
            )


def test_half_a_life_ago_counts_half_and_days_alone_are_days_together() -> None:
    one, none = (GRID, 0), (0, GRID)
    made = tastes([(0, 90, 0, 0, 0, one, 4), (0, 100, 0, 0, 0, none, 4), (0, 101, 0, 0, 0, one, 4)])
    days = np.array([99, 100, 101, 110])
    together = decayed_means(made, days, 10.0)
    np.testing.assert_allclose(together[0, 1], [1 / 3, 2 / 3], atol=1e-5)
    alone = np.concatenate([decayed_means(made, days[n : n + 1], 10.0) for n in range(4)], axis=1)
    assert np.array_equal(together, alone, equal_nan=True)
    assert np.isnan(together[1:]).all()


def test_the_population_forgets_after_84_days() -> None:
    found = population_rates(
        np.array([9, 10, 93, 94]),
        np.array([10, 20]),
        np.array([[3], [1]]),
        np.array([[4_000_000], [1_000_000]]),
    )
    np.testing.assert_allclose(found[:, 0], [np.nan, 0.75, 0.8, 1.0])
