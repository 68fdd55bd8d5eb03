"""closings: one row per sales period and day on which something about it changed.

Reads   the lake's closings that arrived on the interval's days
Writes  closings, partition changed_date (the day of arrival)
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import Ids
from jobs.shell import Job, Lake
from jobs.sources import changes, records
from jobs.sources.hits import Door
from jobs.sources.records import Field, Record

CLOSING = Record(
    (
        Field("closing_id"),
        Field("first_date", "date"),
        Field("last_date", "date"),
        Field("is_deleted", "boolean", optional=True),
    )
)


def build(closings: DataFrame, *, ids: Ids) -> DataFrame:
    """Take over the changes that arrived on each day."""
    arrived = records.parse(closings, CLOSING, Door(ids.key, ids.key_id))
    changed = arrived.select(
        "closing_id",
        F.col("arrival_date").alias("changed_date"),
        "first_date",
        "last_date",
        F.coalesce("is_deleted", F.lit(False)).alias("is_deleted"),
        *changes.NOTES,
    )
    return changes.newest(changed, "closing_id", "changed_date")


JOB = Job(build, reads=(Lake("closings"),), writes="closings")

if __name__ == "__main__":
    JOB.main()
