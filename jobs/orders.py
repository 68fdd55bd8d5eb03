"""orders: one row per order.

An order may arrive up to `late_days` after its day, and be delivered again in that time, corrected or
deleted: the newest delivery counts. What arrives later goes to quarantine.

Reads   files of orders that arrived on the interval's days or up to `late_days` later
Writes  orders, partition order_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import Ids
from jobs.inputs import LATE
from jobs.shell import Job, Lake
from jobs.sources import changes, records
from jobs.sources.hits import Door
from jobs.sources.records import Field, Record

ORDER = Record(
    (
        Field("order_id"),
        Field("user_id", id_of="user"),
        Field("store_id"),
        Field("ordered_at", "timestamp"),
        Field("is_deleted", "boolean", optional=True),
    )
)
DELIVERY = Record((Field("order_id"), Field("ordered_at", "timestamp")))


def build(
    orders: DataFrame, *, ids: Ids, business_time_zone: str, subject_buckets: int, late_days: int
) -> DataFrame:
    """Take over the orders of each day as they were delivered last, with the user as pseudonym."""
    arrived = records.parse(orders, ORDER, Door(ids.key, ids.key_id))
    dated = arrived.select(
        "order_id",
        F.col("user_id").alias("subject"),
        changes.bucket(F.col("user_id"), subject_buckets).alias("subject_bucket"),
        "store_id",
        "ordered_at",
        changes.business_day(F.col("ordered_at"), business_time_zone).alias("order_date"),
        F.coalesce("is_deleted", F.lit(False)).alias("is_deleted"),
        "arrival_date",
        *changes.NOTES,
    )
    reason = F.coalesce("_reason", changes.untimely("an order", "order_date", late_days))
    last = changes.corrected(dated.withColumn("_reason", reason), "order_id", "order_date", late_days)
    is_good = F.col("_reason").isNull()
    day = F.when(is_good, F.coalesce("order_date", "arrival_date")).otherwise(F.col("arrival_date"))
    return last.where(~(is_good & F.col("is_deleted"))).withColumn("_day", day)


def late(
    orders: DataFrame, *, days: Sequence[date], ids: Ids, business_time_zone: str, late_days: int
) -> DataFrame:
    """Name the earlier days of what arrived, and those of earlier deliveries that it corrects."""
    edge = changes.edge(days, late_days)
    near = {day - timedelta(n) for day in edge for n in range(late_days + 1)}
    near_edge = orders.where(F.col("arrival_date").isin(sorted(near)))
    delivered = records.parse(near_edge, DELIVERY, Door(ids.key, ids.key_id)).select(
        "order_id",
        "arrival_date",
        changes.business_day(F.col("ordered_at"), business_time_zone).alias("day"),
    )
    asked = F.when(F.col("arrival_date").isin(edge), F.col("arrival_date"))
    by_order = delivered.groupBy("order_id").agg(
        F.collect_set("day").alias("days"), F.collect_set(asked).alias("came")
    )
    pairs = by_order.select(F.explode("days").alias("day"), "came").select(
        "day", F.explode("came").alias("on")
    )
    is_late = (F.col("day") < F.col("on")) & (F.col("on") <= F.date_add("day", late_days))
    return pairs.where(is_late & ~F.col("day").isin(list(days))).select("day")


JOB = Job(
    build,
    reads=(Lake("orders", after=LATE),),
    writes="orders",
    late=late,
    late_reads=(Lake("orders", before=LATE),),
)

if __name__ == "__main__":
    JOB.main()
