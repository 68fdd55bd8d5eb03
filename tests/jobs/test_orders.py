"""orders: each order of its day, with its user as a pseudonym."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pyspark.sql import SparkSession

from jobs import orders
from tests.jobs.sources.door import IDS, judged
from tests.jobs.sources.lake import DAY, file, listed, put
from tests.jobs.sources.test_otlp import USER

ARGUMENTS = {"ids": IDS, "business_time_zone": "America/New_York", "subject_buckets": 2}
NOON = datetime(2017, 8, 21, 16, tzinfo=UTC)


def order(
    number: str, at: datetime | None = NOON, user: str = "u1", store: str = "s1"
) -> dict[str, str | None]:
    return {"order_id": number, "user_id": user, "store_id": store, "ordered_at": at and at.isoformat()}


def test_orders_become_rows_of_their_business_day(spark: SparkSession, tmp_path: Path) -> None:
    midnight = datetime.fromisoformat("2017-08-22T00:00:00-04:00")
    first = [order("1"), order("2", midnight - timedelta(microseconds=1)), order("1")]
    second = [order("3", midnight), order("1", NOON)]
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
    late = {"reason": "an order must arrive on its own day", "file": "b.jsonl.gz", "offset": 2}
    assert bad == [{**late, "day": DAY + timedelta(1), "raw": None}]


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
