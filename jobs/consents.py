"""consents: one user's or device's answer to one purpose, on the day on which it arrived.

Of several that arrived on a day, the one given last stands.

Reads   the lake's consents that arrived on the interval's days
Writes  consents, partition changed_date (the day of arrival)
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import Ids
from jobs.shell import Job, Lake
from jobs.sources import changes, records
from jobs.sources.hits import Door
from jobs.sources.records import Field, Record

CONSENT = Record(
    (
        Field("user_id", id_of="user", optional=True),
        Field("device_id", id_of="device", optional=True),  # of who is not logged in
        Field("purpose"),
        Field("granted", "boolean"),
        Field("changed_at", "timestamp"),
    )
)


def build(consents: DataFrame, *, ids: Ids, subject_buckets: int) -> DataFrame:
    """Take over the answers that arrived on each day, with ids as pseudonyms."""
    arrived = records.parse(consents, CONSENT, Door(ids.key, ids.key_id))
    subject = F.coalesce("user_id", "device_id")
    answered = arrived.select(
        subject.alias("subject"),
        changes.bucket(subject, subject_buckets).alias("subject_bucket"),
        "purpose",
        F.col("granted").alias("is_granted"),
        "changed_at",
        F.col("arrival_date").alias("changed_date"),
        *changes.NOTES,
    )
    return changes.newest(answered, "subject", "purpose", "changed_date", said="changed_at")


JOB = Job(build, reads=(Lake("consents"),), writes="consents")

if __name__ == "__main__":
    JOB.main()
