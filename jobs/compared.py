"""What the gate compares: a page's candidates and its live policy, on the servings that both were judged at.

A serving counts from the night on by which all that may come of it has come (`Config.reward_hours`): a night
looks at rewards that are whole, and what is younger comes into the next night's look.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import numpy as np
from pyspark.sql import DataFrame

from jobs.config import Page, Policy
from jobs.servings import Servings, Wanted, summarised
from ml.ope.summarise import after_each_day
from ml.ope.summary import Summary


@dataclass(frozen=True)
class Pair:
    """A candidate and the live policy, compared from a day on."""

    page: str
    candidate: str
    live: str
    first: date


def pairs_of(
    page: Page,
    specs: Mapping[str, Policy],
    entered: Mapping[str, date],
    incumbent: str,
    since: date | None,
    last: date,
) -> Iterator[Pair]:
    """Pair every candidate of a page with the incumbent, which is live since a night (None: from the start).

    entered : by spec the first day it was judged on.
    """
    for name, spec in sorted(specs.items()):
        if spec.page != page.page or name == incumbent or not {name, incumbent} <= entered.keys():
            continue
        first = max(entered[name], entered[incumbent], *([since + timedelta(1)] if since else []))
        if first <= last:
            yield Pair(page.page, name, incumbent, first)


def summaries(
    buckets: DataFrame,
    pairs: Sequence[Pair],
    days: Sequence[date],
    zone: str,
    hours: int,
    more: tuple[str, ...] = (),
) -> dict[str, dict[date, Summary]]:
    """Return by candidate and night what is known of it and the live policy, over files of judgements.

    more : goals beside those that are always valued.
    """
    if not pairs:
        return {}
    names = sorted({name for pair in pairs for name in (pair.candidate, pair.live)})
    wanted = Wanted(tuple(names), min(pair.first for pair in pairs), more)
    work = partial(_summaries, pairs=list(pairs), days=list(days), zone=zone, hours=hours)
    found: dict[str, dict[date, Summary]] = {}
    for (_, (name, day)), summary in summarised(buckets, work, wanted).items():
        found.setdefault(name, {})[day] = summary
    return found


def _summaries(
    page: str,
    by_spec: Mapping[str, Servings],
    *,
    pairs: Sequence[Pair],
    days: Sequence[date],
    zone: str,
    hours: int,
) -> Iterator[tuple[tuple[str, date], Summary]]:
    for pair in pairs:
        if pair.page != page or pair.candidate not in by_spec or pair.live not in by_spec:
            continue
        one, other = by_spec[pair.candidate], by_spec[pair.live]
        _, mine, theirs = np.intersect1d(one.decisions, other.decisions, return_indices=True)
        mine, theirs = (part[one.days[mine] >= np.datetime64(pair.first)] for part in (mine, theirs))
        nights = one.nights(zone, hours)[mine]
        within = (nights >= np.datetime64(pair.first)) & (nights <= np.datetime64(days[-1]))
        if not within.any():
            continue
        candidate, live = one.rows(mine[within]), other.rows(theirs[within])
        codes = (nights[within] - np.datetime64(pair.first)).astype(np.int64)
        found = after_each_day(
            candidate.judged,
            live.judged,
            candidate.logged(),
            days=codes,
            count=(days[-1] - pair.first).days + 1,
            first=candidate.first(),
        )
        for place, summary in enumerate(found):
            day = pair.first + timedelta(place)
            if day in days and place >= codes.min():
                yield (pair.candidate, day), summary
