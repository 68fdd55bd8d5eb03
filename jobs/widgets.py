"""widgets: one row per widget and day on which something about it changed.

Reads   the lake's widgets that arrived on the interval's days
Writes  widgets, partition changed_date (the day of arrival)
On failure, mend the cause and clear the task: a rerun replaces the same partitions.

A widget without its labels, or with a value that conf/labels.yaml does not list, goes to quarantine: list the
value, with two approvals, and run the day again. So does a
purpose that conf/kinds.yaml does not list.
"""

from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config import Ids
from jobs.kinds import KINDS, Kinds
from jobs.labels import LABELS, Label, Labels
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
        Field("purpose", optional=True),
        Field("created_date", "date"),
        Field("is_deleted", "boolean", optional=True),
    )
)


def build(widgets: DataFrame, *, ids: Ids, labels: Labels, kinds: Kinds) -> DataFrame:
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
        "purpose",
        "created_date",
        F.coalesce("is_deleted", F.lit(False)).alias("is_deleted"),
        *changes.NOTES,
    )
    listed = changed.withColumn(
        "_reason", F.coalesce("_reason", *(_unlisted(name, labels) for name in LABELS), _aimless(kinds))
    )
    return changes.newest(listed, "widget", "changed_date")


def _unlisted(label: Label, labels: Labels) -> Column:
    """Why a value of a label cannot be; null where it is listed, or missing, which the contract tells."""
    is_listed = F.col(label).isin(labels.values(label))
    return F.when(~is_listed, F.lit(f"{label} must be one that conf/labels.yaml lists"))


def _aimless(kinds: Kinds) -> Column:
    """Why a purpose cannot be; null where it is one of its kind's, or none."""
    named = [(F.col("kind") == kind) & F.col("purpose").isin(sorted(kinds.purposes(kind))) for kind in KINDS]
    is_listed = F.col("purpose").isNull() | reduce(or_, named)
    return F.when(~is_listed, F.lit("purpose must be one that conf/kinds.yaml lists for the kind"))


JOB = Job(build, reads=(Lake("widgets"),), writes="widgets")

if __name__ == "__main__":
    JOB.main()
