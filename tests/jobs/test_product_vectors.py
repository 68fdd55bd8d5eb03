"""product_vectors: fitted on one day's catalogue, so that a later day folds products in and changes none."""

from datetime import date, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import product_vectors
from jobs.config import ConfigError
from tests.jobs.given import rows, table

FRIDAY, SATURDAY = date(2017, 11, 3), date(2017, 11, 4)


def product(number: int, name: str, category: str, day: date = FRIDAY, **more: Any) -> dict[str, Any]:
    told = {"product_id": f"{number}", "changed_date": day, "name": name, "category": category}
    return {**told, "is_deleted": False, **more}


CATALOGUE = [
    product(number, f"{word} {kind.lower()}", kind)
    for number, (word, kind) in enumerate(
        (word, kind) for kind in ("TEA", "WINE", "MILK") for word in ("green", "black", "red", "dry") * 2
    )
]


def build(products: DataFrame, *days: date, dimensions: int = 2) -> DataFrame:
    return product_vectors.build(
        products,
        days=days,
        version="v1",
        fitted_on=FRIDAY,
        fitted_products=1000,
        dimensions=dimensions,
        texts=["name"],
        attributes=["category", "brand"],
        seed=1,
    )


def test_a_later_product_is_folded_in_and_changes_no_other(spark: SparkSession) -> None:
    later = [
        product(0, "green tea", "WINE", SATURDAY),
        product(99, "new tea", "TEA", SATURDAY, is_deleted=True),
    ]
    products = table(spark, "products", [*CATALOGUE, *later]).cache()
    friday = rows(build(products.where(products["changed_date"] <= FRIDAY), FRIDAY), "product_id")
    both = rows(build(products, FRIDAY, SATURDAY), "product_id", "changed_date")
    assert [row for row in both if row["changed_date"] == FRIDAY] == friday
    # What was only ever sold before that day is no part of the fit, though its day comes first.
    gone = [product(98, "old wine", "WINE", SATURDAY - timedelta(n), is_deleted=n == 2) for n in (3, 2)]
    assert rows(build(table(spark, "products", [*CATALOGUE, *later, *gone]), FRIDAY), "product_id") == friday
    new = {row["product_id"]: row for row in both if row["changed_date"] == SATURDAY}
    assert {number: row["is_deleted"] for number, row in new.items()} == {"0": False, "99": True}
    assert {len(row["vector"]) for row in both} == {2}
    assert {row["version"] for row in both} == {"v1"}
    tea, wine = friday[0]["vector"], new["0"]["vector"]
    assert sum(a * b for a, b in zip(tea, wine, strict=True)) < 0.99


def test_a_day_without_changes_fits_nothing_and_too_small_a_catalogue_is_one_sentence(
    spark: SparkSession,
) -> None:
    products = table(spark, "products", CATALOGUE[:2])
    assert build(products, SATURDAY).collect() == []
    with pytest.raises(ConfigError, match="product_vectors, catalogue of 2017-11-03: 2 products"):
        build(products, FRIDAY, dimensions=8)
