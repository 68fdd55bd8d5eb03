"""widgets: one row per widget and day on which something about it changed.

Reads   the lake's widgets that arrived on the interval's days
Writes  widgets, partition changed_date (the day of arrival)
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import Ids
from jobs.shell import Job, Lake
from jobs.sources import changes, records
from jobs.sources.hits import Door
from jobs.sources.records import Field, Record

WIDGET = Record(
    (
        Field("widget_id"),
        Field("kind"),
        Field("pages", "array<string>"),
        Field("category", optional=True),
        Field("theme"),
        Field("core_theme"),
        Field("intent"),
        Field("size"),
        Field("page_context"),
        Field("created_date", "date"),
        Field("is_deleted", "boolean", optional=True),
    )
)


def build(widgets: DataFrame, *, ids: Ids) -> DataFrame:
    """Take over the changes that arrived on each day."""
    arrived = records.parse(widgets, WIDGET, Door(ids.key, ids.key_id))
    changed = arrived.select(
        F.col("widget_id").alias("widget"),
        F.col("arrival_date").alias("changed_date"),
        "kind",
        "pages",
        "category",
        "theme",
        "core_theme",
        "intent",
        "size",
        "page_context",
        "created_date",
        F.coalesce("is_deleted", F.lit(False)).alias("is_deleted"),
        *changes.NOTES,
    )
    return changes.newest(changed, "widget", "changed_date")


JOB = Job(build, reads=(Lake("widgets"),), writes="widgets")

if __name__ == "__main__":
    JOB.main()
