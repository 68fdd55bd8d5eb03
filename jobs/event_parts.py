"""Events of a day and part: copies merged, repeats left out, bots marked, in Arrow and NumPy.

Grain: one event. A part holds all that some devices did, so a day of it needs no other rows but its edge:
what happened there in the last minutes of the day before.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs import bots, copies, pieces
from jobs.bots import Flags
from jobs.config import BotRules
from jobs.pieces import Ints
from jobs.sources import hits, schemas
from jobs.sources.hits import QUARTER

EPOCH = date(1970, 1, 1).toordinal()
SECOND = 10**6
LAST_QUARTER = (hits.LAST_MICROSECOND - 24 * 3600 * SECOND) // QUARTER
NEVER = -(2**40)
COLUMNS = {
    **{name: kind for name, kind in hits.COLUMNS.items() if name != "source"},
    "sources": "array<string>",
    "event_date": "date",
    "bot_rule": "string",
    "_day": "date",
}
ARROW = schemas.arrow(COLUMNS)
IN_FUTURE = "an event cannot come from the future"
TOO_LATE = "an event must not come later than late_days"
UNKNOWN_WIDGET = "an event's widgets must be in widgets"
SAID = (None, IN_FUTURE, TOO_LATE, UNKNOWN_WIDGET)


@dataclass(frozen=True)
class Rules:
    """What conf/ says of events, as plain values that travel to the tasks."""

    days: tuple[date, ...]
    zone: str
    late_days: int
    copy_minutes: int
    parts: int
    sources: tuple[str, ...]
    tags: tuple[str, ...]  # those of them that know less of an event than the others
    bots: BotRules


def last_minutes(day: date, rules: Rules) -> tuple[int, int]:
    """The last `copy_minutes` of a business day, as microseconds since 1970: from, up to."""
    after = day + timedelta(1)
    midnight = datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(rules.zone))
    at = int(midnight.timestamp()) * SECOND
    return at - rules.copy_minutes * 60 * SECOND, at


class _Dated(NamedTuple):
    """When hits happened, in microseconds, on which business day, and when they came: days since 1970."""

    at: Ints
    day: Ints
    arrival: Ints
    is_timely: Flags

    @classmethod
    def of(cls, rows: pa.RecordBatch, rules: Rules) -> "_Dated":
        at, arrival = (copies.integers(rows[name], NEVER) for name in ("event_at", "arrival_date"))
        day = _business_days(at, rules.zone)
        can_be = (day <= arrival) & (arrival <= day + rules.late_days)
        return cls(at, day, arrival, can_be & _flags(pc.is_null(rows["_reason"])))


def place(rules: Rules) -> pieces.Place:
    """Return what places hits: on their own day where they came in time for it, else on that of arrival.

    So untimely rows belong to the day they arrived, however days are run together. What happened in the last
    minutes of a day goes to the next one too. Rows of other days go nowhere.
    """
    wanted = np.array(sorted(day.toordinal() - EPOCH for day in rules.days))

    def placed(rows: pa.RecordBatch) -> tuple[Ints, Ints, Ints]:
        dated = _Dated.of(rows, rules)
        day = np.where(dated.is_timely, dated.day, dated.arrival)
        numbers, owners = copies.codes(_owners(rows))
        part = np.array([crc32(owner.encode()) % rules.parts for owner in owners.to_pylist()], np.int64)
        own = np.flatnonzero(np.isin(day, wanted))
        at_edge = dated.is_timely & np.isin(day + 1, wanted)
        at_edge[at_edge] = dated.at[at_edge] >= _edges(day[at_edge], rules)
        edge = np.flatnonzero(at_edge)
        rows_there = np.concatenate((own, edge))
        return rows_there, np.concatenate((day[own], day[edge] + 1)), part[numbers[rows_there]]

    return placed


def build(rules: Rules) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return what turns sorted pieces, each with the widgets `known` on its day, into events."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for about, rows in pieces.whole(batches):
            yield of_part(rows, about["day"], about["known"] or [], rules)

    return run


def of_part(rows: pa.RecordBatch, day: date, known: Sequence[str], rules: Rules) -> pa.RecordBatch:
    """Make the events of a day and part; `known` are the day's widgets."""
    dated = _Dated.of(rows, rules)
    owner, owners = copies.codes(_owners(rows))
    # In the order of their ids, in which files are written: what is sorted in runs is sorted soon.
    event = copies.ranks(rows["event_id"]) * len(owners) + owner
    # A copy at the end of the day before stands, and the day's own are repeats.
    is_edge = dated.is_timely & (dated.day != day.toordinal() - EPOCH)
    is_repeat = dated.is_timely & np.isin(event, event[is_edge])
    # Of one event, what came in time and what did not are of different days.
    days, of_day = np.unique(dated.day, return_inverse=True)
    numbers = np.where(is_repeat, copies.LEFT_OUT, event * len(days) + of_day)
    once = copies.merged(rows, numbers, rules.sources, rules.tags)
    return _judged(once, day, known, rules)


def _judged(events: pa.RecordBatch, day: date, known: Sequence[str], rules: Rules) -> pa.RecordBatch:
    """Say what cannot be, and mark bots."""
    dated = _Dated.of(events, rules)
    cannot_be = (dated.day == NEVER, dated.day > dated.arrival, ~dated.is_timely, _is_unknown(events, known))
    said = pa.array(SAID).take(pa.array(np.select(cannot_be, (0, 1, 2, 3), 0)))
    reason = pc.coalesce(events["_reason"], said)
    owner, owners = copies.codes(_owners(events))
    counted = np.flatnonzero(_flags(pc.is_null(reason)))
    broken = bots.rules_broken(
        owner[counted],
        dated.at[counted],
        is_page=_flags(pc.equal(events["event_name"], "page_view"))[counted],
        is_agent=_flags(pc.fill_null(events["is_bot"], False))[counted],
        owners=len(owners),
        rules=rules.bots,
    )[owner]
    is_today = dated.day == day.toordinal() - EPOCH
    rule = np.where(is_today & _flags(pc.is_valid(events["device"])), broken, -1)
    made = {
        "event_date": pa.array(dated.day, mask=dated.day == NEVER).cast(pa.int32()).cast(pa.date32()),
        "is_bot": pa.array(rule >= 0),
        "bot_rule": pa.array(bots.NAMES).take(pa.array(rule, mask=rule < 0)),
        "_reason": reason,
        "_day": pa.repeat(pa.scalar(day, pa.date32()), events.num_rows),
    }
    return pa.RecordBatch.from_arrays(
        [made[name] if name in made else events[name] for name in COLUMNS], schema=ARROW
    )


def _owners(rows: pa.RecordBatch) -> pa.Array:
    """Whose an event is: the device's; without one, its own."""
    return pc.coalesce(rows["device"], rows["event_id"])


def _is_unknown(events: pa.RecordBatch, known: Sequence[str]) -> Flags:
    """Whether an event names a widget that is none of the known."""
    listed = pa.array(known, pa.string())
    alone = events["widget"]
    unknown = _flags(pc.and_(pc.is_valid(alone), pc.invert(pc.is_in(alone, listed))))
    among = pc.invert(pc.is_in(events["widgets"].flatten(), listed))
    unknown[pc.list_parent_indices(events["widgets"]).filter(among).to_numpy()] = True
    return unknown


def _business_days(at: Ints, zone: str) -> Ints:
    """Business day of each instant; NEVER of none."""
    quarters, of = np.unique(at // QUARTER, return_inverse=True)
    local = ZoneInfo(zone)
    days = [
        NEVER
        if quarter < 0
        else datetime.fromtimestamp(min(quarter, LAST_QUARTER) * QUARTER // SECOND, local).toordinal() - EPOCH
        for quarter in quarters.tolist()
    ]
    return np.array(days, np.int64)[of]


def _edges(days: Ints, rules: Rules) -> Ints:
    """From which instant on an event is at the edge of its day."""
    distinct, of = np.unique(days, return_inverse=True)
    ends = [last_minutes(date.fromordinal(day + EPOCH), rules) for day in distinct.tolist()]
    return np.array([begin for begin, _ in ends], np.int64)[of]


def _flags(column: pa.Array) -> Flags:
    # A copy, since what Arrow lends must not be changed.
    return np.array(column.to_numpy(zero_copy_only=False), bool)
