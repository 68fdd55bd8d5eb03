"""erasures: one row per person or device to be forgotten (GDPR, article 17), by the day it was asked for.

From then on no job publishes a row of theirs: it goes to quarantine, without what is personal; where a row
of somebody else names them, as a sponsor, the name is taken out. What is in the tables already is removed
by `vitrine sweep`. A person's devices are separate requests, in the same file.

Reads   the lake's erasures that arrived on the interval's days
Writes  erasures, partition changed_date (the day of arrival)
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import Ids
from jobs.shell import Job, Lake
from jobs.sources import changes, records
from jobs.sources.hits import Door
from jobs.sources.records import Field, Record

ERASURE = Record(
    (
        Field("user_id", id_of="user", optional=True),
        Field("device_id", id_of="device", optional=True),
        Field("asked_at", "timestamp"),
    )
)


def build(erasures: DataFrame, *, ids: Ids, subject_buckets: int) -> DataFrame:
    """Take over the requests that arrived on each day, with ids as pseudonyms: a row may name both."""
    arrived = records.parse(erasures, ERASURE, Door(ids.key, ids.key_id))
    both = F.array_compact(F.array("user_id", "device_id"))
    asked = arrived.withColumn("subject", F.explode_outer(both)).select(
        "subject",
        changes.bucket(F.col("subject"), subject_buckets).alias("subject_bucket"),
        "asked_at",
        F.col("arrival_date").alias("changed_date"),
        *changes.NOTES,
    )
    return changes.newest(asked, "subject", "changed_date", said="asked_at")


JOB = Job(build, reads=(Lake("erasures"),), writes="erasures")

if __name__ == "__main__":
    JOB.main()
