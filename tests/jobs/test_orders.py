"""orders: each order of its day, with its user as a pseudonym."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs import orders
from jobs.shell import Lake, Read
from tests.jobs.sources.door import IDS, judged
from tests.jobs.sources.lake import DAY, file, listed, put
from tests.jobs.sources.test_otlp import USER

ZONE = "America/New_York"
ARGUMENTS: dict[str, Any] = {"ids": IDS, "business_time_zone": ZONE, "subject_buckets": 2, "late_days": 2}
DAYS = [DAY + timedelta(n) for n in range(6)]
NOON = datetime(2017, 8, 21, 16, tzinfo=UTC)


def order(
    number: str, at: datetime | None = NOON, user: str = "u1", store: str = "s1", **more: Any
) -> dict[str, Any]:
    return {
        "order_id": number,
        "user_id": user,
        "store_id": store,
        "ordered_at": at and at.isoformat(),
        **more,
    }


def test_orders_become_rows_of_their_business_day(spark: SparkSession, tmp_path: Path) -> None:
    midnight = datetime.fromisoformat("2017-08-22T00:00:00-04:00")
    first = [order("1"), order("2", midnight - timedelta(microseconds=1)), order("1")]
    second = [order("3", midnight), order("4", midnight + timedelta(1))]
    files = listed(
        spark,
        file(put(tmp_path / "a.jsonl", first), "orders"),
        file(put(tmp_path / "b.jsonl.gz", second), "orders", DAY + timedelta(1)),
        file(put(tmp_path / "empty.jsonl", []), "orders", DAY + timedelta(2)),
    )
    good, bad = judged("orders", orders.build(files, **ARGUMENTS), [DAY + timedelta(n) for n in range(3)])
    assert good[0] == {
        "order_id": "1",
        "subject": USER,
        "subject_bucket": int(USER[-4:], 16) % 2,
        "store_id": "s1",
        "ordered_at": NOON.replace(tzinfo=None),
        "order_date": DAY,
    }
    assert [(row["order_id"], row["order_date"]) for row in good[1:]] == [
        ("2", DAY),
        ("3", date(2017, 8, 22)),
    ]
    early = {"reason": "an order cannot come from the future", "file": "b.jsonl.gz", "offset": 2}
    assert bad == [{**early, "day": DAY + timedelta(1), "raw": None}]


def test_orders_that_come_late_are_corrected_or_deleted_count_as_delivered_last(
    spark: SparkSession, tmp_path: Path
) -> None:
    """What is asserted holds for the days together, and for each day alone by the files that it reads."""
    tomorrow = NOON + timedelta(1)
    by_day = [
        [order(n) for n in ("kept", "corrected", "deleted", "moved", "too late", "broken later")],
        [order("corrected", store="s2"), order("late"), order("moved", tomorrow), order("again", tomorrow)],
        [order("corrected", store="s3"), order("deleted", is_deleted=True), order("again", tomorrow)],
        [order("too late", store="s9"), order("came too late"), order("again", tomorrow, store="s2")],
        [order("broken later", None), order("future", NOON + timedelta(5))],
    ]
    files = [file(put(tmp_path / f"{n}.jsonl", rows), "orders", DAYS[n]) for n, rows in enumerate(by_day)]

    def read(reads: Sequence[Read], days: Sequence[date]) -> DataFrame:
        (lake,) = reads
        assert isinstance(lake, Lake)
        return listed(spark, *[f for f in files if f.arrival_date in lake.arrivals(days, 2)])

    def build(days: list[date]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return judged("orders", orders.build(read(orders.JOB.reads, days), **ARGUMENTS), days)

    good, bad = build(DAYS)
    assert [(row["order_id"], row["order_date"], row["store_id"]) for row in good] == [
        ("again", DAYS[1], "s2"),
        ("broken later", DAY, "s1"),
        ("corrected", DAY, "s3"),
        ("kept", DAY, "s1"),
        ("late", DAY, "s1"),
        ("moved", DAYS[1], "s1"),
        ("too late", DAY, "s1"),
    ]
    assert [(row["reason"], row["day"], row["offset"]) for row in bad] == [
        ("an order must not come later than late_days", DAYS[3], 1),
        ("an order must not come later than late_days", DAYS[3], 2),
        ("an order needs a time", DAYS[4], 1),
        ("an order cannot come from the future", DAYS[4], 2),
    ]
    alone = [build([day]) for day in DAYS]
    assert sorted((row for found, _ in alone for row in found), key=str) == sorted(good, key=str)
    assert sorted((row for _, found in alone for row in found), key=str) == sorted(bad, key=str)

    def named(*days: date) -> list[date]:
        arrived = read(orders.JOB.late_reads or (), days)
        found = orders.late(arrived, days=days, ids=IDS, business_time_zone=ZONE, late_days=2)
        return sorted({row["day"] for row in found.collect()})

    assert [named(day) for day in DAYS[:4]] == [[], [DAY], [DAY, DAYS[1]], [DAYS[1]]]
    assert named(*DAYS) == []


def test_orders_that_cannot_be_are_told(spark: SparkSession, tmp_path: Path) -> None:
    rows = [
        order("1", user=""),
        order("2", None),
        {**order("3"), "ordered_at": "soon"},
        order("4"),
        order("4", store="s2"),
        {**order("5"), "order_id": None},
    ]
    files = listed(spark, file(put(tmp_path / "a.jsonl", rows), "orders"))
    good, bad = judged("orders", orders.build(files, **ARGUMENTS), [DAY])
    assert [(row["order_id"], row["store_id"]) for row in good] == [("4", "s2")]
    assert [(row["offset"], row["reason"], row["day"]) for row in bad] == [
        (1, "an order needs a subject", DAY),
        (2, "an order needs a time", DAY),
        (3, "column ordered_at is not of type timestamp", DAY),
        (4, "a later row of the same day replaces it", DAY),
        (6, "an order needs a number", DAY),
    ]
