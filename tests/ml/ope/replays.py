"""Logs drawn by a live policy over visits of which every action's reward is known, as the gate sees them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.ope.evidence import Day, Evidence, of_actions
from ml.ope.judged import Judged
from ml.ope.log import Log
from ml.ope.logged import Logged
from ml.ope.summarise import after_each_day
from ml.ope.summary import Summed
from ml.ope.target import target_of

FLOOR = 0.05
GOALS = ("reward", "detail", "basket")
PRIOR_ROWS = 20.0


@dataclass(frozen=True)
class Visits:
    """n visits in the order of their days; k actions.

    rewards (n, k) of every action; households and days (n,) codes from 0.
    """

    rewards: NDArray
    households: NDArray
    days: NDArray

    def value(self, policy: NDArray) -> float:
        """Return the exact mean reward of (n, k) probabilities."""
        return float((policy * self.rewards).sum(axis=1).mean())

    def policy(self, live: NDArray, gain: float, seed: int = 0) -> NDArray:
        """Return a policy that is truly better (or worse) than the live one by a share of its value.

        It shows every household one action: the one that does best (or worst) by it to some, picked at
        random, and any to the others, as many as the gain asks for. So it moves all it can: no gain is cheap
        to see.
        """
        rng = np.random.default_rng(seed)
        width, count = self.rewards.shape[1], int(self.households.max()) + 1
        sums = np.column_stack([np.bincount(self.households, column, count) for column in self.rewards.T])
        other, order = rng.integers(0, width, count), rng.permutation(count)
        now = sums[np.arange(count), other]
        start = self.value(greedy(other[self.households], width))
        wanted = ((1 + gain) * self.value(live) - start) * len(self.households) / (1 - FLOOR * width)
        end = sums.argmax(axis=1) if wanted > 0 else sums.argmin(axis=1)
        reached = np.cumsum(np.abs(sums[np.arange(count), end] - now)[order])
        if abs(wanted) > reached[-1]:
            raise ValueError(f"no such policy is {gain:+.0%} better")
        moved = order[: int(np.searchsorted(reached, abs(wanted))) + 1]
        chosen = other.copy()
        chosen[moved] = end[moved]
        return greedy(chosen[self.households], width)


def greedy(actions: NDArray, width: int) -> NDArray:
    """Return (n, k) probabilities of the floor for every action and the rest for one."""
    policy = np.full((len(actions), width), FLOOR)
    policy[np.arange(len(actions)), actions] += 1 - FLOOR * width
    return policy


def visits(seed: int, households: int = 400, days: int = 28, daily: int = 150, actions: int = 4) -> Visits:
    """Make a world of its own: households have tastes, and come back."""
    rng = np.random.default_rng(seed)
    appeal = rng.normal(0, 0.5, actions) + rng.normal(0, 0.8, (households, actions))
    who = rng.choice(households, days * daily, p=rng.dirichlet([2.0] * households))
    chance = 1 / (1 + np.exp(-(appeal[who] - 0.8)))
    drawn = rng.random((len(who), actions))
    rewards = np.where(drawn < chance / 2, 3.0, np.where(drawn < chance, 1.0, 0.0))
    return Visits(rewards, who, np.repeat(np.arange(days), daily))


def gather(
    given: Visits, live: NDArray, candidates: Mapping[str, NDArray], seed: int, *, until: int | None = None
) -> dict[str, Evidence]:
    """Draw a log by the live policy and gather what the gate looks at, a day after the other.

    The model of a day is each action's mean reward on the days before, shrunk to their mean.
    """
    width = live.shape[1]
    actions, rewards, propensities = drawn(given, live, seed)
    days: dict[str, dict[str, Day]] = {name: {} for name in candidates}
    for day in np.unique(given.days)[:until]:
        rows = np.flatnonzero(given.days == day)
        predictions = np.tile(means_before(given, actions, rewards, day), (len(rows), 1))
        log = Log.of(
            actions[rows],
            rewards[rows],
            propensities[rows],
            action_set=width,
            clusters=given.households[rows],
        )
        of_live = target_of(log, live[rows], predictions)
        for name, policy in candidates.items():
            days[name][str(day)] = Day(log, target_of(log, policy[rows], predictions), of_live)
    return {name: of_actions(of_name) for name, of_name in days.items()}


def drawn(given: Visits, logging: NDArray, seed: int) -> tuple[NDArray, NDArray, NDArray]:
    """Draw (n,) actions by (n, k) probabilities; return them with their rewards and propensities."""
    rng, here = np.random.default_rng(seed), np.arange(len(logging))
    places = (np.cumsum(logging, axis=1) <= rng.random((len(logging), 1))).sum(axis=1)
    actions = np.minimum(places, logging.shape[1] - 1)
    return actions, given.rewards[here, actions].astype(float), logging[here, actions]


def means_before(given: Visits, actions: NDArray, rewards: NDArray, day: int) -> NDArray:
    """(k,) mean reward of each action on the days before, shrunk to their mean."""
    before, width = given.days < day, given.rewards.shape[1]
    counts = np.bincount(actions[before], minlength=width)
    sums = np.bincount(actions[before], weights=rewards[before], minlength=width)
    overall = sums.sum() / max(counts.sum(), 1)
    return (sums + PRIOR_ROWS * overall) / (counts + PRIOR_ROWS)


def nights(
    given: Visits, live: NDArray, candidates: Mapping[str, NDArray], seed: int, logging: NDArray
) -> Iterator[dict[str, Summed]]:
    """Draw a log by `logging`, and yield night after night what the gate looks at, as the nightly jobs do."""
    actions, rewards, propensities = drawn(given, logging, seed)
    count, here = int(given.days.max()) + 1, np.arange(len(live))
    models = np.stack([means_before(given, actions, rewards, day) for day in range(count)])[given.days]
    every = np.ones(len(live), bool)
    log = Logged(
        actions.astype(str), propensities, np.full(len(live), "logging"),
        {str(action): every for action in range(live.shape[1])}, given.households, given.days,
    )  # fmt: skip

    def judged(policy: NDArray) -> Judged:
        expected = (policy * models).sum(axis=1)
        along = [each[:, None] for each in (propensities, policy[here, actions])]
        predicted = models[here, actions][:, None]
        return Judged(*along, goals_of(rewards[:, None]), given.households, predicted, expected[:, None])

    of_live = judged(live)
    by_name = {
        name: after_each_day(
            judged(policy), of_live, log, days=given.days, count=count,
            first={str(action): column for action, column in enumerate(policy.T)},
        )
        for name, policy in candidates.items()
    }  # fmt: skip
    for _ in range(count):
        yield {name: next(summaries).facts([*GOALS]) for name, summaries in by_name.items()}


def goals_of(rewards: NDArray) -> dict[str, NDArray]:
    """Return the goals of a reward of 3 for a basket and 1 for a detail page."""
    columns = (rewards, (rewards > 0).astype(float), (rewards == 3).astype(float))
    return dict(zip(GOALS, columns, strict=True))
