"""orders: one row per order.

Reads   the lake's orders that arrived on the interval's days
Writes  orders, partition order_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import Ids
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
    )
)


def build(orders: DataFrame, *, ids: Ids, business_time_zone: str, subject_buckets: int) -> DataFrame:
    """Take over the orders of each day, with the user as pseudonym."""
    arrived = records.parse(orders, ORDER, Door(ids.key, ids.key_id))
    dated = arrived.select(
        "order_id",
        F.col("user_id").alias("subject"),
        changes.bucket(F.col("user_id"), subject_buckets).alias("subject_bucket"),
        "store_id",
        "ordered_at",
        changes.business_day(F.col("ordered_at"), business_time_zone).alias("order_date"),
        F.col("arrival_date").alias("_day"),
        *changes.NOTES,
    )
    is_of_another_day = F.col("order_date") != F.col("_day")
    reason = F.when(is_of_another_day, F.lit("an order must arrive on its own day"))
    return changes.newest(dated.withColumn("_reason", F.coalesce("_reason", reason)), "order_id", "_day")


JOB = Job(build, reads=(Lake("orders"),), writes="orders")

if __name__ == "__main__":
    JOB.main()
