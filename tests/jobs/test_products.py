"""products: what arrived about a product on a day; what lies in an excluded group is no merchandise."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from jobs import products
from tests.jobs.sources.door import IDS, judged
from tests.jobs.sources.lake import DAY, file, listed

NAMES = ("product_id", "name", "department", "category", "type", "brand", "size", "manufacturer")


def test_products_are_taken_over_and_merchandise_told_apart(spark: SparkSession, tmp_path: Path) -> None:
    rows = [
        ("1", "Milk", "GROCERY", "FLUID MILK", "FLUID MILK|MILK", "National", "1 L", "69"),
        ("2", None, "FUEL", "GAS", "GAS|GAS", None, None, None),
        ("3", None, "GROCERY", "COUPON", "COUPON|X", None, None, None),
        ("4", None, "GROCERY", None, None, None, None, None),
        ("5", None, None, "FLUID MILK", "FLUID MILK|MILK", None, None, None),
        (None, "Nameless", "GROCERY", "FLUID MILK", "FLUID MILK|MILK", None, None, None),
    ]
    path = tmp_path / "products.parquet"
    pq.write_table(pa.Table.from_pylist([dict(zip(NAMES, row, strict=True)) for row in rows]), path)
    built = products.build(
        listed(spark, file(path, "products")),
        ids=IDS,
        excluded_departments=["FUEL"],
        excluded_categories=["COUPON"],
    )
    good, bad = judged("products", built, [DAY])
    assert good[0] == {
        **dict(zip(NAMES, rows[0], strict=True)),
        "changed_date": DAY,
        "is_merchandise": True,
        "is_deleted": False,
    }
    assert [row["is_merchandise"] for row in good] == [True, False, False, False, True]
    assert [(row["offset"], row["reason"]) for row in bad] == [(6, "a product needs a number")]
