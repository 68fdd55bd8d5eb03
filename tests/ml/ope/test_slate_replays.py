"""The gate on a page of several positions: worse pages stay out, better ones pass, though none are alike."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.ope.gate import Rules, judge

from .slate_replays import BEST, COMMON, WORST, Page, gather, page_of

RULES = Rules(planned_rows=2000)
PAGE = page_of(1)
HOUSEHOLDS = PAGE.ways.shape[1]
LIVE = np.full(HOUSEHOLDS, COMMON)


def drawn(page: Page, way: NDArray, draws: int = 40) -> float:
    """The mean reward of a visit, by drawing pages from the softmax with a floor, position after position."""
    rng = np.random.default_rng(4)
    scores, total = page.ways[way, np.arange(HOUSEHOLDS)][page.households], 0.0
    rows = np.arange(len(scores))
    for _ in range(draws):
        left = np.ones(scores.shape, bool)
        for position in range(page.positions):
            powers = np.where(left, np.exp((scores - scores.max()) / page.rule.temperature), 0.0)
            share = 1 - left.sum(axis=1, keepdims=True) * page.rule.floor
            chances = left * page.rule.floor + share * powers / powers.sum(axis=1, keepdims=True)
            chosen = (chances.cumsum(axis=1) < rng.random((len(rows), 1))).sum(axis=1).clip(max=7)
            total += page.seen[position] * page.rewards[rows, chosen].mean()
            left[rows, chosen] = False
    return total / draws


def test_what_a_page_is_worth_is_what_drawing_it_earns() -> None:
    for way in (BEST, COMMON, WORST):
        ways = np.full(HOUSEHOLDS, way)
        assert PAGE.value(ways) == pytest.approx(drawn(PAGE, ways), rel=0.02)
    better = PAGE.policy(LIVE, 0.2, seed=3)
    assert PAGE.value(better) == pytest.approx(1.2 * PAGE.value(LIVE), rel=0.01)
    with pytest.raises(ValueError, match=r"no such policy is \+500% better"):
        PAGE.policy(LIVE, 5.0, seed=3)


def test_few_go_lives_are_worse_and_most_better_pages_pass() -> None:
    """A small sibling of bench-gate, which replays the demo's page home 200 times."""
    gains = {"20 % better": 0.2, "1 % worse": -0.01, "5 % worse": -0.05}
    went_live, contradicted, silent = dict.fromkeys(gains, 0), 0, 0
    for number in range(20):
        candidates = {name: PAGE.policy(LIVE, gain, seed=number) for name, gain in gains.items()}
        for name, verdict in judge(gather(PAGE, LIVE, candidates, seed=100 + number), RULES).items():
            went_live[name] += verdict.answer == "yes"
            contradicted += any("estimators disagree" in reason for reason in verdict.reasons)
            silent += "standard IPS" in verdict.not_asked
            assert next(iter(verdict.estimates)) == "position-based DR"
    assert went_live["20 % better"] >= 16
    assert went_live["1 % worse"] + went_live["5 % worse"] <= 1
    assert (contradicted, silent) == (0, 60)
