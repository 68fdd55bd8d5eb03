"""The replay reaches the published figures, agrees with plain formulas, and draws what it says it draws."""

import math
from collections import Counter

import numpy as np
import pytest

from jobs.demo import replay, value
from jobs.demo.replay import Replay
from jobs.demo.source import Baskets

LAST_81_DAYS = 284


@pytest.fixture(scope="module")
def oracle(baskets: Baskets) -> "Oracle":
    return Oracle(baskets)


class Oracle:
    """The recipe word by word, over visits as dictionaries and sets."""

    def __init__(self, baskets: Baskets) -> None:
        self.baskets = baskets
        bounds = np.searchsorted(baskets.row_visit, np.arange(len(baskets.visit_day) + 1))
        rows = baskets.row_product.tolist()
        self.visits = [
            (int(day), int(household), frozenset(rows[bounds[i] : bounds[i + 1]]))
            for i, (day, household) in enumerate(zip(baskets.visit_day, baskets.visit_household, strict=True))
        ]
        self.category = baskets.product_category.tolist()
        self.type = baskets.product_type.tolist()

    def categories(self, basket: frozenset[int]) -> set[int]:
        return {self.category[product] for product in basket}

    def sold(self, first: int, last: int) -> Counter[int]:
        """Visits with each product on the days first to last."""
        return Counter(p for day, _, basket in self.visits if first <= day <= last for p in basket)

    def at(self, visit: int) -> "At":
        return At(self, *self.visits[visit])


class At:
    """One visit, and all that was known before its day."""

    def __init__(self, oracle: Oracle, day: int, household: int, basket: frozenset[int]) -> None:
        self.oracle, self.day, self.basket = oracle, day, basket
        earlier = [visit for visit in oracle.visits if visit[0] < day]
        self.own = [(d, b) for d, h, b in earlier if h == household]
        population = Counter(c for _, _, b in earlier for c in oracle.categories(b))
        mine = Counter(c for _, b in self.own for c in oracle.categories(b))
        self.share = {
            c: (mine[c] + 2 * population[c] / len(earlier)) / (len(self.own) + 2)
            for c in range(len(oracle.baskets.categories))
        }
        self.w28, self.w7 = oracle.sold(day - 28, day - 1), oracle.sold(day - 7, day - 1)
        self.p28 = oracle.sold(day - 35, day - 8)

    def bestsellers(self) -> list[int]:
        return sorted(self.w28, key=lambda p: (-self.w28[p], p))[:12]

    def trending(self) -> list[int]:
        risen = {p: (w + 5) / (self.p28[p] / 4 + 5) for p, w in self.w7.items() if w >= 5}
        return sorted(risen, key=lambda p: (-risen[p], p))[:12]

    def of_category(self, category: int) -> list[int]:
        times: Counter[int] = Counter()
        latest: dict[int, int] = {}
        for day, basket in self.own:
            for product in basket:
                if self.oracle.category[product] == category:
                    times[product] += 1
                    latest[product] = day
        mine = sorted(times, key=lambda p: (-times[p], -latest[p], p))[:6]
        others = sorted(
            (p for p in self.w28 if self.oracle.category[p] == category and p not in mine),
            key=lambda p: (-self.w28[p], p),
        )
        return (mine + others)[:12]

    def strongest(self) -> list[int]:
        return sorted(self.share, key=lambda c: (-self.share[c], c))[:2]

    def reward(self, listed: list[int]) -> int:
        if self.basket & set(listed):
            return 3
        types = {self.oracle.type[p] for p in self.basket}
        return int(any(self.oracle.type[p] in types for p in listed))


@pytest.mark.parametrize("visit_of_replay", [0, 517, 23_456, 51_111, 79_742, 106_483])
def test_a_visit_agrees_with_the_recipe_word_by_word(
    visit_of_replay: int, full: Replay, baskets: Baskets, oracle: Oracle
) -> None:
    rewards = full.rewards
    at = oracle.at(int(rewards.visit[visit_of_replay]))
    strongest = at.strongest()
    lists = [*map(at.of_category, strongest), at.bestsellers(), at.trending()]
    assert rewards.categories[visit_of_replay].tolist() == strongest
    assert rewards.start[visit_of_replay].tolist() == [at.reward(listed) for listed in lists]
    shares = [at.share[c] for c in strongest]
    assert rewards.start_scores[visit_of_replay] == pytest.approx([*shares, 0.35, 0.20], abs=1e-12)

    home = replay.home_categories(baskets).tolist()
    home_lists = [*map(at.of_category, home), *lists[2:]]
    assert rewards.home[visit_of_replay].tolist() == [at.reward(listed) for listed in home_lists]
    expected = [*(at.share[c] for c in home), 0.35, 0.20]
    assert rewards.home_scores[visit_of_replay] == pytest.approx(expected, abs=1e-12)


def test_the_product_that_earns_a_reward_is_listed_and_bought_or_alike(full: Replay, oracle: Oracle) -> None:
    row = 23_456
    at = oracle.at(int(full.rewards.visit[row]))
    lists = [*map(at.of_category, at.strongest()), at.bestsellers(), at.trending()]
    for listed, reward, product in zip(
        lists, full.rewards.start[row].tolist(), full.rewards.start_product[row].tolist(), strict=True
    ):
        if reward == 0:
            assert product == -1
            continue
        assert product in listed
        assert (product in at.basket) == (reward == 3)
        assert at.oracle.type[product] in {at.oracle.type[p] for p in at.basket}


def test_constants_on_the_last_81_days_equal_the_published_figures(full: Replay) -> None:
    rewards = full.rewards.start[full.rewards.day >= LAST_81_DAYS]
    assert len(rewards) == 26_741
    means = dict(zip(replay.START_ACTIONS, rewards.mean(axis=0).round(3).tolist(), strict=True))
    assert means == {"category1": 1.203, "category2": 0.919, "bestsellers": 1.184, "trending": 0.432}
    assert round(rewards.max(axis=1).mean(), 3) == 1.903


def test_uniform_is_the_mean_of_the_constants(full: Replay) -> None:
    rewards = full.rewards.start[full.rewards.day >= LAST_81_DAYS]
    # The published 0.935 is the mean of the four rounded figures, 0.9345; before rounding it is 0.93447.
    assert np.mean([1.203, 0.919, 1.184, 0.432]) == pytest.approx(0.9345)
    assert rewards.mean() == pytest.approx(0.93447, abs=5e-6)


def test_logging_policy_s_value_on_start(full: Replay) -> None:
    test = full.rewards.day >= LAST_81_DAYS
    values = value.of_probabilities(full.rewards.start[test], full.start_probabilities[test])
    assert round(values.mean(), 3) == 1.087


def test_home_fixed_layout_and_logging_policy(full: Replay) -> None:
    test = full.rewards.day >= LAST_81_DAYS
    home = full.rewards.home.astype(float)
    best = value.best_layout(home[~test], 6)
    fixed = value.of_layouts(home[test], np.tile(best, (26_741, 1)))
    assert round(fixed.mean(), 3) == 3.057
    # The published 2.193 is the mean of one draw, whose standard error is 0.008; the expectation is 2.190.
    drawn = value.of_layouts(home[test], full.home_layout[test])
    assert drawn.mean() == pytest.approx(2.193, abs=0.008)
    expected = value.of_draws(home[test], value.by_weights(full.home_weights[test]), 6, seed=1, draws=8)
    assert expected.mean() == pytest.approx(2.190, abs=0.002)


def test_home_has_the_22_categories_with_most_early_visits(full: Replay, oracle: Oracle) -> None:
    early = Counter(c for day, _, b in oracle.visits if day < 42 for c in oracle.categories(b))
    names = [f"category:{replay.slug(oracle.baskets.categories[c])}" for c, _ in early.most_common(22)]
    assert full.home_actions == (*names, "bestsellers", "trending")
    assert full.home_actions[0] == "category:fluid-milk-products"


def test_draws_have_the_probabilities_that_are_logged(full: Replay) -> None:
    k = len(replay.START_ACTIONS)
    shown = full.start_action[:, None] == np.arange(k)
    spread = np.sqrt((full.start_probabilities * (1 - full.start_probabilities)).sum(axis=0))
    assert (np.abs((shown - full.start_probabilities).sum(axis=0)) < 4 * spread).all()
    assert full.start_probabilities.sum(axis=1) == pytest.approx(1)
    assert full.start_probabilities.min() >= 0.05

    # 1 / propensity of what was drawn at a position estimates how many candidates were left there.
    for position in range(6):
        inverse = 1 / full.home_propensities[:, position]
        error = inverse.std() / math.sqrt(len(inverse))
        assert inverse.mean() == pytest.approx(24 - position, abs=4 * error)


def test_home_propensities_are_conditional_on_the_positions_before(full: Replay) -> None:
    weights, layout = full.home_weights[7], full.home_layout[7].tolist()
    assert len(set(layout)) == 6
    left = weights.sum()
    for position, widget in enumerate(layout):
        assert full.home_propensities[7, position] == pytest.approx(weights[widget] / left, rel=1e-12)
        left -= weights[widget]


def test_positions_are_seen_nested_and_as_often_as_said(full: Replay) -> None:
    assert full.seen.min() == 1
    for position in range(6):
        assert (full.seen > position).mean() == pytest.approx(0.8**position, abs=0.006)


def test_a_day_s_replay_does_not_depend_on_the_days_beside_it(baskets: Baskets, full: Replay) -> None:
    alone = replay.replay(baskets, range(250, 252), number=0)
    rows = np.isin(full.rewards.day, (250, 251))
    for name in ("visit", "household", "start", "home", "start_product", "home_product", "home_scores"):
        assert np.array_equal(getattr(alone.rewards, name), getattr(full.rewards, name)[rows]), name
    for name in ("start_action", "home_layout", "home_propensities", "seen"):
        assert np.array_equal(getattr(alone, name), getattr(full, name)[rows]), name


def test_another_number_is_another_draw_of_the_same_rewards(baskets: Baskets, full: Replay) -> None:
    other = replay.draw(full.rewards, baskets, number=1)
    assert (other.start_action != full.start_action).mean() > 0.3
    assert np.array_equal(other.start_probabilities, full.start_probabilities)
