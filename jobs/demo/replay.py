"""The replay: at each visit, what each action would have listed and what it would have earned.

Whatever is shown on day d is computed from days before d. The basket cannot react to the page, so the
reward of every action is known: ranking quality, not sales uplift.
Reads   the cleaned baskets
Writes  nothing
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.demo.history import LIST_LENGTH, NONE, OWN_LENGTH, Floats, History
from jobs.demo.source import Baskets, Ints, distinct

FIRST_REPLAY_DAY = 42
SEED = 20170101
START_ACTIONS = ("category1", "category2", "bestsellers", "trending")
HOME_CATEGORIES = 22
HOME_POSITIONS = 6
SEEN_BASE = 0.8
BESTSELLERS_SCORE, TRENDING_SCORE, TEMPERATURE = 0.35, 0.20, 0.15


@dataclass(frozen=True)
class Rewards:
    """Of the visits of some days: every action's reward, the product that earned it, and the shares."""

    visit: Ints  # (n,) index into Baskets' visits
    household: Ints  # (n,) raw household number
    day: Ints  # (n,)
    categories: Ints  # (n, 2) codes of category1 and category2
    start: npt.NDArray[np.int8]  # (n, 4)
    start_product: npt.NDArray[np.int32]  # (n, 4) product code, or -1
    home: npt.NDArray[np.int8]  # (n, 24)
    home_product: npt.NDArray[np.int32]  # (n, 24)
    start_scores: Floats  # (n, 4) scores of the logging policy
    home_scores: Floats  # (n, 24)


@dataclass(frozen=True)
class Replay:
    """One seeded draw of the logging policy over the visits of `rewards`."""

    rewards: Rewards
    number: int
    home_actions: tuple[str, ...]
    start_probabilities: Floats  # (n, 4)
    home_weights: Floats  # (n, 24)
    start_action: Ints  # (n,)
    home_layout: Ints  # (n, 6)
    home_propensities: Floats  # (n, 6), each given the positions before it
    seen: Ints  # (n,) how many positions of home came into view, 1 to 6


def softmax(scores: Floats) -> Floats:
    """Row-wise softmax of scores (n, k)."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def slug(category: str) -> str:
    """A category's name as it stands in a widget id."""
    return "-".join("".join(c if c.isalnum() else " " for c in category.lower()).split())


def home_categories(baskets: Baskets) -> Ints:
    """Codes of the categories with most visits before the first replayed day, most first."""
    early = baskets.visit_day[baskets.row_visit] < FIRST_REPLAY_DAY
    count = _visits_by_category(baskets, early).sum(axis=0)
    return np.argsort(-count, kind="stable")[:HOME_CATEGORIES]


def home_actions(baskets: Baskets) -> tuple[str, ...]:
    """The widgets of page home, in the order of every matrix of this module."""
    return (
        *(f"category:{slug(baskets.categories[c])}" for c in home_categories(baskets)),
        "bestsellers",
        "trending",
    )


def _visits_by_category(baskets: Baskets, rows: npt.NDArray[np.bool_]) -> Ints:
    """Visits with each category, by household: (households, categories)."""
    k = len(baskets.categories)
    keys = distinct(baskets.row_visit[rows] * k + baskets.product_category[baskets.row_product[rows]])
    flat = baskets.visit_household[keys // k] * k + keys % k
    return np.bincount(flat, minlength=len(baskets.households) * k).reshape(-1, k)


def rewards(baskets: Baskets, days: range, progress: Callable[[int], None] | None = None) -> Rewards:
    """The reward of every action at every visit of `days`."""
    history, home = History(baskets), home_categories(baskets)
    flags = _Flags(baskets)
    parts = []
    for day in days:
        history.advance(day)
        parts.append(_day_rewards(history, home, flags))
        if progress is not None:
            progress(day)
    return Rewards(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class _Flags:
    """Which products and types are in each of a day's baskets: two reused tables, cleared after use."""

    def __init__(self, baskets: Baskets) -> None:
        most = int(np.bincount(baskets.visit_day).max())
        self.product = np.zeros((most, len(baskets.products) + 1), np.bool_)
        self.type = np.zeros((most, int(baskets.product_type.max()) + 2), np.bool_)
        # A list's empty place is -1: it reads the last column, which is never set.
        self.type_of = np.append(baskets.product_type, NONE)


def _day_rewards(history: History, home: Ints, flags: _Flags) -> tuple[npt.NDArray[np.generic], ...]:
    baskets, day = history.baskets, history.day
    visits = np.arange(history.visit_starts[day], history.visit_starts[day + 1])
    households, n = baskets.visit_household[visits], len(visits)
    each = np.arange(n)
    shares = history.shares(households)
    first = shares.argmax(axis=1)
    rest = shares.copy()
    rest[each, first] = -1
    second = rest.argmax(axis=1)

    # 24 slots of category lists: home's 22, and one each for category1 and category2 if not among them.
    slots = np.full(shares.shape, NONE)
    slots[:, home] = np.arange(len(home))
    slot_category = np.tile(np.append(home, (NONE, NONE)), (n, 1))
    for offset, chosen in enumerate((first, second)):
        new = slots[each, chosen] == NONE
        slots[each[new], chosen[new]] = len(home) + offset
        slot_category[each[new], len(home) + offset] = chosen[new]
    width = slot_category.shape[1]
    own = history.own_products(households, slots, width)
    sellers = np.where(
        (slot_category != NONE)[:, :, None], history.category_bestsellers()[slot_category], NONE
    )
    lists = _fill(own, sellers)
    common = np.full((n, 2, lists.shape[2]), NONE)
    common[:, 0, :LIST_LENGTH], common[:, 1, :LIST_LENGTH] = history.bestsellers(), history.trending()
    reward, product = _earned(history, flags, visits, np.concatenate([lists, common], axis=1))

    on_start = np.stack(
        [slots[each, first], slots[each, second], np.full(n, width), np.full(n, width + 1)], axis=1
    )
    on_home = np.append(np.arange(len(home)), (width, width + 1))
    fixed = np.tile((BESTSELLERS_SCORE, TRENDING_SCORE), (n, 1))
    return (
        visits,
        baskets.households[households],
        np.full(n, day),
        np.stack([first, second], axis=1),
        np.take_along_axis(reward, on_start, axis=1),
        np.take_along_axis(product, on_start, axis=1),
        reward[:, on_home],
        product[:, on_home],
        np.column_stack([shares[each, first], shares[each, second], fixed]),
        np.column_stack([shares[:, home], fixed]),
    )


def _fill(own: Ints, sellers: Ints) -> Ints:
    """Lists (n, width, 18) with at most 12 products each: own ones, then best sellers that are not own."""
    is_own = np.zeros(sellers.shape, np.bool_)
    for place in range(OWN_LENGTH):
        is_own |= sellers == own[:, :, place, None]
    fresh = (sellers != NONE) & ~is_own
    room = LIST_LENGTH - (own != NONE).sum(axis=2, keepdims=True)
    return np.concatenate([own, np.where(fresh & (fresh.cumsum(axis=2) <= room), sellers, NONE)], axis=2)


def _earned(
    history: History, flags: _Flags, visits: Ints, lists: Ints
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]]:
    """Each list's reward and the product that earned it: (n, width) each."""
    baskets, rows = history.baskets, history.rows(history.day)
    visit, product = baskets.row_visit[rows] - visits[0] if len(visits) else visits, baskets.row_product[rows]
    kind = baskets.product_type[product]
    flags.product[visit, product] = True
    flags.type[visit, kind] = True
    at = np.arange(len(visits))[:, None, None]
    bought = flags.product[at, lists]
    alike = flags.type[at, flags.type_of[lists]]
    flags.product[visit, product] = False
    flags.type[visit, kind] = False
    reward = np.where(bought.any(axis=2), 3, np.where(alike.any(axis=2), 1, 0)).astype(np.int8)
    place = np.where(reward == 3, bought.argmax(axis=2), alike.argmax(axis=2))
    earner = np.take_along_axis(lists, place[:, :, None], axis=2)[:, :, 0]
    return reward, np.where(reward > 0, earner, NONE).astype(np.int32)


def draw(rewards: Rewards, baskets: Baskets, number: int) -> Replay:
    """Draw the logging policy's pages; a visit's draw does not depend on which other days are drawn."""
    n_all, first = len(baskets.visit_day), int(np.searchsorted(baskets.visit_day, FIRST_REPLAY_DAY))
    actions = home_actions(baskets)
    rng = np.random.default_rng(SEED + number)
    chosen = rewards.visit - first
    u_start, u_seen = rng.random(n_all - first)[chosen], rng.random(n_all - first)[chosen]
    exponentials = rng.exponential(size=(n_all - first, len(actions)))[chosen]

    start = 0.05 + 0.8 * softmax(rewards.start_scores / TEMPERATURE)
    action = np.minimum((start.cumsum(axis=1) <= u_start[:, None]).sum(axis=1), start.shape[1] - 1)
    weights = 0.01 + 0.76 * softmax(rewards.home_scores / TEMPERATURE)
    # The smallest of exponential clocks with rates w is a draw without replacement by weights w.
    layout = np.argsort(exponentials / weights, axis=1)[:, :HOME_POSITIONS]
    drawn = np.take_along_axis(weights, layout, axis=1)
    left = weights.sum(axis=1, keepdims=True) - np.column_stack(
        [np.zeros(len(drawn)), drawn.cumsum(axis=1)[:, :-1]]
    )
    seen = (u_seen[:, None] < SEEN_BASE ** np.arange(HOME_POSITIONS)).sum(axis=1)
    return Replay(rewards, number, actions, start, weights, action, layout, drawn / left, seen)


def replay(baskets: Baskets, days: range, number: int = 0) -> Replay:
    """Rewards of every action, and one seeded draw of what the logging policy showed."""
    return draw(rewards(baskets, days), baskets, number)
