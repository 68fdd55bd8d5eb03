"""The gate's calibration: 200 replays of 8 weeks of the demo, pages `start` and `home`, four live policies.

The reward of every widget at every visit is known, and so which candidate is truly better. Each replay draws
a log by a live policy and judges five candidates at once, which show every household one action, or rank a
page for it in one way.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from jobs.config import home
from jobs.demo import replay, source
from ml.draw import DrawRule
from ml.ope.gate import Rules, Verdict, judge
from tests.bench.measure import Row
from tests.ml.ope import replays as of_actions
from tests.ml.ope import slate_replays as of_slates
from tests.ml.ope.replays import FLOOR, Visits, greedy
from tests.ml.ope.slate_replays import ALIKE, COMMON, Page

REPLAYS = 200
DAYS = range(229, 285)
GAINS = (0.2, 0.1, -0.01, -0.05, -0.2)
RULES = Rules(planned_rows=5_000)
RULE = DrawRule(replay.TEMPERATURE, 0.01)
"""How the demo's log of page home was drawn."""

Judge = Callable[[int], Mapping[float, Verdict]]


def run(replays: int = REPLAYS, days: range = DAYS) -> list[Row]:
    """Judge all replays of both pages; count what went live, by what it is truly worth."""
    known = replay.rewards(source.clean(source.load(home() / "source" / source.WHEEL)), days)
    return [
        *counted("start", replays, start(known, days)),
        *counted("home", replays, of_home(known, days)),
    ]


def counted(page: str, replays: int, judged: Judge) -> list[Row]:
    """Count the verdicts of a page's replays by the candidates' true gain."""
    seen, passed, until = dict.fromkeys(GAINS, 0), dict.fromkeys(GAINS, 0), []
    for number in range(replays):
        for gain, verdict in judged(number).items():
            seen[gain] += 1
            passed[gain] += verdict.answer == "yes"
            if gain == GAINS[0] and verdict.answer == "yes":
                until.append(next(n for n, look in enumerate(verdict.looks, 1) if look.lower > RULES.margin))
    worse, live = sum(count for gain, count in passed.items() if gain < 0), sum(passed.values())
    row = partial(Row, size=replays)
    return [
        row(f"{page}: go-lives that are truly worse", unit="% (at most 5)", ours=100 * worse / max(live, 1)),
        *(
            row(
                f"{page}: specs truly {gain:+.0%} that go live",
                unit="%",
                ours=100 * passed[gain] / seen[gain],
            )
            for gain in GAINS
            if seen[gain]
        ),
        row(
            f"{page}: nights until a spec truly {GAINS[0]:+.0%} goes live",
            unit="median",
            ours=statistics.median(until) if until else float("nan"),
        ),
    ]


def start(known: replay.Rewards, days: range) -> Judge:
    """Return what judges replays of start: live are uniform, the demo's, the best constant, a better."""
    households = np.unique(known.household, return_inverse=True)[1]
    given = Visits(known.start.astype(np.float64), households, known.day - days.start)
    width = given.rewards.shape[1]
    own = FLOOR + (1 - FLOOR * width) * replay.softmax(known.start_scores / replay.TEMPERATURE)
    best = greedy(np.full(len(own), int(given.rewards.mean(axis=0).argmax())), width)
    strengths = [np.full(own.shape, 1 / width), own, best, given.policy(best, 0.05, seed=1)]

    def judged(number: int) -> dict[float, Verdict]:
        live = strengths[number % len(strengths)]
        candidates = dict(possible(given, live, number))
        return _by_gain(of_actions.gather(given, live, candidates, seed=number))

    return judged


def of_home(known: replay.Rewards, days: range) -> Judge:
    """Return what judges replays of home: live are uniform, the demo's (by household), the best, a better."""
    households = np.unique(known.household, return_inverse=True)[1]
    count = int(households.max()) + 1
    visits = np.bincount(households, minlength=count)[:, None]
    own = np.column_stack([np.bincount(households, column, count) for column in known.home_scores.T]) / visits
    page = Page.of(
        known.home.astype(np.float64), households, known.day - days.start, replay.HOME_POSITIONS, RULE, own
    )
    alike, best, logging = (np.full(count, way) for way in (ALIKE, COMMON, len(page.ways) - 1))
    strengths = [alike, logging, best, page.policy(best, 0.05, seed=1)]

    def judged(number: int) -> dict[float, Verdict]:
        live = strengths[number % len(strengths)]
        candidates = dict(possible(page, live, number))
        return _by_gain(of_slates.gather(page, live, candidates, seed=number))

    return judged


def possible(given: Visits | Page, live: NDArray, number: int) -> Iterator[tuple[str, NDArray]]:
    """Yield the gains that a policy by household can have over a live one, each with such a policy."""
    for gain in GAINS:
        try:
            yield str(gain), given.policy(live, gain, seed=number)
        except ValueError:
            continue


def _by_gain(
    evidence: Mapping[str, of_actions.Evidence] | Mapping[str, of_slates.Summed],
) -> dict[float, Verdict]:
    return {float(name): verdict for name, verdict in judge(evidence, RULES).items()}
