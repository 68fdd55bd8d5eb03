"""The gate's calibration: 200 replays of 8 weeks of the demo's page `start`, live policies of four strengths.

The reward of every action at every visit is known, and so which candidate is truly better. Each replay draws
a log by a live policy and judges five candidates at once, which show every household one action.
"""

import statistics
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from jobs.config import home
from jobs.demo import replay, source
from ml.ope.gate import Rules, judge
from tests.bench.measure import Row
from tests.ml.ope.replays import FLOOR, Visits, gather, greedy

REPLAYS = 200
DAYS = range(229, 285)
GAINS = (0.2, 0.1, -0.01, -0.05, -0.2)
RULES = Rules(planned_rows=5_000)


def run(replays: int = REPLAYS, days: range = DAYS) -> list[Row]:
    """Judge all replays; count what went live, by what it is truly worth."""
    given, strengths = demo(days)
    judged, passed, until = dict.fromkeys(GAINS, 0), dict.fromkeys(GAINS, 0), []
    for number in range(replays):
        live = strengths[number % len(strengths)]
        candidates = dict(possible(given, live, number))
        evidence = gather(
            given, live, {str(gain): policy for gain, policy in candidates.items()}, seed=number
        )
        for name, verdict in judge(evidence, RULES).items():
            gain = float(name)
            judged[gain] += 1
            passed[gain] += verdict.answer == "yes"
            if gain == GAINS[0] and verdict.answer == "yes":
                until.append(next(n for n, look in enumerate(verdict.looks, 1) if look.lower > RULES.margin))
    worse = sum(count for gain, count in passed.items() if gain < 0)
    row = partial(Row, size=replays)
    return [
        row("go-lives that are truly worse", unit="% (at most 5)", ours=100 * worse / sum(passed.values())),
        *(
            row(f"specs truly {gain:+.0%} that go live", unit="%", ours=100 * passed[gain] / judged[gain])
            for gain in GAINS
        ),
        row(
            f"nights until a spec truly {GAINS[0]:+.0%} goes live",
            unit="median",
            ours=statistics.median(until),
        ),
    ]


def demo(days: range) -> tuple[Visits, list[NDArray]]:
    """Return the demo's visits and live policies: uniform, its own, the best constant, and a better one."""
    baskets = source.clean(source.load(home() / "source" / source.WHEEL))
    known = replay.rewards(baskets, days)
    households = np.unique(known.household, return_inverse=True)[1]
    given = Visits(known.start.astype(np.float64), households, known.day - days.start)
    width = given.rewards.shape[1]
    own = FLOOR + (1 - FLOOR * width) * replay.softmax(known.start_scores / replay.TEMPERATURE)
    best = greedy(np.full(len(own), int(given.rewards.mean(axis=0).argmax())), width)
    return given, [np.full(own.shape, 1 / width), own, best, given.policy(best, 0.05, seed=1)]


def possible(given: Visits, live: NDArray, number: int) -> Iterator[tuple[float, NDArray]]:
    """Yield the gains that a policy by household can have over a live one, each with such a policy."""
    for gain in GAINS:
        try:
            yield gain, given.policy(live, gain, seed=number)
        except AssertionError:
            continue
