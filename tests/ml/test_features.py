"""Features: every value against its plain formula, and nothing of the future in any."""

import math
import statistics
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.features import (
    MICRO,
    Block,
    History,
    Population,
    assemble,
    column_names,
    population_as_of,
    two_strongest,
    values_as_of,
)

FIRST = (date(2017, 9, 20) - date(1970, 1, 1)).days
CATEGORIES = ("cheese", "milk", "tea", "wine")
ARMS = ("home/bestsellers", "home/category:cheese", "home/category:tea", "start/category1")
CAROUSELS = {"category:cheese": "cheese", "category:tea": "tea"}


@dataclass(frozen=True)
class Counted:
    """A declared feature."""

    of: str
    window: int | None = None
    how: str = "sum"


DECLARED = {
    "has_orders": Counted("visits", how="any"),
    "recency": Counted("visits", how="days_since_last"),
    "tenure": Counted("visits", how="days_since_first"),
    "visits": Counted("visits"),
    "visits_28": Counted("visits", 28),
    "visits_84": Counted("visits", 84),
    "lines_9": Counted("lines", 9),
    "any_3": Counted("sales", 3, how="any"),
    "sales": Counted("sales"),
    "sales_1": Counted("sales", 1),
    "sales_28": Counted("sales", 28),
    "mean_sale": Counted("sales", how="per_visit"),
    "mean_sale_28": Counted("sales", 28, how="per_visit"),
    "mean_lines": Counted("lines", how="per_visit"),
}

Rewards = dict[str, tuple[int, float]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Day:
    """One row of subject_daily."""

    subject: int
    day: int
    lines: int
    cents: int
    categories: frozenset[str]
    rewards: Rewards


def day_rows(subjects: int = 3) -> st.SearchStrategy[list[Day]]:
    """Rows of some subjects, sorted; about a third of the days have no order."""
    seen = st.tuples(st.integers(1, 3), st.sampled_from([0.0, 0.1, 1.0, 3.0, 4.0]))
    rewards = st.dictionaries(st.sampled_from(ARMS), seen, max_size=3)
    bought = st.frozensets(st.sampled_from(CATEGORIES))
    order = st.tuples(st.integers(1, 9), st.integers(1, 9999), bought)
    sold = st.one_of(st.just((0, 0, frozenset[str]())), order, order)
    key = st.tuples(st.integers(0, subjects - 1), st.integers(FIRST, FIRST + 40))
    rows = st.dictionaries(key, st.tuples(sold, rewards), max_size=25)
    return rows.map(lambda found: [Day(*at, *sale, earned) for at, (sale, earned) in sorted(found.items())])


def population_of(rows: list[Day], days: list[int]) -> Population:
    return population_as_of(
        days,
        {d: sum(r.day == d and r.lines > 0 for r in rows) for d in {r.day for r in rows}},
        [(r.day, c, 1) for r in rows for c in r.categories],
        [(r.day, arm, n, round(total * MICRO)) for r in rows for arm, (n, total) in r.rewards.items()],
        CAROUSELS.values(),
    )


def block_of(rows: list[Day], population: Population, subjects: int = 3) -> Block:
    def integers(values: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return np.array(values, dtype=np.int64)

    category, arm = population.category_codes, population.arm_codes
    bought = [(i, category[c], 1) for i, r in enumerate(rows) for c in r.categories]
    earned = [(i, arm[a], n, round(t * MICRO)) for i, r in enumerate(rows) for a, (n, t) in r.rewards.items()]
    return Block(
        subject=integers([r.subject for r in rows]),
        day=integers([r.day for r in rows]),
        last_active=integers([r.day for r in rows]),
        visits=integers([int(r.lines > 0) for r in rows]),
        first_visit=integers([r.day if r.lines else -1 for r in rows]),
        last_visit=integers([r.day if r.lines else -1 for r in rows]),
        lines=integers([r.lines for r in rows]),
        sales_cents=integers([r.cents for r in rows]),
        categories=tuple(integers([b[k] for b in bought]) for k in range(3)),  # type: ignore[arg-type]
        rewards=tuple(integers([e[k] for e in earned]) for k in range(4)),  # type: ignore[arg-type]
        subjects=subjects,
    )


def everything(rows: list[Day], days: list[int]) -> dict[str, Floats]:
    population = population_of(rows, days)
    codes = {
        widget: np.full(len(days), population.category_codes[shown]) for widget, shown in CAROUSELS.items()
    }
    found = values_as_of(block_of(rows, population), population, codes, DECLARED)
    named = {f"{name}": value for name, value in found.features.items()}
    named |= {f"share/{name}": value for name, value in found.widget_shares.items()}
    named |= {f"reward_mean/{name}": value for name, value in found.reward_means.items()}
    return named | {"rows": found.has_history.astype(float), "last": found.last_active_day.astype(float)}


def shrunk_mean(own: list[Day], all_rows: list[Day], arm: str) -> float:
    def total(rows: list[Day]) -> tuple[int, float]:
        there = [r.rewards[arm] for r in rows if arm in r.rewards]
        return sum(n for n, _ in there), sum(t for _, t in there)

    n, earned = total(own)
    seen, of_all = total(all_rows)
    return (earned + 5 * of_all / seen) / (n + 5) if seen else math.nan


def expected(rows: list[Day], subject: int, day: int) -> dict[str, float]:
    """The plain formulas, one subject and day at a time."""
    past = [r for r in rows if r.day <= day]
    own = [r for r in past if r.subject == subject]
    visits = [r for r in own if r.lines]
    recent_sales = [r.cents / 100 for r in visits if r.day > day - 28]
    served = date(1970, 1, 1) + timedelta(day + 1)
    of_all = [r for r in past if r.lines]
    habit = {c: sum(c in r.categories for r in of_all) / max(len(of_all), 1) for c in CATEGORIES}
    share = {
        c: (sum(c in r.categories for r in visits) + 2 * habit[c]) / (len(visits) + 2) for c in CATEGORIES
    }
    ranked = [c for c in sorted(CATEGORIES, key=lambda c: (-share[c], c)) if share[c] > 0]
    values = {
        "rows": float(bool(own)),
        "last": own[-1].day if own else -1,
        "has_orders": float(bool(visits)),
        "visits": len(visits),
        "visits_28": sum(r.day > day - 28 for r in visits),
        "visits_84": sum(r.day > day - 84 for r in visits),
        "sales_28": sum(r.cents for r in own if r.day > day - 28) / 100,
        "lines_9": sum(r.lines for r in own if r.day > day - 9),
        "any_3": float(any(r.cents for r in own if r.day > day - 3)),
        "sales": sum(r.cents for r in own) / 100,
        "sales_1": sum(r.cents for r in own if r.day == day) / 100,
        "mean_sale_28": statistics.mean(recent_sales) if recent_sales else math.nan,
        "season": (served.month % 12) // 3,
        "recency": day + 1 - visits[-1].day if visits else math.nan,
        "tenure": day + 1 - visits[0].day if visits else math.nan,
        "mean_sale": sum(r.cents for r in own) / 100 / len(visits) if visits else math.nan,
        "mean_lines": sum(r.lines for r in own) / len(visits) if visits else math.nan,
        "day_of_week": served.weekday(),
        "week_of_month": (served.day - 1) // 7,
        "share/category:cheese": share["cheese"],
        "share/category:tea": share["tea"],
    }
    values |= {f"reward_mean/{arm}": shrunk_mean(own, past, arm) for arm in ARMS}
    recent = [r for r in past if r.day > day - 28]
    values |= {f"recent_reward_mean/{arm}": shrunk_mean([], recent, arm) for arm in ARMS}
    is_home_known = any(f"home/{carousel}" in row.rewards for row in past for carousel in CAROUSELS)
    for k in (0, 1):
        name, own_category = f"category{k + 1}", ranked[k] if k < len(ranked) else None
        values[f"share/{name}"] = share[own_category] if own_category else math.nan
        known = bool(visits) and own_category is not None
        lift = share[own_category] / (habit[own_category] + 0.01) if own_category else math.nan
        carousel = f"category:{own_category}"
        mean = shrunk_mean(own, past, f"home/{carousel}") if carousel in CAROUSELS else math.nan
        values[f"{name}_share"] = values[f"share/{name}"] if known else math.nan
        values[f"{name}_lift"] = lift if known else math.nan
        values[f"{name}_reward_mean/home"] = mean if known else math.nan
        values[f"{name}_has_carousel/home"] = (
            float(not math.isnan(mean)) if visits and is_home_known else math.nan
        )
    return values


@settings(deadline=None, max_examples=60)
@given(rows=day_rows(), last=st.integers(FIRST, FIRST + 45))
def test_values_are_those_of_the_plain_formulas(rows: list[Day], last: int) -> None:
    days = [last - 30, last - 3, last]
    past = [row for row in rows if row.day <= last]
    found = everything(past, days)
    for subject in range(3):
        for j, day in enumerate(days):
            for name, value in expected(past, subject, day).items():
                got = found[name][subject, j] if name in found else math.nan
                assert got == pytest.approx(value, abs=1e-12, nan_ok=True), name


@settings(deadline=None, max_examples=40)
@given(rows=day_rows(), later=day_rows(), at=st.integers(FIRST, FIRST + 40))
def test_what_happens_later_changes_nothing(rows: list[Day], later: list[Day], at: int) -> None:
    past = [row for row in rows if row.day <= at]
    with_later = past + [row for row in later if row.day > at]
    with_later.sort(key=lambda row: (row.subject, row.day))
    before, after = everything(past, [at - 2, at]), everything(with_later, [at - 2, at])
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)
    for name in after.keys() - before.keys():  # of arms that nobody has seen yet
        assert np.isnan(after[name]).all(), name


@settings(deadline=None, max_examples=25)
@given(rows=day_rows())
def test_a_range_at_once_is_day_by_day(rows: list[Day]) -> None:
    days = list(range(FIRST + 30, FIRST + 41))
    at_once = everything(rows, days)
    for j, day in enumerate(days):
        alone = everything([row for row in rows if row.day <= day], [day])
        for name, value in alone.items():
            np.testing.assert_array_equal(at_once[name][:, j], value[:, 0], err_msg=name)


def test_values_do_not_depend_on_who_shares_the_block() -> None:
    row = Day(0, FIRST, 3, 1999, frozenset({"tea"}), {"start/category1": (3, 0.1)})
    other = Day(0, FIRST, 3, 333, frozenset({"milk"}), {"start/category1": (1, 1 / 3)})
    population = population_of([row, other], [FIRST])
    alone = History(block_of([row], population, 1), population.days)
    both = History(block_of([other, replace(row, subject=1)], population, 2), population.days)
    np.testing.assert_array_equal(alone.reward_means(population)[0], both.reward_means(population)[1])
    np.testing.assert_array_equal(alone.category_shares(population)[0], both.category_shares(population)[1])


def test_equal_shares_go_to_the_lower_code_and_nothing_bought_is_no_category() -> None:
    first, second = two_strongest(np.array([[0.2, 0.5, 0.5], [0.0, 0.3, 0.0], [0.0, 0.0, 0.0]]))
    assert first.tolist() == [1, 1, -1]
    assert second.tolist() == [2, -1, -1]


@dataclass(frozen=True)
class Declared:
    name: str
    transform: str = "identity"
    center: float = 0.0
    scale: float = 1.0
    missing: float = 0.0


@dataclass(frozen=True)
class DeclaredSet:
    context: tuple[Declared, ...]
    action: tuple[Declared, ...] = ()


SET = DeclaredSet(
    (
        Declared("intercept"),
        Declared("recency", "log1p", 1.0, 2.0, missing=-3.0),
        Declared("visits", "sqrt", 1.0, 0.5),
    ),
    (Declared("share/{widget}", "identity", 0.5, 0.25), Declared("reward_mean/home/{widget}")),
)


def test_a_context_is_scaled_and_missing_values_have_their_own_number() -> None:
    columns = {
        "recency": np.array([math.e**3 - 1, math.nan]),
        "visits": np.array([9.0, math.nan]),
        "share/a": np.array([0.75, math.nan]),
        "share/b": np.array([0.25, 0.5]),
        "reward_mean/home/a": np.array([1.5, 2.0]),
        "reward_mean/home/b": np.array([3.0, 0.0]),
    }
    assert sorted(column_names(SET, ["b", "a"])) == sorted(columns)
    context, action_context = assemble(columns, SET, ["b", "a"])
    assert context.dtype == action_context.dtype == np.float32
    np.testing.assert_allclose(context, [[1, 1, 4], [1, -3, 0]], rtol=1e-6)
    np.testing.assert_allclose(action_context, [[[-1, 3], [1, 1.5]], [[0, 0], [0, 2]]], rtol=1e-6)


def test_a_missing_value_can_be_told_from_the_number_put_there() -> None:
    chosen = DeclaredSet(
        (Declared("intercept"), Declared("recency", missing=7.0), Declared("missing/recency"))
    )
    assert column_names(chosen, []) == ["recency"]
    context, _ = assemble({"recency": np.array([3.0, math.nan])}, chosen, [])
    assert context.tolist() == [[1, 3, 0], [1, 7, 1]]


def test_a_set_without_action_features_gives_an_empty_action_context() -> None:
    context, action_context = assemble({}, DeclaredSet((Declared("intercept"),)), ["a", "b"], rows=3)
    assert context.tolist() == [[1.0]] * 3
    assert action_context.shape == (3, 2, 0)


@pytest.mark.parametrize(
    ("feature_set", "columns", "message"),
    [
        (DeclaredSet((Declared("recency"),)), {"recency": np.zeros(1)}, "begins with 'intercept'"),
        (DeclaredSet(()), {}, "begins with 'intercept'"),
        (SET, {"recency": np.zeros(1), "visits": np.zeros(1)}, "share/a, reward_mean/home/a"),
    ],
)
def test_bad_sets_are_refused(
    feature_set: DeclaredSet,
    columns: dict[str, Floats],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        assemble(columns, feature_set, ["a"])
