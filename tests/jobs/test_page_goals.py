"""Goals of a page: checked on load, worth what came with a reward, and combined in units of reward."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from jobs import page_goals, steering
from jobs.page_goals import combined, contributions, worths, worths_of
from jobs.page_specs import GOALS, Goals, Page
from tests.jobs.test_steering import CANDIDATES, LABELS

DAY = date(2017, 10, 12)
SIGMA = {"reward": 0.3, "click": 0.1, "revenue": 20.0, "freshness": 0.2, "diversity": 0.4}
TABLE = np.array([[0.4, 0.5, 0.6], [0.3, 0.2, 0.1], [50.0, 90.0, 10.0], [1.0, 0.5, 0.25]])


def goals(**weights: float) -> Goals:
    return Goals(weights=weights, differences=SIGMA)


def page(**more: Any) -> Page:
    about = {"page": "home", "positions": 3, "policy": "p", "temperature": 0.1, "floor": 0.0, **more}
    return Page.model_validate(about)


def test_what_comes_with_a_reward_is_a_ratio_drawn_to_the_pages_own() -> None:
    sums = {
        "a": {"clicks": 50, "baskets": 40, "revenue_cents": 9_000, "reward_micros": 80_000_000},
        "b": {"clicks": 10, "baskets": 0, "revenue_cents": 0, "reward_micros": 20_000_000},
    }
    found = worths(sums, {"a": DAY - timedelta(90), "b": DAY + timedelta(1)}, DAY, ["a", "b", "new"])
    assert found[0] == pytest.approx([(50 + 20 * 0.6) / 100, (10 + 20 * 0.6) / 40, 0.6])
    assert found[1] == pytest.approx([(40 + 20 * 0.4) / 100, 20 * 0.4 / 40, 0.4])
    assert found[2] == pytest.approx([(9000 + 20 * 90) / 100, 20 * 90 / 40, 90])
    assert found[3] == pytest.approx([0.5, 1.0, 1.0])
    assert not worths({}, {}, DAY, ["a"])[:3].any()


def test_a_policys_row_keeps_them_by_arm_and_who_is_unseen_is_worth_the_mean() -> None:
    row = {"widgets": ["a", "b", "c"], "worths": TABLE.ravel()}
    found = worths_of(row, ["c", "gone", "a"])
    assert found is not None
    assert found[:, 0].tolist() == TABLE[:, 2].tolist()
    assert found[:, 1] == pytest.approx([0.5, 0.2, 50.0, 1.0])
    assert worths_of(None, ["a"]) is worths_of({"widgets": ["a"], "worths": None}, ["a"]) is None


def test_a_page_is_drawn_by_weighed_goals_in_units_of_reward() -> None:
    values = np.array([[0.9, 0.6, 0.3]])
    asked = goals(reward=1, revenue=2, freshness=1, diversity=1)
    found = combined(values, asked, TABLE)
    plain = [
        0.3 * (1 * v / 0.3 + 2 * v * revenue / 20 + fresh / 0.2) / 5
        for v, revenue, fresh in zip(values[0], TABLE[2], TABLE[3], strict=True)
    ]
    assert found[0] == pytest.approx(plain, rel=1e-6)
    told = contributions(0.9, asked, TABLE[:, 0])
    assert sum(told.values()) == pytest.approx(plain[0])
    assert told["revenue"] == pytest.approx(0.3 * 2 * 0.9 * 50 / 20 / 5)


def test_reward_alone_and_no_goals_leave_values_as_they_are() -> None:
    values = np.array([[0.9, 0.6, 0.3]])
    assert combined(values, goals(reward=3), TABLE) == pytest.approx(values, rel=1e-6)
    assert combined(values, None, TABLE).tolist() == combined(values, goals(click=1), None).tolist()


def test_a_weight_of_diversity_is_a_price_of_likeness() -> None:
    asked = page(goals=goals(reward=3, diversity=1).model_dump(), rules={"spacing": 1})
    assert asked.goals is not None
    assert asked.goals.price_of_likeness == pytest.approx(0.25 * 0.3 / 0.4)
    text = steering.bind(asked, CANDIDATES, LABELS)
    assert text is not None
    rules = steering.read(text)
    assert (rules.spacing, rules.strength) == (1, pytest.approx(0.25 * 0.3 / 0.4))
    assert page(goals=goals(reward=1).model_dump()).steered is None


@pytest.mark.parametrize(
    ("weights", "differences", "told"),
    [
        ({"click": -1}, SIGMA, "weight of 'click' is -1, but a weight is a number of 0 or more"),
        ({"click": float("nan")}, SIGMA, "weight of 'click' is nan"),
        ({"click": 0, "revenue": 0}, SIGMA, "all weights are 0: give at least one goal"),
        ({}, SIGMA, "all weights are 0"),
        ({"clicks": 1}, SIGMA, "weight of 'clicks': there is no such goal, only reward, click"),
        ({"diversity": 1}, SIGMA, "diversity alone says nothing of what to show"),
        ({"quality": 1}, SIGMA, "differences needs a number above 0 for 'quality'"),
        ({"click": 1}, {"click": 0.1}, "differences needs a number above 0 for 'reward'"),
        ({"click": 1}, {**SIGMA, "click": 0.0}, "differences needs a number above 0 for 'click'"),
        ({"click": "much"}, SIGMA, "valid number"),
    ],
)
def test_goals_that_cannot_be_are_refused(weights: Any, differences: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        page(goals={"weights": weights, "differences": differences})


def test_diversity_is_said_once() -> None:
    rules = {"diversity": {"kind": "dpp", "strength": 0.1}}
    with pytest.raises(ValidationError, match="say the same: keep one of them"):
        page(goals=goals(reward=1, diversity=1).model_dump(), rules=rules)
    assert page(goals=goals(reward=1).model_dump(), rules=rules).steered is not None


def test_goals_are_named_once() -> None:
    assert set(page_goals.by_goal(np.ones((1, 3)), TABLE)) == set(GOALS)
