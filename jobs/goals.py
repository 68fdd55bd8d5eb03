"""What a decision earned, goal by goal, and the reward that its subject's role makes of it.

Goals of a position, per serving:
    click            1 when a detail page was opened in time or something put into the basket through it
    detail, basket   1 when that was so
    revenue          cents of what was bought through it
    reorders         products bought through it that the subject had bought before
    team_sales       cents of orders of those whom the subject sponsors, after what was done through it
    recruits         people whom the subject won, after what was done through it
    display_seconds  from coming into view to the next thing that the subject did, where that was soon
    seconds_to_action  from serving to the first credited outcome of the page
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jobs import maps

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
NONE = -1

ALWAYS = ("click", "detail", "basket")
"""These stand in every row; the others where they are not 0, times where they are known."""
SUMS = ("revenue", "reorders", "team_sales", "recruits")
TIMES = ("display_seconds", "seconds_to_action")
GOALS = (*ALWAYS, *SUMS, *TIMES)


KINDS = ("detail", "basket", "purchase", "reorder", "team_sale", "recruit")
"""Kinds of outcomes by number, as `Credited.kind` has them."""
OF_OTHERS = ("team_sale", "recruit")
"""What others did, for the subject."""


@dataclass(frozen=True)
class Credited:
    """Outcomes, with the decision's row that each credits, -1 for none: (m,) each."""

    target: Ints
    kind: Ints  # place in KINDS
    at: Ints  # microseconds
    subject: Ints
    cents: Ints
    by_trace: Bools


def earned(subject: Ints, served_at: Ints, seen_at: Ints, outcomes: Credited, most: int) -> dict[str, Floats]:
    """Sum up each decision's credited outcomes, goal by goal: (k,) each, NaN where a time is not known.

    subject, served_at, seen_at: of the decisions, in microseconds, -1 where not seen, (k,). most: seconds
    that a display may last.
    """
    k = len(served_at)

    def total(*kinds: str, values: Ints | None = None) -> Floats:
        rows = (outcomes.target != NONE) & np.isin(outcomes.kind, [KINDS.index(kind) for kind in kinds])
        weights = None if values is None else values[rows].astype(np.float64)
        return np.bincount(outcomes.target[rows], weights=weights, minlength=k).astype(np.float64)

    detail, basket = (total(kind) > 0 for kind in ("detail", "basket"))
    click = detail | basket
    direct = (outcomes.target != NONE) & (outcomes.kind < KINDS.index("purchase"))
    first = np.full(k, np.iinfo(np.int64).max)
    np.minimum.at(first, outcomes.target[direct], outcomes.at[direct])
    return {
        "click": click.astype(np.float64),
        "detail": detail.astype(np.float64),
        "basket": basket.astype(np.float64),
        "revenue": total("purchase", "reorder", values=outcomes.cents),
        "reorders": total("reorder"),
        "team_sales": total("team_sale", values=outcomes.cents),
        "recruits": total("recruit"),
        "display_seconds": _displayed(subject, served_at, seen_at, outcomes, most),
        "seconds_to_action": np.where(click, np.where(click, first - served_at, 0) / 1e6, np.nan),
    }


def by_name(goals: Mapping[str, Floats]) -> pa.MapArray:
    """Return the map of each decision's goals."""
    columns = {name: np.where(goals[name] == 0, np.nan, goals[name]) for name in SUMS}
    return maps.mapped({name: columns.get(name, goals[name]) for name in GOALS}, len(goals["click"]))


def reward(
    goals: Mapping[str, Floats],
    role: pa.ChunkedArray,
    basket: float,
    detail: float,
    roles: Mapping[str, Mapping[str, float]],
) -> Floats:
    """Return the reward: the larger of the basket's and the detail's worth; Σ worth · goal for a role's own.

    role: of each decision's subject, (k,).
    """
    value: Floats = np.maximum(goals["basket"] * basket, goals["detail"] * detail)
    return counted_for(value, goals, role, roles)


def counted_for(
    value: Floats, goals: Mapping[str, Floats], of: pa.ChunkedArray, worths: Mapping[str, Mapping[str, float]]
) -> Floats:
    """Return the reward with Σ worth · goal in place of it where `of`, (k,), names some worths."""
    for name, worth in worths.items():
        own = np.asarray(pc.fill_null(pc.equal(of, name), False), dtype=bool)
        # Goals in one order: the sum must not depend on how the file lists them.
        total = np.zeros(len(value))
        for goal in sorted(worth):
            total += worth[goal] * np.nan_to_num(goals[goal])
        value = np.where(own, total, value)
    return value


def _displayed(subject: Ints, served_at: Ints, seen_at: Ints, outcomes: Credited, most: int) -> Floats:
    """Seconds from coming into view to the subject's next serving or own outcome, NaN where that is late."""
    is_own_act = ~np.isin(outcomes.kind, [KINDS.index(kind) for kind in OF_OTHERS])
    acted_at, actor = outcomes.at[is_own_act], outcomes.subject[is_own_act]
    shown = np.flatnonzero(seen_at >= 0)
    start = np.maximum(seen_at[shown], served_at[shown])
    at = np.concatenate([served_at, acted_at, start])
    who = np.concatenate([subject, actor, subject[shown]])
    asks = np.arange(len(at)) >= len(served_at) + len(acted_at)
    order = np.lexsort((asks, at, who))
    place = np.where(asks[order], len(at), np.arange(len(at)))
    after = np.minimum.accumulate(place[::-1])[::-1]
    next_one = order[np.minimum(after, len(at) - 1)]
    is_own = (after < len(at)) & (who[next_one] == who[order])
    gap = np.full(len(at), np.nan)
    gap[order] = np.where(is_own, (at[next_one] - at[order]) / 1e6, np.nan)
    seconds = np.full(len(served_at), np.nan)
    of_shown = gap[len(at) - len(shown) :]
    seconds[shown] = np.where(of_shown <= most, of_shown, np.nan)
    return seconds
