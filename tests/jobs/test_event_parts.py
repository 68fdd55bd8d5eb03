"""Events of a part are what plain loops over its hits make, however the hits were cut and mixed."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs import bots, copies, event_parts, pieces
from jobs.config import BotRules
from jobs.event_parts import Rules
from jobs.sources import hits
from tests.jobs.given import day_of, local

Row = dict[str, Any]

ONE = timedelta(1)
DAY = date(2017, 11, 5)  # clocks go back
DAYS = [DAY - ONE, DAY, DAY + ONE]
LATE_DAYS = 1
MINUTES = 60
LIMITS = BotRules(agents=["bot"], events_per_day=4, events_per_minute=3, pages_per_minute=2, pages_alone=2)
KNOWN = ["v", "w"]


def rules(days: Sequence[date], parts: int = 3) -> Rules:
    return Rules(
        tuple(days), "America/New_York", LATE_DAYS, MINUTES, parts, ("tags", "telemetry"), ("tags",), LIMITS
    )


def hit(**known: Any) -> Row:
    return {name: known.get(name) for name in hits.FIELDS}


INSTANTS = [
    local(text)
    for text in (
        "2017-11-03 23:59:59", "2017-11-04 23:00:00", "2017-11-04 22:59:59", "2017-11-04 23:59:59",
        "2017-11-05 00:00:00", "2017-11-05 01:30:00", "2017-11-05 01:30:00*", "2017-11-05 01:30:10",
        "2017-11-05 23:59:59", "2017-11-06 00:00:00", "2017-11-07 12:00:00",
    )
]  # fmt: skip
SEEN = st.builds(
    hit,
    event_id=st.sampled_from(["a", "b", "c", "d", "e", "f"]),
    event_name=st.sampled_from(["page_view", "page_view", "widget_seen"]),
    event_at=st.sampled_from(INSTANTS),
    arrival_date=st.sampled_from(DAYS),
    device=st.sampled_from(["d1", "d2", None]),
    subject=st.just("s"),
    source=st.sampled_from(["telemetry", "tags"]),
    page=st.sampled_from([None, "home", "start"]),
    widget=st.sampled_from([None, None, "v", "unknown"]),
    widgets=st.sampled_from([None, None, [], ["w", "v"], ["w", "unknown"]]),
    propensities=st.sampled_from([None, [0.5], [0.5, 0.25]]),
    is_bot=st.sampled_from([False, False, False, True]),
    _file=st.sampled_from(["x", "y"]),
)
BROKEN = st.builds(
    hit,
    event_id=st.integers(0, 99).map("x:{}:0".format),
    arrival_date=st.sampled_from(DAYS),
    source=st.just("telemetry"),
    _reason=st.just("line is not JSON"),
    _offset=st.integers(1, 9),
)


def untimely(row: Row) -> str | None:
    if row["_reason"]:
        return str(row["_reason"])
    day = day_of(row["event_at"])
    if day > row["arrival_date"]:
        return "an event cannot come from the future"
    too_late = row["arrival_date"] > day + LATE_DAYS * ONE
    return "an event must not come later than late_days" if too_late else None


def expected(rows: Sequence[Row], day: date) -> list[Row]:
    """Make the events of a day by plain loops."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    at_edge = set()
    for row in rows:
        own_day = row["event_at"] and day_of(row["event_at"])
        event = row["device"] or row["event_id"], row["event_id"]
        reason = untimely(row)
        midnight = local(f"{day} 00:00:00")
        if (
            reason is None
            and own_day == day - ONE
            and row["event_at"] >= midnight - timedelta(minutes=MINUTES)
        ):
            at_edge.add(event)
        if (row["arrival_date"] if reason else own_day) == day:
            groups.setdefault((*event, own_day, reason), []).append(row)
    made = [
        {
            **min(copies, key=order),
            "sources": sorted({copy["source"] for copy in copies}),
            "arrival_date": min(copy["arrival_date"] for copy in copies),
            "agent": any(copy["is_bot"] for copy in copies),
            "event_date": own_day,
            "_reason": reason or (unknown(min(copies, key=order))),
            "_day": day,
            "owner": owner,
        }
        for (owner, event_id, own_day, reason), copies in groups.items()
        if reason or (owner, event_id) not in at_edge
    ]
    for event in made:
        of_owner = [one for one in made if one["owner"] == event["owner"] and one["_reason"] is None]
        is_marked = event["device"] is not None and event["event_date"] == day
        event["bot_rule"] = rule(of_owner) if is_marked else None
        event["is_bot"] = event["bot_rule"] is not None
    return [{name: event[name] for name in event_parts.COLUMNS} for event in made]


def order(row: Row) -> list[Any]:
    others = [row[name] for name in hits.FIELDS if name not in ("event_id", "arrival_date")]
    keys = [row["source"] == "tags", row["arrival_date"], *others]
    return [(key is not None, key) for key in keys]


def unknown(row: Row) -> str | None:
    named = {*(row["widgets"] or ()), *([row["widget"]] if row["widget"] else ())}
    return None if named <= {*KNOWN} else "an event's widgets must be in widgets"


def rule(events: Sequence[Row]) -> str | None:
    pages = [event for event in events if event["event_name"] == "page_view"]
    most = [
        max(Counter(one["event_at"].replace(second=0, microsecond=0) for one in of).values(), default=0)
        for of in (events, pages)
    ]
    broken = {
        "agent": any(event["agent"] for event in events),
        "events_per_day": len(events) > LIMITS.events_per_day,
        "events_per_minute": most[0] > LIMITS.events_per_minute,
        "pages_per_minute": most[1] > LIMITS.pages_per_minute,
        "pages_alone": len(pages) > LIMITS.pages_alone and len(pages) == len(events),
    }
    return next((name for name, is_broken in broken.items() if is_broken), None)


def made(rows: Sequence[Row], days: Sequence[date], at_once: int, parts: int) -> list[Row]:
    """Make the events of some days as the job does, without the engine between."""
    batches = pa.Table.from_pylist(list(rows), hits.ARROW).to_batches(max_chunksize=at_once)
    asked = rules(days, parts)
    cut = [piece for batch in batches for piece in pieces.cut(iter([batch]), event_parts.place(asked))]
    if not cut:
        return []
    beside = pa.Table.from_batches(cut).sort_by([("day", "ascending"), ("part", "ascending")])
    beside = beside.append_column("known", pa.array([KNOWN] * beside.num_rows))
    found = event_parts.build(asked)(iter(beside.to_batches(max_chunksize=2)))
    return [row for batch in found for row in batch.to_pylist()]


def in_order(rows: Sequence[Row]) -> list[str]:
    return sorted(str([(name, shown(row[name])) for name in sorted(row)]) for row in rows)


def shown(value: Any) -> Any:
    return value.timestamp() if isinstance(value, datetime) else value


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.one_of(SEEN, SEEN, SEEN, BROKEN), max_size=30),
    at_once=st.integers(1, 30),
    parts=st.integers(1, 4),
    compared=st.sampled_from([1, 3, copies.COMPARED]),
)
def test_events_are_what_plain_loops_make_of_each_day(
    rows: list[Row], at_once: int, parts: int, compared: int
) -> None:
    broken = {row["event_id"]: row for row in rows if row["_reason"]}  # a place in a file is broken once
    rows = [row for row in rows if not row["_reason"]] + list(broken.values())
    wanted = [event for day in DAYS for event in expected(rows, day)]
    with patch.object(copies, "COMPARED", compared):
        assert in_order(made(rows, DAYS, at_once, parts)) == in_order(wanted)
        alone = [event for day in DAYS for event in made(rows, [day], at_once, parts)]
    assert in_order(alone) == in_order(wanted)


@pytest.mark.parametrize("compared", [1, 2, 7, 10**6])
def test_of_a_file_that_came_twice_the_least_copy_of_each_event_stands(
    monkeypatch: pytest.MonkeyPatch, compared: int
) -> None:
    monkeypatch.setattr(copies, "COMPARED", compared)
    at = local("2017-11-05 12:00:00")
    known = {"event_at": at, "event_name": "page_view", "arrival_date": DAY, "source": "tags"}
    rows = [
        hit(event_id=f"e{n:03}", device="d", page=f"p{(n + copy) % 3}", **known)
        for copy in range(2)
        for n in range(300)
    ]
    rows += [hit(event_id="e300", device="d", page=f"p{9 - n}", **known) for n in range(10)]
    found = [(row["event_id"], row["page"]) for row in made(rows, [DAY], 1000, 1)]
    assert found == [*[(f"e{n:03}", "p1" if n % 3 == 1 else "p0") for n in range(300)], ("e300", "p0")]


@pytest.mark.parametrize(("before", "days"), [("22:59:59", [DAY - ONE, DAY]), ("23:00:00", [DAY - ONE])])
def test_a_copy_is_a_repeat_after_the_last_minutes_of_the_day_before(before: str, days: list[date]) -> None:
    known = {"event_id": "a", "event_name": "page_view", "arrival_date": DAY, "device": "d", "source": "tags"}
    instants = local(f"2017-11-04 {before}"), local("2017-11-05 00:00:01")
    rows = [hit(event_at=at, **known) for at in instants]
    assert [row["event_date"] for row in made(rows, DAYS, 2, 1)] == days


def test_pieces_out_of_order_are_told() -> None:
    rows = pa.RecordBatch.from_pylist([hit(event_id="a", source="tags")], hits.ARROW)
    piece = pieces.packed(rows)
    sent = [{"day": DAY, "part": part, "rows": piece} for part in (0, 0, 1, 0)]
    found = pieces.whole(iter([pa.RecordBatch.from_pylist(sent, pieces.ARROW)]))
    assert [(key["part"], of.num_rows) for key, of in (next(found), next(found))] == [(0, 2), (1, 1)]
    with pytest.raises(pieces.Disturbed, match="part 0 on 2017-11-05 do not follow each other"):
        next(found)


def test_events_leave_their_part_in_the_order_of_their_ids() -> None:
    at = local("2017-11-05 12:00:00")
    rows = [
        hit(event_id=name, event_name="page_view", event_at=at, arrival_date=DAY, device="d", source="tags")
        for name in "cab"
    ]
    assert [row["event_id"] for row in made(rows, [DAY], 3, 1)] == ["a", "b", "c"]


@pytest.mark.parametrize("at", [datetime(9999, 12, 31, 23, 59, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)])
def test_an_instant_at_the_end_of_time_is_untimely(at: datetime) -> None:
    row = hit(event_id="a", event_name="page_view", event_at=at, arrival_date=DAY, device="d", source="tags")
    (event,) = made([row], [DAY], 1, 1)
    assert event["_reason"] == untimely(row)
    assert event["bot_rule"] is None


def test_no_rows_are_no_pieces() -> None:
    assert made([], DAYS, 1, 1) == []


def test_names_of_rules_are_those_of_the_configuration() -> None:
    assert ("agent", *[name for name in BotRules.model_fields if name != "agents"]) == bots.NAMES
