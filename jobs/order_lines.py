"""order_lines: one row per product in an order.

A line may arrive up to `late_days` after its order's day, and be delivered again in that time, corrected or
deleted: the newest delivery counts. One that finds no order in that time goes to quarantine.

Reads   files of order lines that arrived on the interval's days or up to `late_days` later; orders of those
        days and the `late_days` before them; products until then
Writes  order_lines, partition order_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config import Ids
from jobs.inputs import LATE
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
        Field("is_deleted", "boolean", optional=True),
    )
)
DELIVERY = Record((Field("order_id"),))


def build(
    order_lines: DataFrame, orders: DataFrame, products: DataFrame, *, ids: Ids, late_days: int
) -> DataFrame:
    """Give each line its order's day and its product's category of that day; reject what is not for sale."""
    arrived = records.parse(order_lines, LINE, Door(ids.key, ids.key_id))
    # By order alone: finding repeated lines and joining the order then need no shuffle of their own.
    lines = arrived.repartition("order_id")
    ordered = orders.select(
        F.col("order_id").alias("placed_id"),
        F.col("order_date").alias("placed_on"),
        "subject",
        "subject_bucket",
    )
    in_time = F.date_diff("arrival_date", "placed_on").between(0, late_days)
    found = lines.join(ordered, (F.col("order_id") == F.col("placed_id")) & in_time, how="left")
    dated = found.withColumn("_day", F.coalesce("placed_on", "arrival_date"))
    newest = changes.newest(dated, "order_id", "line", "_day", arrived="arrival_date")
    is_gone = F.coalesce("is_deleted", F.lit(False)).alias("is_gone")
    placed = newest.where(F.col("_reason").isNotNull() | ~is_gone).drop("is_deleted")
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
        & (F.col("_day") >= F.col("valid_from"))
        & (F.col("_day") < F.col("valid_until"))
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
        "_day",
        F.coalesce("_reason", _reason()).alias("_reason"),
        "_file",
        "_offset",
        "_raw",
        "_skipped",
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


def late(
    order_lines: DataFrame, orders: DataFrame, *, days: Sequence[date], ids: Ids, late_days: int
) -> DataFrame:
    """Name the earlier days of the orders whose lines arrived."""
    at_edge = order_lines.where(F.col("arrival_date").isin(changes.edge(days, late_days)))
    arrived = records.parse(at_edge, DELIVERY, Door(ids.key, ids.key_id)).select("order_id", "arrival_date")
    earlier = orders.where(~F.col("order_date").isin(list(days))).select(
        F.col("order_id").alias("placed_id"), F.col("order_date").alias("day")
    )
    in_time = F.date_diff("arrival_date", "day").between(1, late_days)
    return (
        arrived.distinct()
        .join(earlier, (F.col("order_id") == F.col("placed_id")) & in_time, how="inner")
        .select("day")
    )


JOB = Job(
    build,
    reads=(Lake("order_lines", after=LATE), Days("orders", before=LATE), Until("products")),
    writes="order_lines",
    late=late,
    late_reads=(Lake("order_lines"), Days("orders", before=LATE)),
)

if __name__ == "__main__":
    JOB.main()
