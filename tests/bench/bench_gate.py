"""The gate's calibration: 200 replays of 8 weeks of the demo, pages start and home, by the rules of conf/.

The reward of every widget at every visit is known, and so which candidate is truly better. Each replay draws
a log, by the live policy or by another, and judges five candidates at once, night after night; they show
every household one action, or rank a page for it in one way. A candidate goes live on the first night on
which the gate says yes.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from jobs.config import home, load
from jobs.deciding import rules_of
from jobs.demo import replay, source
from ml.draw import DrawRule
from ml.ope.gate import judge
from ml.ope.summary import Summed
from tests.bench.measure import Row
from tests.ml.ope import replays as of_actions
from tests.ml.ope import slate_replays as of_slates
from tests.ml.ope.replays import FLOOR, Visits, greedy
from tests.ml.ope.slate_replays import ALIKE, COMMON, Page

REPLAYS = 200
DAYS = range(229, 285)
GAINS = (0.2, 0.1, 0.0, -0.01, -0.05, -0.2)
BETTER = 0.2
RULE = DrawRule(replay.TEMPERATURE, 0.01)
"""How the demo's log of page home was drawn."""

Strength = tuple[NDArray, NDArray]
"""A live policy, and the one that draws the log."""
Nights = Callable[[int], Iterator[Mapping[float, Summed]]]


def run(replays: int = REPLAYS, days: range = DAYS) -> list[Row]:
    """Judge all replays of both pages; count what went live, by what it is truly worth."""
    known = replay.rewards(source.clean(source.load(home() / "source" / source.WHEEL)), days)
    return [
        *counted("start", replays, *start(known, days)),
        *counted("home", replays, *of_home(known, days)),
    ]


def counted(page: str, replays: int, nights: Nights, is_own: list[bool]) -> list[Row]:
    """Count a page's go-lives by the candidates' true gain, and by whether live policies drew their logs."""
    rules = rules_of(load().gate)
    seen, passed = ({(gain, own): 0 for gain in GAINS for own in (True, False)} for _ in range(2))
    until: list[int] = []
    for number in range(replays):
        own, went = is_own[number % len(is_own)], dict[float, int]()
        for night, facts in enumerate(nights(number), 1):
            verdicts = judge({str(gain): each for gain, each in facts.items()}, rules)
            went |= {
                gain: night for gain in facts if gain not in went and verdicts[str(gain)].answer == "yes"
            }
        for gain in facts:
            seen[gain, own] += 1
            passed[gain, own] += gain in went
        until += [went[BETTER]] if BETTER in went else []
    live = sum(count for (gain, _), count in passed.items() if gain != 0)
    worse = sum(count for (gain, _), count in passed.items() if gain < 0)
    row = partial(Row, size=replays)
    logs = {True: "the live policy's log", False: "another's log"}
    return [
        row(f"{page}: go-lives that are truly worse", unit="% (at most 5)", ours=100 * worse / max(live, 1)),
        *(
            row(
                f"{page}, {logs[own]}: specs truly {gain:+.0%} that go live",
                unit="%",
                ours=100 * passed[gain, own] / seen[gain, own],
            )
            for own in logs
            for gain in GAINS
            if seen[gain, own]
        ),
        row(
            f"{page}: nights until a spec truly {BETTER:+.0%} goes live",
            unit="median",
            ours=statistics.median(until) if until else float("nan"),
        ),
    ]


def start(known: replay.Rewards, days: range) -> tuple[Nights, list[bool]]:
    """Return what replays start, and which logs live policies draw.

    Live are uniform, the demo's, the best constant, a better, each in its own log; the best constant in the
    demo's log, as in the demo's first weeks; another constant in the log of the best, which seldom shows it.
    """
    households = np.unique(known.household, return_inverse=True)[1]
    given = Visits(known.start.astype(np.float64), households, known.day - days.start)
    width = given.rewards.shape[1]
    own = FLOOR + (1 - FLOOR * width) * replay.softmax(known.start_scores / replay.TEMPERATURE)
    order = given.rewards.mean(axis=0).argsort()
    best, second = (greedy(np.full(len(own), int(order[place])), width) for place in (-1, -2))
    alone = [np.full(own.shape, 1 / width), own, best, given.policy(best, 0.05, seed=1)]
    strengths = [*((each, each) for each in alone), (best, own), (second, best)]
    return partial(_nights, given, of_actions.nights, strengths), [live is log for live, log in strengths]


def of_home(known: replay.Rewards, days: range) -> tuple[Nights, list[bool]]:
    """Return what replays home, and which logs live policies draw.

    Live are uniform, the demo's (by household), the best, a better, each in its own log; the best in the
    demo's log; the demo's in a uniform log.
    """
    households = np.unique(known.household, return_inverse=True)[1]
    count = int(households.max()) + 1
    visits = np.bincount(households, minlength=count)[:, None]
    own = np.column_stack([np.bincount(households, column, count) for column in known.home_scores.T]) / visits
    page = Page.of(
        known.home.astype(np.float64), households, known.day - days.start, replay.HOME_POSITIONS, RULE, own
    )
    alike, best, logging = (np.full(count, way) for way in (ALIKE, COMMON, len(page.ways) - 1))
    alone = [alike, logging, best, page.policy(best, 0.05, seed=1)]
    strengths = [*((each, each) for each in alone), (best, logging), (logging, alike)]
    return partial(_nights, page, of_slates.nights, strengths), [live is log for live, log in strengths]


def _nights(
    given: Visits | Page, draw: Callable[..., Iterator], strengths: list[Strength], number: int
) -> Iterator[Mapping[float, Summed]]:
    """Yield by true gain, night after night, what is known of a replay's candidates."""
    live, log = strengths[number % len(strengths)]
    candidates = dict(possible(given, live, number))
    for facts in draw(given, live, candidates, number, log):
        yield {float(name): each for name, each in facts.items()}


def possible(given: Visits | Page, live: NDArray, number: int) -> Iterator[tuple[str, NDArray]]:
    """Yield the gains that a policy by household can have over a live one, each with such a policy."""
    for gain in GAINS:
        try:
            yield str(gain), given.policy(live, gain, seed=number)
        except ValueError:
            continue
