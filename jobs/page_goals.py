"""A page's goals: each defined once, weighed by store operations, and combined to what a page is drawn by.

    reward      what the page's policy expects of a widget that is seen (conf/: reward)
    click       share of sights on which its details were opened, or something of it went into the basket
    quality     share of sights whose click ended in the basket: clicks that were worth it
    revenue     cents bought through it
    freshness   2^(-age / 90 days) of the widget
    diversity   how much a page's widgets differ: the share of labels that two do not have in common

What a widget brings of click, quality and revenue is what came with a unit of its reward in the last
`WINDOW` days, over all subjects, times the reward that the policy expects for this subject. Diversity is no
widget's own: its weight is the price of being like what stands above (`rules.diversity`, kind mmr).

A weight twice another's gives a typical difference in its goal twice the say (`ml.rank.relevance`). What a
page is drawn by stays in units of reward, so temperature, floor and exploration mean what they meant.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.page_specs import DIVERSITY, REWARD, Goals
from ml.rank.relevance import relevance

OF_REWARD = ("click", "quality", "revenue")
"""What comes with a unit of reward."""
FRESHNESS = "freshness"
WORTHS = (*OF_REWARD, FRESHNESS)
"""Rows of a policy's `worths`."""
WINDOW = 28
HALF_LIFE_DAYS = 90
PRIOR = 20.0
"""Units of reward, at the page's mean worths, that a widget's own are added to: few sights tell little."""

Floats = NDArray[np.float64]
NOTHING = {"clicks": 0, "baskets": 0, "revenue_cents": 0, "reward_micros": 0}
SUMS = tuple(NOTHING)
MICRO = 1_000_000


def worths(
    sums: Mapping[str, Mapping[str, int]], created: Mapping[str, date], day: date, widgets: Sequence[str]
) -> Floats:
    """Return (4, k) what comes with a unit of reward of each widget, by goal of `WORTHS`, and its freshness.

    Parameters
    ----------
    sums
        by widget of the page the `SUMS` of its days up to `day`.
    created
        by widget the day on which it was made; a widget without one is new.
    day
        as of which it is.
    widgets
        k names; who has no sums gets the page's means.

    """
    all_of = {name: sum(of[name] for of in sums.values()) for name in SUMS}
    earned = np.array([sums.get(widget, NOTHING)["reward_micros"] / MICRO for widget in widgets])
    whole = all_of["reward_micros"] / MICRO
    found = np.empty((len(WORTHS), len(widgets)))
    for row, name in enumerate(("clicks", "baskets", "revenue_cents")):
        mean = all_of[name] / whole if whole > 0 else 0.0
        own = np.array([float(sums.get(widget, NOTHING)[name]) for widget in widgets])
        found[row] = (own + PRIOR * mean) / (earned + PRIOR)
    ages = np.array([max((day - created.get(widget, day)).days, 0) for widget in widgets])
    found[-1] = 2.0 ** (-ages / HALF_LIFE_DAYS)
    return found


def worths_of(row: Mapping[str, Any] | None, candidates: Sequence[str]) -> Floats | None:
    """Return (4, k) the worths of candidates by a row of `policies`; None where it has none.

    A candidate that nobody has seen is worth the mean of the others, and as fresh as can be.
    """
    flat = np.asarray(() if row is None or row.get("worths") is None else row["worths"], dtype=np.float64)
    if row is None or not flat.size:
        return None
    table, places = flat.reshape(len(WORTHS), -1), {name: at for at, name in enumerate(row["widgets"])}
    unseen = table.mean(axis=1)
    unseen[-1] = 1.0
    return np.stack(
        [table[:, places[name]] if name in places else unseen for name in candidates], axis=1
    ).reshape(len(WORTHS), len(candidates))


def by_goal(values: NDArray[np.floating], of_widgets: Floats) -> dict[str, Floats]:
    """Return by goal the (n, k) worth of each candidate, given the reward that is expected of it."""
    reward = np.asarray(values, dtype=np.float64)
    found = {name: reward * of_widgets[row] for row, name in enumerate(OF_REWARD)}
    found[FRESHNESS] = np.broadcast_to(of_widgets[-1], reward.shape).astype(np.float64)
    return {REWARD: reward, **found, DIVERSITY: np.zeros(reward.shape)}


def combined(values: NDArray[np.floating], goals: Goals | None, of_widgets: Floats | None) -> Floats:
    """Return (n, k) what a page is drawn by, in units of reward: the values themselves without goals.

    σ(reward) · relevance, so goals of reward alone leave a value as it is. Before anything is known of what
    comes with a reward, it counts alone.
    """
    reward = np.asarray(values, dtype=np.float64)
    if goals is None or of_widgets is None:
        return reward
    weighed = relevance(by_goal(reward, of_widgets), goals.weights, goals.differences)
    return np.asarray(weighed.astype(np.float64) * goals.differences[REWARD])


def contributions(value: float, goals: Goals, of_widget: Floats) -> dict[str, float]:
    """Return by weighed goal what it adds to one widget's value, in units of reward; they sum to it."""
    one = by_goal(np.array([[value]]), of_widget[:, None])
    total, unit = sum(goals.weights.values()), goals.differences[REWARD]
    return {
        name: float(one[name][0, 0]) * weight / total / goals.differences[name] * unit
        for name, weight in goals.weights.items()
        if weight > 0 and name != DIVERSITY
    }
