"""order_lines: one row per product in an order.

Reads   the lake's order lines that arrived on the interval's days; orders of those days; products until then
Writes  order_lines, partition order_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config import Ids
from jobs.shell import Days, Job, Lake, Until
from jobs.sources import changes, records
from jobs.sources.hits import Door
from jobs.sources.records import Field, Record

LINE = Record(
    (
        Field("order_id"),
        Field("line", "int"),
        Field("product_id"),
        Field("quantity", "int"),
        Field("sales_cents", "bigint"),
    )
)


def build(order_lines: DataFrame, orders: DataFrame, products: DataFrame, *, ids: Ids) -> DataFrame:
    """Give each line its order's day and its product's category of that day; reject what is not for sale."""
    arrived = records.parse(order_lines, LINE, Door(ids.key, ids.key_id))
    # By order alone: finding repeated lines and joining the order then need no shuffle of their own.
    lines = changes.newest(arrived.repartition("order_id"), "order_id", "line", "arrival_date")
    ordered = orders.select(
        F.col("order_id").alias("placed_id"),
        F.col("order_date").alias("placed_on"),
        "subject",
        "subject_bucket",
    )
    # A line comes with its order: one of another day must not match when days run together. The difference,
    # where equal days would do, keeps the day out of the keys that the join shuffles by.
    is_of_its_day = F.date_diff("placed_on", "arrival_date") == 0
    placed = lines.join(ordered, (F.col("order_id") == F.col("placed_id")) & is_of_its_day, how="left")
    catalogue = changes.valid(products, "product_id").select(
        F.col("product_id").alias("listed_id"),
        "valid_from",
        "valid_until",
        "department",
        "category",
        "type",
        "is_merchandise",
        "is_deleted",
    )
    of_the_day = (
        (F.col("product_id") == F.col("listed_id"))
        & (F.col("arrival_date") >= F.col("valid_from"))
        & (F.col("arrival_date") < F.col("valid_until"))
    )
    return placed.join(catalogue, of_the_day, how="left").select(
        "order_id",
        "line",
        F.col("placed_on").alias("order_date"),
        "subject",
        "subject_bucket",
        "product_id",
        "category",
        "quantity",
        "sales_cents",
        F.col("arrival_date").alias("_day"),
        F.coalesce("_reason", _reason()).alias("_reason"),
        "_file",
        "_offset",
        "_raw",
    )


def _reason() -> Column:
    """Why a line is not counted, if it is not; the first that holds."""
    is_listed = F.col("listed_id").isNotNull() & ~F.col("is_deleted")
    is_grouped = F.col("category").isNotNull() & F.col("type").isNotNull()
    group = F.when(is_grouped, F.concat(F.lit("category "), F.col("category"))).otherwise(
        "no category or type"
    )
    return (
        F.when(F.col("quantity") <= 0, F.format_string("quantity %d is not above 0", "quantity"))
        .when(F.col("sales_cents") <= 0, F.format_string("sales of %d cents are not above 0", "sales_cents"))
        .when(~is_listed, F.format_string("product %s is in no catalogue", "product_id"))
        .when(
            ~F.col("is_merchandise"),
            F.concat(
                F.lit("not merchandise: department "),
                F.coalesce("department", F.lit("unknown")),
                F.lit(", "),
                group,
            ),
        )
    )


JOB = Job(
    build,
    reads=(Lake("order_lines"), Days("orders"), Until("products")),
    writes="order_lines",
)

if __name__ == "__main__":
    JOB.main()
