"""Logs of slates drawn by a live policy over visits whose every reward is known, as the gate sees.

A policy ranks every household's widgets in a way of its own, one of a pool, and draws by the page's rule. So
what it gives each widget is simulated once a household and way, however many visits, policies and replays.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ml.draw import DrawRule, draw, slate_propensities
from ml.marginals import marginals
from ml.ope.exposure import DRAWS, of_logged, of_marginals
from ml.ope.judged import Judged
from ml.ope.logged import Logged
from ml.ope.prefixes import along_prefixes
from ml.ope.summarise import after_each_day
from ml.ope.summary import Summed

from .replays import GOALS, goals_of

SEEN_BASE = 0.8
PRIOR_ROWS = 20.0
STEP = 0.3
"""Between the scores of a household's neighbouring widgets: twice the temperature, so 7 times as likely."""
ANY_WAYS = 4
BEST, WORST, COMMON, ALIKE = 0, 1, 2, 3
TRUTH_DRAWS = 128


@dataclass(frozen=True)
class Page:
    """n visits in the order of their days, k widgets, K positions.

    rewards (n, k) of every widget when seen; households and days (n,) codes from 0.
    ways (w, households, k) scores: best and worst by household, best for all, all alike, any, and `more`.
    known, simulated (w, households, K, k) marginals by position: as good as exact, and as a job has them.
    """

    rewards: NDArray
    households: NDArray
    days: NDArray
    positions: int
    rule: DrawRule
    ways: NDArray
    known: NDArray
    simulated: NDArray

    @classmethod
    def of(
        cls,
        rewards: NDArray,
        households: NDArray,
        days: NDArray,
        positions: int,
        rule: DrawRule,
        more: NDArray | None = None,
    ) -> "Page":
        """Make the ways in which a page of these visits can be ranked, and simulate what each shows."""
        rng = np.random.default_rng(1)
        count, width = int(households.max()) + 1, rewards.shape[1]
        sums = np.column_stack([np.bincount(households, column, count) for column in rewards.T])
        sums += rng.uniform(0, 1e-6, sums.shape)
        ranks = sums.argsort(axis=1).argsort(axis=1)
        common = np.tile(sums.sum(axis=0).argsort().argsort(), (count, 1))
        any_way = rng.random((ANY_WAYS, count, width)).argsort(axis=2)
        ordered = np.stack([ranks, width - 1 - ranks, common, np.zeros_like(ranks), *any_way])
        ways = np.concatenate([STEP * ordered, more[None]]) if more is not None else STEP * ordered
        shape = (len(ways), count, positions, width)
        everyone = np.ones((len(ways) * count, width), bool)

        def simulate(draws: int, seed: int) -> NDArray:
            drawn = marginals(
                ways.reshape(-1, width), everyone, positions=positions, rule=rule, draws=draws, seed=seed,
                keys=np.arange(len(everyone), dtype=np.uint64),
            )  # fmt: skip
            return drawn.means.reshape(shape)

        known, simulated = simulate(TRUTH_DRAWS, 1), simulate(DRAWS, 2)
        return cls(rewards, households, days, positions, rule, ways, known, simulated)

    @property
    def seen(self) -> NDArray:
        """(K,) chance that a position is seen."""
        return SEEN_BASE ** np.arange(self.positions)

    def worth(self) -> NDArray:
        """(households, w) true reward of all its visits by way."""
        count, width = self.ways.shape[1:]
        sums = np.column_stack([np.bincount(self.households, column, count) for column in self.rewards.T])
        return np.einsum("whka,k,ha->hw", self.known, self.seen, sums.reshape(count, width))

    def value(self, way: NDArray) -> float:
        """Return the true mean reward of a visit of (households,) ways."""
        return float(self.worth()[np.arange(len(way)), way].sum() / len(self.rewards))

    def policy(self, live: NDArray, gain: float, seed: int) -> NDArray:
        """Return (households,) ways that are truly better (or worse) than the live ones by a share.

        As `replays.Visits.policy`: every household's page is turned to any way at random, and to the best (or
        worst) for as many as the gain asks for. None where no such policy is so good or bad.
        """
        rng = np.random.default_rng(seed)
        count, each = self.ways.shape[1], np.arange(self.ways.shape[1])
        worth = self.worth()
        chosen = rng.integers(ALIKE + 1, ALIKE + 1 + ANY_WAYS, count)
        wanted = (1 + gain) * worth[each, live].sum() - worth[each, chosen].sum()
        end = BEST if wanted > 0 else WORST
        moves = np.abs(worth[:, end] - worth[each, chosen])
        order = rng.permutation(count)
        reached = np.cumsum(moves[order])
        if abs(wanted) > reached[-1]:
            raise ValueError(f"no such policy is {gain:+.0%} better")
        chosen[order[: int(np.searchsorted(reached, abs(wanted))) + 1]] = end
        return chosen


def page_of(seed: int, households: int = 300, days: int = 20, daily: int = 100) -> Page:
    """Make a page of its own: 8 widgets, 4 positions; households have tastes, and come back."""
    rng = np.random.default_rng(seed)
    appeal = rng.normal(-0.5, 0.5, 8) + rng.normal(0, 0.8, (households, 8))
    who = rng.choice(households, days * daily, p=rng.dirichlet([2.0] * households))
    chance = 1 / (1 + np.exp(-appeal[who]))
    drawn = rng.random(chance.shape)
    rewards = np.where(drawn < chance / 2, 3.0, np.where(drawn < chance, 1.0, 0.0))
    return Page.of(rewards, who, np.repeat(np.arange(days), daily), 4, DrawRule(0.15, 0.02))


def gather(page: Page, live: NDArray, candidates: Mapping[str, NDArray], seed: int) -> dict[str, Summed]:
    """Draw a log by the live ways and gather what the gate looks at after the last night."""
    (last,) = deque(nights(page, live, candidates, seed, live, GOALS[:1]), maxlen=1)
    return last


def nights(
    page: Page,
    live: NDArray,
    candidates: Mapping[str, NDArray],
    seed: int,
    logging: NDArray,
    goals: Sequence[str] = GOALS,
) -> Iterator[dict[str, Summed]]:
    """Draw a log by (households,) ways `logging`, and yield what the gate looks at, as the nightly jobs do.

    The model of a day is each widget's mean reward on the days before, shrunk to their mean, and the chance
    that a position is seen is that of the day before.
    """
    rng = np.random.default_rng(seed)
    n, width = page.rewards.shape
    values, everyone = page.ways[logging, np.arange(len(live))][page.households], np.ones((n, width), bool)
    uniforms = rng.uniform(1e-9, 1 - 1e-9, (n, page.positions))
    slates, drawn = draw(values, everyone, positions=page.positions, uniforms=uniforms, **asdict(page.rule))
    seen = rng.random((n, 1)) < page.seen
    rewards = np.where(seen, np.take_along_axis(page.rewards, slates, axis=1), 0.0)
    log = (slates, drawn.astype(float), seen, rewards)
    models = [_model(page, log, day) for day in range(int(page.days.max()) + 1)]
    of_live = _judged(page, live, log, models, goals)
    could = {str(widget): np.ones(n, bool) for widget in range(width)}
    logged = Logged(
        slates[:, 0].astype(str), log[1][:, 0], np.full(n, "logging"), could, page.households, page.days
    )
    by_name = {
        name: after_each_day(
            _judged(page, way, log, models, goals),
            of_live,
            logged,
            days=page.days,
            count=len(models),
            first={},
        )
        for name, way in candidates.items()
    }
    for _ in models:
        yield {name: next(summaries).facts(goals) for name, summaries in by_name.items()}


def _model(page: Page, log: tuple[NDArray, ...], day: int) -> tuple[NDArray, NDArray]:
    """(k,) mean rewards of widgets seen before a day, (K,) how often positions were seen the day before."""
    slates, _, seen, rewards = log
    before, width = page.days < day, page.rewards.shape[1]
    shown = slates[before][seen[before]]
    counts = np.bincount(shown, minlength=width)
    sums = np.bincount(shown, weights=rewards[before][seen[before]], minlength=width)
    overall = sums.sum() / max(counts.sum(), 1)
    looks = seen[page.days == day - 1].mean(axis=0) if day else np.ones(page.positions)
    return (sums + PRIOR_ROWS * overall) / (counts + PRIOR_ROWS), looks


def _judged(
    page: Page,
    way: NDArray,
    log: tuple[NDArray, ...],
    models: Sequence[tuple[NDArray, NDArray]],
    goals: Sequence[str],
) -> Judged:
    slates, propensities, seen, rewards = log
    mine = page.simulated[way, np.arange(len(way))]
    values = page.ways[way, np.arange(len(way))][page.households]
    probabilities = slate_propensities(values, np.ones(values.shape, bool), slates, **asdict(page.rule))
    earned = {goal: values for goal, values in goals_of(rewards).items() if goal in goals}
    whole = Judged(propensities, probabilities.astype(float), earned, page.households, seen=seen)
    parts = []
    for day, (means, looks) in enumerate(models):
        rows = np.flatnonzero(page.days == day)
        wide = np.tile(means, (len(rows), 1))
        predicted, expected = along_prefixes(values[rows], slates[rows], page.rule, wide, looks)
        shown = of_logged(of_marginals(mine[page.households[rows]], looks), slates[rows], looks, wide)
        own = whole.rows(rows)
        parts.append(replace(own, predicted=predicted, expected=expected, exposures=shown))
    return Judged.joined(parts)
