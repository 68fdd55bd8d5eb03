"""sessions: cut at silences, whole over midnight, the same in any split into days."""

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import sessions
from tests.jobs.given import ZONE, among, event, local, rows, table

START = date(2017, 11, 3)
DAYS = [START + timedelta(n) for n in range(4)]  # clocks go back on the third, 2017-11-05


def build(events: DataFrame) -> DataFrame:
    return sessions.build(events, session_gap_minutes=30, business_time_zone=ZONE)


def found(spark: SparkSession, events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    built = rows(build(table(spark, "events", events)), "subject", "started_at")
    return [
        (row["subject"], row["session_date"], row["started_at"], row["ended_at"], row["events"])
        for row in built
    ]


def test_a_session_ends_where_the_silence_is_longer_than_the_gap(spark: SparkSession) -> None:
    at = local("2017-11-03 10:00:00")
    times = [at, at + timedelta(minutes=30), at + timedelta(minutes=60, microseconds=1)]
    events = [event("page_view", time) for time in times]
    assert found(spark, events) == [
        ("u1", START, times[0], times[1], 2),
        ("u1", START, times[2], times[2], 1),
    ]


def test_a_session_is_counted_by_kind_and_marked_by_any_bot_event(spark: SparkSession) -> None:
    at = local("2017-11-03 10:00:00")
    names = ["page_view", "page_view", "widget_seen", "product_view", "basket_add", "order_placed"]
    events = [event(name, at + timedelta(seconds=n), position=n) for n, name in enumerate(names)]
    events += [
        event("page_view", at, subject="crawler", is_bot=True),
        event("page_view", at, subject="quiet", is_bot=None),
    ]
    events += [event("page_view", at + timedelta(1 / 1440), subject="crawler")]
    events += [event("page_view", at, subject="nobody", is_consented=False)]
    built = {row["subject"]: row for row in rows(build(table(spark, "events", events)))}
    person = built["u1"]
    assert [
        person[name] for name in ("events", "pages", "product_views", "basket_adds", "orders", "is_bot")
    ] == [
        6,
        2,
        1,
        1,
        1,
        False,
    ]
    assert (built["crawler"]["events"], built["crawler"]["is_bot"], built["quiet"]["is_bot"]) == (
        2,
        True,
        False,
    )
    assert "nobody" not in built


def test_a_session_over_midnight_keeps_its_tail_and_belongs_to_the_day_it_began(spark: SparkSession) -> None:
    times = [local("2017-11-03 23:50:00"), local("2017-11-04 00:10:00"), local("2017-11-04 00:35:00")]
    assert found(spark, [event("page_view", time) for time in times]) == [
        ("u1", START, times[0], times[2], 3)
    ]


def test_the_hour_that_comes_twice_is_not_a_silence(spark: SparkSession) -> None:
    times = [local("2017-11-05 01:45:00"), local("2017-11-05 01:05:00*"), local("2017-11-05 01:50:00*")]
    assert times[1] - times[0] == timedelta(minutes=20)
    day = date(2017, 11, 5)
    assert found(spark, [event("page_view", time) for time in times]) == [
        ("u1", day, times[0], times[1], 2),
        ("u1", day, times[2], times[2], 1),
    ]


def test_a_day_without_a_pause_ends_its_session_at_midnight(spark: SparkSession) -> None:
    first, last = local("2017-11-03 12:00:00"), local("2017-11-06 12:00:00")
    times = [
        first + timedelta(minutes=20 * n) for n in range(int((last - first) / timedelta(minutes=20)) + 1)
    ]
    built = found(spark, [event("page_view", time) for time in times])
    # The 4th and the 5th (25 hours long) have no pause; the session of the 3rd holds the whole of the 4th.
    assert [(day, start) for _, day, start, _, _ in built] == [
        (date(2017, 11, 3), first),
        (date(2017, 11, 5), local("2017-11-05 00:00:00")),
        (date(2017, 11, 6), local("2017-11-06 00:00:00")),
    ]
    assert sum(row[4] for row in built) == len(times)


def test_session_ids_differ_by_subject_and_start(spark: SparkSession) -> None:
    at = local("2017-11-03 10:00:00")
    events = [event("page_view", at, subject=name) for name in ("a", "b")] + [
        event("page_view", at + timedelta(1), subject="a")
    ]
    built = rows(build(table(spark, "events", events)))
    assert len({row["session_id"] for row in built}) == 3
    start = int(at.timestamp()) * 10**6
    assert {row["session_id"] for row in built if row["subject"] == "b"} == {f"{start}-b"}


def test_late_names_the_interval_and_its_neighbours_with_events(spark: SparkSession) -> None:
    events = table(spark, "events", [event("page_view", local(f"2017-11-0{d} 10:00:00")) for d in (3, 4, 4)])
    assert {row["day"] for row in sessions.late(events).collect()} == {START, START + timedelta(1)}


def chains(seed: int) -> list[dict[str, Any]]:
    """Events of 40 subjects: chains of random start, gap and length, some of which fill days."""
    rng, begin, end = random.Random(seed), local("2017-11-03 00:00:00"), local("2017-11-07 00:00:00")
    times = set()
    for who in range(40):
        for _ in range(rng.randint(1, 4)):
            start, gap, length = rng.randrange(4 * 24 * 60), rng.randint(5, 40), rng.choice([3, 40, 150])
            times |= {(f"s{who}", begin + timedelta(minutes=start + gap * n)) for n in range(length)}
    return [event("page_view", at, subject=who) for who, at in sorted(times) if at < end]


def plain(events: list[dict[str, Any]]) -> list[tuple[str, datetime, datetime, int]]:
    """Cut the sessions again, one event after the other."""
    gap = timedelta(minutes=30)
    by_day: dict[tuple[str, date], list[datetime]] = {}
    cut: list[tuple[str, datetime, datetime, int]] = []
    for row in events:
        by_day.setdefault((row["subject"], row["event_date"]), []).append(row["event_at"])
    for (who, day), times in sorted(by_day.items()):
        eve = [local(f"{day - timedelta(1)} 00:00:00"), *by_day.get((who, day - timedelta(1)), []), times[0]]
        full = all(b - a <= gap for a, b in pairwise(eve))
        for n, at in enumerate(times):
            last = cut[-1] if cut and cut[-1][0] == who else None
            if last is None or at - last[2] > gap or (n == 0 and full):
                cut.append((who, at, at, 1))
            else:
                cut[-1] = (who, last[1], at, last[3] + 1)
    return cut


def test_day_by_day_gives_the_rows_of_the_whole_range_and_of_the_plain_rule(spark: SparkSession) -> None:
    told = chains(7)
    events = table(spark, "events", told).cache()
    whole = rows(build(events), "session_id")
    split = [
        row
        for day in DAYS
        for row in rows(build(among(events, "event_date", [day], before=1, after=1)))
        if row["session_date"] == day
    ]
    assert sorted(split, key=lambda row: row["session_id"]) == whole
    cut = [(row["subject"], row["started_at"], row["ended_at"], row["events"]) for row in whole]
    assert sorted(cut) == sorted(plain(told))
    assert max(row["ended_at"] - row["started_at"] for row in whole) > timedelta(hours=24)


@pytest.mark.parametrize("minutes_apart", [29, 31])
def test_gap_is_measured_between_neighbours_not_from_the_start(
    spark: SparkSession, minutes_apart: int
) -> None:
    begin = datetime(2017, 11, 3, 12, tzinfo=UTC)
    times = [begin + timedelta(minutes=minutes_apart * n) for n in range(4)]
    assert len(found(spark, [event("page_view", time) for time in times])) == (
        1 if minutes_apart == 29 else 4
    )
