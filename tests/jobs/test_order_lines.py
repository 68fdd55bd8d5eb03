"""order_lines: what is for sale, with its category of the order's day; the rest is told with its reason."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from jobs import order_lines
from tests.jobs.given import table
from tests.jobs.sources.door import IDS, judged
from tests.jobs.sources.lake import DAY, file, listed, put

NEXT = DAY + timedelta(1)
ALWAYS = date(2017, 1, 1)


def line(
    order: str, number: int, product: str = "milk", quantity: Any = 2, cents: int = 350
) -> dict[str, Any]:
    return {
        "order_id": order,
        "line": number,
        "product_id": product,
        "quantity": quantity,
        "sales_cents": cents,
        "discount_cents": 0,
    }


def product(name: str, day: date = ALWAYS, **more: Any) -> dict[str, Any]:
    known = {"department": "GROCERY", "category": "FLUID MILK", "type": "FLUID MILK|MILK"}
    return {
        "product_id": name,
        "changed_date": day,
        "is_merchandise": True,
        "is_deleted": False,
        **known,
        **more,
    }


CATALOGUE = [
    product("milk"),
    product("milk", NEXT, category="DAIRY"),
    product("milk", NEXT + timedelta(1), category="TOO LATE"),
    product("gone"),
    product("gone", NEXT, is_deleted=True),
    product("new", NEXT),
    product("petrol", is_merchandise=False, department="FUEL", category="GAS"),
    product("thing", is_merchandise=False, department="GARDEN CENTER", category=None, type=None),
]


def test_lines_take_day_and_category_and_what_is_not_for_sale_is_told(
    spark: SparkSession, tmp_path: Path
) -> None:
    first = [
        line("o1", 1),
        line("o1", 2, "gone"),
        line("o1", 3, quantity=0),
        line("o1", 4, quantity=-1, cents=-5),
        line("o1", 5, cents=0),
        line("o1", 6, "nowhere"),
        line("o1", 7, "new"),
        line("o1", 8, "petrol"),
        line("o1", 9, "thing"),
        line("o1", 10, quantity="two"),
        line("o9", 1),
        line("o1", 1),
        line("o1", 11, "petrol", quantity=0),
        line("o1", 13, cents=1),
        line("o1", 14),
    ]
    # Of the day before: one line late, one corrected, one deleted, one as it was.
    late = [line("o1", 12), line("o1", 13, cents=2), {**line("o1", 14), "is_deleted": True}, line("o1", 1)]
    second = [line("o2", 1), line("o2", 2, "gone"), line("o2", 3, "new"), *late]
    files = listed(
        spark,
        file(put(tmp_path / "a.jsonl", first), "order_lines"),
        file(put(tmp_path / "b.jsonl", second), "order_lines", NEXT),
    )
    orders = table(
        spark,
        "orders",
        [
            {"order_id": "o1", "order_date": DAY, "subject": "t1-a", "subject_bucket": 0},
            {"order_id": "o2", "order_date": NEXT, "subject": "t1-b", "subject_bucket": 1},
        ],
    )
    built = order_lines.build(files, orders, table(spark, "products", CATALOGUE), ids=IDS, late_days=3)
    good, bad = judged("order_lines", built, [DAY, NEXT])
    bought = {"quantity": 2, "sales_cents": 350}
    a = {"order_id": "o1", "order_date": DAY, "subject": "t1-a", "subject_bucket": 0, **bought}
    b = {"order_id": "o2", "order_date": NEXT, "subject": "t1-b", "subject_bucket": 1, **bought}
    assert good == [
        {**a, "line": 1, "product_id": "milk", "category": "FLUID MILK"},
        {**a, "line": 12, "product_id": "milk", "category": "FLUID MILK"},
        {**a, "line": 13, "product_id": "milk", "category": "FLUID MILK", "sales_cents": 2},
        {**a, "line": 2, "product_id": "gone", "category": "FLUID MILK"},
        {**b, "line": 1, "product_id": "milk", "category": "DAIRY"},
        {**b, "line": 3, "product_id": "new", "category": "FLUID MILK"},
    ]
    assert [(row["file"], row["offset"], row["reason"], row["day"]) for row in bad] == [
        ("a.jsonl", 3, "quantity 0 is not above 0", DAY),
        ("a.jsonl", 4, "quantity -1 is not above 0", DAY),
        ("a.jsonl", 5, "sales of 0 cents are not above 0", DAY),
        ("a.jsonl", 6, "product nowhere is in no catalogue", DAY),
        ("a.jsonl", 7, "product new is in no catalogue", DAY),
        ("a.jsonl", 8, "not merchandise: department FUEL, category GAS", DAY),
        ("a.jsonl", 9, "not merchandise: department GARDEN CENTER, no category or type", DAY),
        ("a.jsonl", 10, "column quantity is not of type int", DAY),
        ("a.jsonl", 11, "a line needs an order of the late_days before it", DAY),
        ("a.jsonl", 13, "quantity 0 is not above 0", DAY),
        ("b.jsonl", 2, "product gone is in no catalogue", NEXT),
    ]
    arrived = files.where(files.arrival_date == NEXT)
    named = order_lines.late(arrived, orders, days=[NEXT], ids=IDS, late_days=3)
    assert {row["day"] for row in named.collect()} == {DAY}


def test_an_empty_day_is_no_row(spark: SparkSession, tmp_path: Path) -> None:
    files = listed(spark, file(put(tmp_path / "a.jsonl", []), "order_lines"))
    nothing = [table(spark, name, []) for name in ("orders", "products")]
    assert judged("order_lines", order_lines.build(files, *nothing, ids=IDS, late_days=3), [DAY]) == ([], [])
