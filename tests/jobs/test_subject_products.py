"""subject_products: a checkpoint is the one before it plus the days since, and lists of both are the same."""

from datetime import date, timedelta
from typing import Any

from pyspark.sql import SparkSession

from jobs import subject_products
from tests.jobs import test_product_lists as lists
from tests.jobs.given import rows, table

JULY_3 = date(2017, 7, 3)


def bought(subject: str, product: str, day: date) -> dict[str, Any]:
    return {"subject": subject, "subject_bucket": 1, "product_id": product, "order_date": day}


HISTORY = [
    bought("u1", "7", date(2017, 3, 2)), bought("u1", "7", date(2017, 3, 2)),
    bought("u1", "7", date(2017, 3, 31)), bought("u1", "7", date(2017, 4, 1)),
    bought("u1", "8", date(2017, 6, 30)), bought("u2", "8", date(2017, 4, 2)),
    bought("u1", "8", date(2017, 7, 1)), bought("u1", "9", date(2017, 7, 2)),
    bought("u2", "8", date(2017, 7, 3)),
]  # fmt: skip


def checkpoints(spark: SparkSession, days: list[date], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    given = table(spark, "order_lines", HISTORY), table(spark, "subject_products", before)
    return rows(
        subject_products.build(*given, days=days, late_days=3), "settled_date", "subject", "product_id"
    )


def test_checkpoints_add_up_the_quarters_and_stand_on_the_one_before(spark: SparkSession) -> None:
    april, july = date(2017, 4, 3), JULY_3
    both = checkpoints(spark, [april + timedelta(n) for n in range(92)], [])
    told = ("settled_date", "until_date", "subject", "product_id", "visits", "latest_date")
    assert [tuple(row[name] for name in told) for row in both] == [
        (april, date(2017, 3, 31), "u1", "7", 2, date(2017, 3, 31)),
        (july, date(2017, 6, 30), "u1", "7", 3, date(2017, 4, 1)),
        (july, date(2017, 6, 30), "u1", "8", 1, date(2017, 6, 30)),
        (july, date(2017, 6, 30), "u2", "8", 1, date(2017, 4, 2)),
    ]
    assert checkpoints(spark, [july], both[:1]) == both[1:]
    # Whatever it counts is not read again.
    changed = [{**both[0], "visits": 5}]
    assert checkpoints(spark, [july], changed)[0]["visits"] == 6
    frames = table(spark, "order_lines", HISTORY), table(spark, "subject_products", both)
    assert subject_products.build(*frames, days=[april - timedelta(1)], late_days=3).isEmpty()
    named = subject_products.late(*frames, days=[date(2017, 4, 7)])
    assert {row["day"] for row in rows(named)} == {july}


def test_lists_of_a_checkpoint_and_the_days_since_are_those_of_all_days(spark: SparkSession) -> None:
    days = [date(2017, 7, 2), JULY_3]
    products = [lists.product(one) for one in ("7", "8", "9")]
    features = [lists.features(who, "TEA", "MILK", day) for who in ("u1", "u2") for day in days]
    frames = lists.inputs(spark, HISTORY, products, [], features)
    known = checkpoints(spark, [date(2017, 4, 3), JULY_3], [])
    whole = rows(lists.build(*frames, days=days), "list_date", "list_key")
    assert [
        (row["list_date"].day, row["list_key"], row["products"]) for row in whole if row["kind"] == "own"
    ] == [
        (2, "own:u1:TEA", ["7", "8", "9"]),
        (2, "own:u2:TEA", ["8"]),
        (3, "own:u1:TEA", ["7", "8", "9"]),
        (3, "own:u2:TEA", ["8"]),
    ]
    settled = table(spark, "subject_products", known)
    assert rows(lists.build(*frames, settled, days=days), "list_date", "list_key") == whole
    recent = [row for row in HISTORY if row["order_date"] > date(2017, 6, 30)]
    frames[0] = table(spark, "order_lines", recent)
    again = rows(lists.build(*frames, settled, days=days), "list_date", "list_key")
    own = [row for row in whole if row["kind"] == "own"]
    assert [row for row in again if row["kind"] == "own"] == own
