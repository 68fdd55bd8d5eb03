"""users: one row per user and day on which something about it changed.

Reads   the lake's users that arrived on the interval's days
Writes  users, partition changed_date (the day of arrival)
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import Ids
from jobs.shell import Job, Lake
from jobs.sources import changes, records
from jobs.sources.hits import Door
from jobs.sources.records import Field, Record

USER = Record(
    (
        Field("user_id", id_of="user"),
        Field("role"),
        Field("sponsor_id", id_of="user"),
        Field("region"),
        Field("has_demographics", "boolean"),
        Field("age", personal=True),
        Field("income", personal=True),
        Field("household_size", personal=True),
        Field("home_ownership", personal=True),
        Field("marital_status", personal=True),
        Field("kids", personal=True),
        Field("is_deleted", "boolean", optional=True),
    )
)


def build(users: DataFrame, *, ids: Ids, subject_buckets: int) -> DataFrame:
    """Take over the changes that arrived on each day, with ids as pseudonyms."""
    arrived = records.parse(users, USER, Door(ids.key, ids.key_id))
    changed = arrived.select(
        F.col("user_id").alias("subject"),
        changes.bucket(F.col("user_id"), subject_buckets).alias("subject_bucket"),
        F.col("arrival_date").alias("changed_date"),
        "role",
        F.col("sponsor_id").alias("sponsor"),
        "region",
        F.coalesce("has_demographics", F.lit(False)).alias("has_demographics"),
        "age",
        "income",
        "household_size",
        "home_ownership",
        "marital_status",
        "kids",
        F.coalesce("is_deleted", F.lit(False)).alias("is_deleted"),
        *changes.NOTES,
    )
    return changes.newest(changed, "subject", "changed_date")


JOB = Job(build, reads=(Lake("users"),), writes="users")

if __name__ == "__main__":
    JOB.main()
