"""A block's day as arrays: visits, pages served in them, positions seen, and what came of those.

Each level points to the row of the one above. Times are microseconds since the epoch and lie in their day.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.synth.people import CATEGORIES, Floats, Ints, People
from jobs.synth.size import DAY_MICROS, MICROS, Size, Stream

Bools = npt.NDArray[np.bool_]

CAROUSELS = 22  # categories with a carousel of their own on the home page
START_WIDGETS = ("category1", "category2", "bestsellers", "trending")
HOME_WIDGETS = (*(f"category:c{c:02d}" for c in range(CAROUSELS)), "bestsellers", "trending")
HOME_POSITIONS = 6
SEEN = 0.8  # of the positions down to one, the share that is seen further
OPENED, BOUGHT, PLACED = 0.08, 0.35, 0.7
LOGGED_OUT, GOES_HOME = 0.10, 0.7
LONGEST_VISIT = 30 * 60 * MICROS
BOT_VISITS, BUSY_BOT_PAGES = 0.01, 1200
SPANS_PER_VISIT = 7.9  # of these rules, bots included; a test holds it


@dataclass(frozen=True)
class Sessions:
    """What a block's users did on a day."""

    user: Ints  # visits: row of the user in its block
    start: Ints
    device: Ints  # 0 or 1
    is_logged_in: Bools
    serving_visit: Ints  # servings
    serving_at: Ints
    is_home: Bools
    widgets: Ints  # (servings, 6) numbers of the page's widgets in order; a start page has one
    seen_serving: Ints  # positions seen
    seen_position: Ints
    seen_at: Ints
    view_seen: Ints  # product views, of positions seen
    view_at: Ints
    view_product: Ints
    basket_view: Ints  # basket adds, of product views
    basket_at: Ints
    order_visit: Ints  # orders
    order_at: Ints
    bot_start: Ints  # visits of bots
    bot_pages: Ints
    bot_is_named: Bools


def of_day(size: Size, people: People, block: int, day: int) -> Sessions:
    """Draw what a block's users did on a day."""
    rng = size.numbers(Stream.SESSIONS, block, day)
    mean = size.spans_per_user / SPANS_PER_VISIT
    user = np.repeat(np.arange(len(people.numbers)), rng.poisson(people.rates * mean))
    start = size.midnight(day) + ((DAY_MICROS - LONGEST_VISIT) * rng.beta(4, 3, len(user))).astype(np.int64)
    visit, serving_at, is_home = _servings(rng, start)
    widgets = _layouts(rng, is_home)
    serving, position, seen_at = _seen(rng, serving_at, is_home)
    shown = widgets[serving, position]
    own = people.tastes[user[visit[serving]]]
    view_seen, view_at, product = _views(rng, size, shown, is_home[serving], own, seen_at)
    basket = np.flatnonzero(rng.random(len(view_seen)) < BOUGHT)
    basket_at = view_at[basket] + _seconds(rng, len(basket), 1, 15)
    order_visit, order_at = _orders(rng, visit[serving[view_seen[basket]]], basket_at)
    bots = round(len(user) * BOT_VISITS)
    is_named = np.arange(bots) > 0
    return Sessions(
        user=user,
        start=start,
        device=(rng.random(len(user)) * people.devices[user]).astype(np.int64),
        is_logged_in=rng.random(len(user)) >= LOGGED_OUT,
        serving_visit=visit,
        serving_at=serving_at,
        is_home=is_home,
        widgets=widgets,
        seen_serving=serving,
        seen_position=position,
        seen_at=seen_at,
        view_seen=view_seen,
        view_at=view_at,
        view_product=product,
        basket_view=basket,
        basket_at=basket_at,
        order_visit=order_visit,
        order_at=order_at,
        bot_start=size.midnight(day) + rng.integers(DAY_MICROS - 2 * LONGEST_VISIT, size=bots),
        bot_pages=np.where(is_named, rng.integers(5, 40, size=bots), BUSY_BOT_PAGES),
        bot_is_named=is_named,
    )


def _servings(rng: np.random.Generator, start: Ints) -> tuple[Ints, Ints, Bools]:
    """Each visit sees the start page, most the home page after it."""
    goes_on = rng.random(len(start)) < GOES_HOME
    visit = np.repeat(np.arange(len(start)), 1 + goes_on)
    is_home = np.concatenate([[False], visit[1:] == visit[:-1]]) if len(visit) else np.zeros(0, np.bool_)
    return visit, start[visit] + np.where(is_home, _seconds(rng, len(visit), 20, 60), 0), is_home


def _layouts(rng: np.random.Generator, is_home: Bools) -> Ints:
    """Layouts are drawn uniformly, without a widget twice."""
    widgets = np.zeros((len(is_home), HOME_POSITIONS), np.int64)
    widgets[:, 0] = rng.integers(len(START_WIDGETS), size=len(is_home))
    home = np.flatnonzero(is_home)
    widgets[home] = rng.random((len(home), len(HOME_WIDGETS))).argsort(axis=1)[:, :HOME_POSITIONS]
    return widgets


def _seen(rng: np.random.Generator, serving_at: Ints, is_home: Bools) -> tuple[Ints, Ints, Ints]:
    depth = np.where(is_home, np.minimum(rng.geometric(1 - SEEN, len(is_home)), HOME_POSITIONS), 1)
    serving = np.repeat(np.arange(len(depth)), depth)
    position = np.arange(len(serving)) - np.repeat(np.cumsum(depth) - depth, depth)
    seconds = 0.3 + 0.5 * position + 0.3 * rng.random(len(serving))
    return serving, position, serving_at[serving] + (seconds * MICROS).astype(np.int64)


def _views(
    rng: np.random.Generator, size: Size, shown: Ints, is_home: Bools, tastes: Ints, seen_at: Ints
) -> tuple[Ints, Ints, Ints]:
    """Users open what they like thrice as often; within a category products are sold by Zipf's law."""
    any_category = (CATEGORIES ** rng.random(len(shown))).astype(np.int64)
    of_start = np.where(shown == 0, tastes[:, 0], np.where(shown == 1, tastes[:, 1], any_category))
    category = np.where(is_home, np.where(shown < CAROUSELS, shown, any_category), of_start)
    is_liked = (category[:, None] == tastes).any(axis=1)
    view = np.flatnonzero(rng.random(len(shown)) < OPENED * np.where(is_liked, 3, 1))
    depth = max(size.products // CATEGORIES, 1)
    rank = np.minimum((depth ** rng.random(len(view))).astype(np.int64), depth) - 1
    product = np.minimum(rank * CATEGORIES + category[view], size.products - 1)
    return view, seen_at[view] + _seconds(rng, len(view), 1, 25), product


def _orders(rng: np.random.Generator, basket_visit: Ints, basket_at: Ints) -> tuple[Ints, Ints]:
    """A visit with something in the basket mostly ends with an order, after its last add."""
    visit, place = np.unique(basket_visit, return_inverse=True)
    last = np.zeros(len(visit), np.int64)
    np.maximum.at(last, place, basket_at)
    placed = rng.random(len(visit)) < PLACED
    return visit[placed], (last + _seconds(rng, len(visit), 30, 300))[placed]


def _seconds(rng: np.random.Generator, n: int, least: float, most: float) -> Ints:
    return ((least + (most - least) * rng.random(n)) * MICROS).astype(np.int64)


def uniform_propensities(candidates: int, positions: int) -> Floats:
    """Probability of each position's widget, given those before it, when all are equally likely."""
    return 1.0 / (candidates - np.arange(positions))
