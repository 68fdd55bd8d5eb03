"""All features of subjects as of the end of each requested day, by name."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.features.history import Block, Declaration, Floats, History, Integers, lift, two_strongest
from ml.features.population import Population

STRONGEST = ("category1", "category2")
"""Widgets that show whatever category is a subject's strongest and second strongest."""
RECENT_MEAN = "recent_reward_mean/"
"""Prefix of the population's mean reward of an arm over the last 28 days."""


@dataclass(frozen=True)
class Values:
    """Features of a block's subjects by day; every array is (subjects, days), NaN where a value is missing.

    `category1` and `category2` are codes into the population's categories, -1 for none.
    """

    has_history: NDArray[np.bool_]
    last_active_day: Integers
    category1: Integers
    category2: Integers
    features: dict[str, Floats]
    widget_shares: dict[str, Floats]
    reward_means: dict[str, Floats]


def values_as_of(
    block: Block,
    population: Population,
    carousels: Mapping[str, Integers],
    declared: Mapping[str, Declaration],
) -> Values:
    """Compute a block's features as of the end of each of the population's days.

    Args:
        block: rows of whole subjects.
        population: prior and requested days.
        carousels: by widget the code of the category it shows on each day, -1 while it is not shown, (days,).
        declared: features that are sums of daily rows, by name.

    """
    history = History(block, population.days)
    shares, means = history.category_shares(population), history.reward_means(population)
    category1, category2 = two_strongest(shares)
    has_orders = history.visits > 0
    features = history.declared(declared) | calendar(population.days, has_orders.shape)
    widget_shares = {name: _of_day(shares, codes) for name, codes in carousels.items()}
    for name, codes in zip(STRONGEST, (category1, category2), strict=True):
        share = _chosen(shares, codes)
        widget_shares[name] = share
        of_all = _chosen(population.category_shares[None], codes)
        own = {f"{name}_share": share, f"{name}_lift": lift(share, of_all)}
        own |= _carousel_means(name, means, codes, population, carousels)
        features |= {key: np.where(has_orders, value, np.nan) for key, value in own.items()}
    recent = np.broadcast_to(population.recent_arm_means, means.shape)
    features |= {RECENT_MEAN + arm: recent[:, :, code] for code, arm in enumerate(population.arms)}
    arms = {arm: means[:, :, code] for code, arm in enumerate(population.arms)}
    return Values(
        history.rows > 0, history.last_active_day, category1, category2, features, widget_shares, arms
    )


def calendar(days: Integers, shape: tuple[int, ...]) -> dict[str, Floats]:
    """Day of the week (Monday 0), week of the month (from 0) and season of the day that is served, the next.

    Seasons are the meteorological ones of the northern half: winter 0 (December to February) to autumn 3.
    Days count from 1970-01-01, a Thursday.
    """
    served = days + 1
    dates = served.astype("datetime64[D]")
    day_of_month = (dates - dates.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    season = (dates.astype("datetime64[M]").astype(np.int64) + 1) % 12 // 3
    return {
        "season": np.broadcast_to(season.astype(np.float64), shape),
        "day_of_week": np.broadcast_to(((served + 3) % 7).astype(np.float64), shape),
        "week_of_month": np.broadcast_to((day_of_month // 7).astype(np.float64), shape),
    }


def _carousel_means(
    name: str, means: Floats, codes: Integers, population: Population, carousels: Mapping[str, Integers]
) -> dict[str, Floats]:
    """By page: the subject's mean reward of the carousel of its category, and whether the page has one."""
    found: dict[str, Floats] = {}
    arms = [(arm, *arm.partition("/")[::2]) for arm in population.arms]
    days = np.arange(len(population.days))
    for page in sorted({page for _, page, widget in arms if widget in carousels}):
        own = [population.arm_codes[arm] for arm, on, widget in arms if on == page and widget in carousels]
        is_known = ~np.isnan(population.arm_means[:, own]).all(axis=1)
        arm_of = np.full((len(days), len(population.categories)), -1, dtype=np.int64)
        for widget, shown in carousels.items():
            on = shown >= 0
            arm_of[days[on], shown[on]] = population.arm_codes.get(f"{page}/{widget}", -1)
        mean = _chosen(means, np.where(codes >= 0, arm_of[days[None, :], codes], -1))
        found[f"{name}_reward_mean/{page}"] = mean
        has_one = np.where(np.isnan(mean), 0.0, 1.0)
        found[f"{name}_has_carousel/{page}"] = np.where(is_known, has_one, np.nan)
    return found


def _chosen(table: Floats, codes: Integers) -> Floats:
    """table[s, d, codes[s, d]], NaN where the code is -1; a first axis of 1 serves all subjects."""
    if table.shape[-1] == 0:
        return np.full(codes.shape, np.nan)
    subjects = np.arange(codes.shape[0])[:, None] if table.shape[0] > 1 else np.zeros((1, 1), dtype=np.int64)
    picked = table[subjects, np.arange(codes.shape[1])[None, :], np.maximum(codes, 0)]
    return np.where(codes >= 0, picked, np.nan)


def _of_day(table: Floats, codes: Integers) -> Floats:
    """table[s, d, codes[d]], NaN on days whose code is -1."""
    return _chosen(table, np.broadcast_to(codes, table.shape[:2]))
