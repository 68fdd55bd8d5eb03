"""events: one row per telemetry span or tag hit, merged over both sources, cleaned, with bots marked.

Reads   the lake's telemetry and tags that arrived on the interval's days or up to `late_days` later; widgets
        as of each day
Writes  events, partitions event_date, subject_bucket
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.config import Ids
from jobs.shell import Job, Lake, Until
from jobs.sources import changes, days_in, ga4, hits, otlp
from jobs.sources.hits import Door


def build(
    telemetry: DataFrame,
    tags: DataFrame,
    widgets: DataFrame,
    *,
    days: Sequence[date],
    business_time_zone: str,
    subject_buckets: int,
    late_days: int,
    ids: Ids,
    bot_agents: list[str],
    bot_events_per_day: int,
) -> DataFrame:
    """Read both sources, merge copies of an event into one row, and turn away what cannot be."""
    door = Door(ids.key, ids.key_id, tuple(bot_agents))
    delivered = otlp.parse(telemetry, door).unionByName(ga4.parse(tags, door))
    dated = merge(delivered).withColumns(
        {
            "event_date": changes.business_day(F.col("event_at"), business_time_zone),
            "subject_bucket": changes.bucket(F.col("subject"), subject_buckets),
        }
    )
    known = F.broadcast(known_widgets(widgets, days))
    placed = dated.join(known, F.col("event_date") == F.col("known_on"), how="left")
    # Untimely rows belong to the day they arrived, the rest to their own, however days are run together.
    is_of_its_day = F.coalesce("_reason", untimely(late_days)).isNull()
    judged = placed.withColumns(
        {
            "_day": F.when(is_of_its_day, F.col("event_date")).otherwise(F.col("arrival_date")),
            "_reason": F.coalesce("_reason", untimely(late_days), unknown_widget()),
        }
    )
    return mark_bots(judged.drop("known_on", "known"), bot_events_per_day)


def merge(delivered: DataFrame) -> DataFrame:
    """Merge all copies of an event into one row: the best source's earliest copy stands, in any order."""
    others = [name for name in hits.FIELDS if name not in ("event_id", "arrival_date")]
    # A span knows more than a tag hit: where both saw an event, the span's row stands.
    is_tag = F.col("source") == "tags"
    copy = F.struct(is_tag.alias("is_tag"), "arrival_date", *others)
    # By device alone, so that marking bots finds the rows where it needs them.
    merged = (
        delivered.repartition("device")
        .groupBy("device", "event_id")
        .agg(
            F.min(copy).alias("copy"),
            F.min("arrival_date").alias("arrival_date"),
            F.max(is_tag).alias("in_tags"),
            F.max(~is_tag).alias("in_telemetry"),
            F.max("is_bot").alias("is_bot"),
        )
    )
    sources = F.array(F.when(F.col("in_tags"), "tags"), F.when(F.col("in_telemetry"), "telemetry"))
    own = [F.col(f"copy.{name}") for name in others if name not in ("device", "source", "is_bot")]
    kept: list[Column | str] = [
        "device",
        "event_id",
        "arrival_date",
        F.array_compact(sources).alias("sources"),
        "is_bot",
    ]
    return merged.select(*kept, *own)


def untimely(late_days: int) -> Column:
    """Why an event's time cannot be, given the day it arrived."""
    is_future = F.col("event_date") > F.col("arrival_date")
    is_too_late = F.col("arrival_date") > F.date_add("event_date", late_days)
    return F.when(is_future, F.lit("an event cannot come from the future")).when(
        is_too_late, F.lit("an event must not come later than late_days")
    )


def unknown_widget() -> Column:
    """Why an event's widgets cannot be: those of its day are in `known`."""
    known = F.coalesce("known", F.array().cast("array<string>"))
    names_unknown = F.col("widget").isNotNull() & ~F.array_contains(known, F.col("widget"))
    lists_unknown = F.col("widgets").isNotNull() & (F.size(F.array_except("widgets", known)) > 0)
    return F.when(names_unknown | lists_unknown, F.lit("an event's widgets must be in widgets"))


def known_widgets(widgets: DataFrame, days: Sequence[date]) -> DataFrame:
    """List the widgets that are known on each day: grain one day (known_on, known)."""
    held = changes.valid(widgets, "widget").where(
        ~F.col("is_deleted")
        & (F.col("valid_from") <= F.lit(max(days)))
        & (F.col("valid_until") > F.lit(min(days)))
    )
    first = F.greatest("valid_from", F.lit(min(days)))
    last = F.least(F.date_sub("valid_until", 1), F.lit(max(days)))
    on_days = held.select("widget", F.explode(F.sequence(first, last)).alias("known_on"))
    return on_days.groupBy("known_on").agg(F.collect_set("widget").alias("known"))


def mark_bots(events: DataFrame, bot_events_per_day: int) -> DataFrame:
    """Mark devices with more events in a day than a person makes, beside those that say they are bots."""
    accepted = F.when(F.col("_reason").isNull(), 1)
    of_device = F.sum(accepted).over(Window.partitionBy("device", "event_date"))
    is_busy = F.col("device").isNotNull() & (of_device > bot_events_per_day)
    return events.withColumn("is_bot", F.col("is_bot") | is_busy)


def late(
    telemetry: DataFrame,
    tags: DataFrame,
    widgets: DataFrame,  # noqa: ARG001 - bound by name
    *,
    days: Sequence[date],
    business_time_zone: str,
    late_days: int,
) -> DataFrame:
    """Name the earlier days, at most `late_days` back, of which something arrived on the interval's days."""
    asked = set(days)
    edge = [day for day in days if not asked.issuperset(day - timedelta(n) for n in range(1, late_days + 1))]
    at_edge = F.col("arrival_date").isin(edge)
    instants = days_in.instants(telemetry.where(at_edge), otlp.TIME, per_second=10**9).unionByName(
        days_in.instants(tags.where(at_edge), ga4.TIME, per_second=10**6)
    )
    named = instants.select(
        "arrival_date", changes.business_day(F.col("at"), business_time_zone).alias("day")
    )
    is_late = (F.col("day") < F.col("arrival_date")) & (F.col("day") >= F.date_sub("arrival_date", late_days))
    return named.where(is_late & ~F.col("day").isin(list(days))).select("day").distinct()


# A day's events arrive within `late_days` (conf/) of it, which the contract's rule holds too.
JOB = Job(
    build,
    reads=(Lake("telemetry", after=3), Lake("tags", after=3), Until("widgets")),
    writes="events",
    late=late,
)

if __name__ == "__main__":
    JOB.main()
