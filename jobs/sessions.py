"""sessions: one row per subject and unbroken stretch of activity.

A session belongs to the day it began and keeps its tail beyond midnight. One that fills a whole business
day without a pause is cut at that day's end (a crawler would have a session without end): so no session
reaches beyond the day after its first, and a day's sessions follow from the events of that day, the day
before (did it begin earlier?) and the day after (where does it end?), whatever else is processed with it.

Who did not agree has no sessions.

Reads   events, of the interval and the day before and after
Writes  sessions, partition session_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.shell import Days, Job
from jobs.sources import changes

MICROS_PER_MINUTE = 60_000_000


def build(events: DataFrame, *, session_gap_minutes: int, business_time_zone: str) -> DataFrame:
    """Cut each subject's events where they are silent for longer than the gap."""
    # Both windows need the same order of rows: Spark shuffles and sorts once.
    by_time = Window.partitionBy("subject").orderBy("event_date", "event_at", "event_id")
    by_day = Window.partitionBy("subject", "event_date")
    gap = session_gap_minutes * MICROS_PER_MINUTE

    at, midnight = F.unix_micros("event_at"), _midnight(F.col("event_date"), business_time_zone)
    paused = (
        events.where(F.coalesce("is_consented", F.lit(False)))
        .select(
            "*",
            at.alias("_at"),
            F.lag("event_date").over(by_time).alias("_day_before"),
            F.coalesce(at - F.lag(at).over(by_time) > gap, F.lit(True)).alias("_after_pause"),
            (at - F.unix_micros(midnight) > gap).alias("_after_quiet_start"),
        )
        .withColumn("_first_of_day", ~F.col("_day_before").eqNullSafe(F.col("event_date")))
    )
    in_day = F.when(F.col("_first_of_day"), F.col("_after_quiet_start")).otherwise(F.col("_after_pause"))
    days = paused.withColumn("_day_has_pause", F.max(in_day).over(by_day))

    yesterday = F.col("_day_before") == F.date_sub("event_date", 1)
    after_full_day = F.col("_first_of_day") & yesterday & ~F.lag("_day_has_pause").over(by_time)
    begins = F.col("_after_pause") | F.coalesce(after_full_day, F.lit(False))
    marked = days.withColumn("_begins", begins)
    started = F.max(F.when(F.col("_begins"), F.col("_at"))).over(by_time)
    return _summarise(marked.withColumn("_started", started))


def late(events: DataFrame) -> DataFrame:
    """Name the interval's neighbours that have events: a session may reach from one into the other."""
    return events.select(F.col("event_date").alias("day")).distinct()


def _summarise(events: DataFrame) -> DataFrame:
    return (
        events.groupBy("subject", "_started")
        .agg(
            F.max("subject_bucket").alias("subject_bucket"),
            F.min("event_date").alias("session_date"),
            F.min("event_at").alias("started_at"),
            F.max("event_at").alias("ended_at"),
            F.count("*").alias("events"),
            _count("page_view").alias("pages"),
            _count("product_view").alias("product_views"),
            _count("basket_add").alias("basket_adds"),
            _count("order_placed").alias("orders"),
            F.coalesce(F.bool_or("is_bot"), F.lit(False)).alias("is_bot"),
        )
        .select(
            F.concat_ws("-", F.col("_started").cast("string"), changes.tail("subject")).alias("session_id"),
            "subject",
            "subject_bucket",
            "session_date",
            "started_at",
            "ended_at",
            "events",
            "pages",
            "product_views",
            "basket_adds",
            "orders",
            "is_bot",
        )
    )


def _count(name: str) -> Column:
    return F.count_if(F.col("event_name") == name)


def _midnight(day: Column, zone: str) -> Column:
    return F.to_utc_timestamp(day.cast("timestamp"), zone)


JOB = Job(build, reads=(Days("events", before=1, after=1),), writes="sessions", late=late)

if __name__ == "__main__":
    JOB.main()
