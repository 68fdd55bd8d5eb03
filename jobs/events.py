"""events: one row per telemetry span or tag hit, merged over all sources, cleaned, with bots marked.

Who did not agree to the purpose of `consent` (conf/) is nobody: the row stays, to be counted, without any id.

Copies of an event, from two sources or delivered again, share an id and are one row. An event belongs to the
day on which it happened. Where clocks differ, its copies may lie on two days; then the earlier day's stand,
and the later day's are repeats. That is so when a copy came in the last `copy_minutes` of the earlier day, so
a day's rows follow from what arrived for it and from the last minutes of the day before.

Reads   files of telemetry and tags that arrived on the interval's days or up to `late_days` later, and the
        last lines of the day before; widgets and consents as of each day
Writes  events, partitions event_date, subject_bucket
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.config import BotRules, Consent, Ids, Source
from jobs.consent import with_consent
from jobs.inputs import LATE
from jobs.shell import Job, Lake, Until
from jobs.sources import changes, days_in, ga4, hits, otlp
from jobs.sources.hits import NOBODY, Door, Partly
from jobs.without_ids import matched

ONE_DAY = timedelta(1)


def build(
    telemetry: DataFrame,
    tags: DataFrame,
    widgets: DataFrame,
    consents: DataFrame,
    *,
    days: Sequence[date],
    sources: Mapping[str, Source],
    business_time_zone: str,
    subject_buckets: int,
    late_days: int,
    copy_minutes: int,
    ids: Ids,
    bots: BotRules,
    consent: Consent,
) -> DataFrame:
    """Read all sources, merge copies of an event into one row, and turn away what cannot be."""
    door = Door(ids.key, ids.key_id, tuple(bots.agents))
    partly = day_ends(days, late_days, copy_minutes, business_time_zone)
    delivered = otlp.parse(telemetry, door, partly).unionByName(ga4.parse(tags, door, partly))
    event_date = changes.business_day(F.col("event_at"), business_time_zone)
    if any(source.without_ids for source in sources.values() if source.table == "events"):
        delivered = matched(delivered, copy_minutes)
    dated = delivered.withColumn("event_date", event_date)
    merged = merge(
        dated.withColumn("untimely", changes.untimely("an event", "event_date", late_days)), sources
    )
    once = without_repeats(merged, copy_minutes, business_time_zone)
    placed = once.withColumn("subject_bucket", changes.bucket(F.col("subject"), subject_buckets)).join(
        F.broadcast(known_widgets(widgets, days)), F.col("event_date") == F.col("known_on"), how="left"
    )
    # Untimely rows belong to the day they arrived, the rest to their own, however days are run together.
    is_of_its_day = F.coalesce("_reason", "untimely").isNull()
    judged = placed.withColumns(
        {
            "_day": F.when(is_of_its_day, F.col("event_date")).otherwise(F.col("arrival_date")),
            "_reason": F.coalesce("_reason", "untimely", unknown_widget()),
        }
    )
    asked = with_consent(mark_bots(judged, bots), consents, consent, subject="subject", day="event_date")
    is_known = F.col("is_consented") & (F.col("subject") != NOBODY)
    return nobody(asked.withColumn("is_consented", is_known), subject_buckets)


def day_ends(days: Sequence[date], late_days: int, copy_minutes: int, zone: str) -> Partly:
    """The last minutes of the days before, of whose files nothing else is wanted, in microseconds."""
    whole = {day + timedelta(n) for day in days for n in range(late_days + 1)}
    edges = {day - ONE_DAY for day in days} - whole
    midnights = {
        day: int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp())
        for day in (edge + ONE_DAY for edge in edges)
    }
    return {day - ONE_DAY: ((at - copy_minutes * 60) * 10**6, at * 10**6) for day, at in midnights.items()}


def merge(delivered: DataFrame, sources: Mapping[str, Source]) -> DataFrame:
    """Merge a day's copies of an event into one row: the best source's earliest copy stands, in any order.

    Copies that came too late, or from the future, stay apart by day of arrival: whether an event was there in
    time does not depend on them.
    """
    own = ("event_id", "arrival_date")
    others = [name for name in hits.FIELDS if name not in own]
    names = sorted({name for name, source in sources.items() if source.table == "events"})
    # A span knows more than a tag hit: where both saw an event, the span's row stands.
    is_tag = F.col("source").isin([name for name in names if sources[name].form == "ga4"])
    copy = F.struct(is_tag.alias("is_tag"), "arrival_date", *others)
    came_on = F.when(F.col("untimely").isNotNull(), F.col("arrival_date"))
    # By owner alone, so that marking bots finds the rows where it needs them.
    merged = (
        delivered.withColumns({"untimely_on": came_on, "owner": F.coalesce("device", "event_id")})
        .repartition("owner")
        .groupBy("owner", "event_id", "event_date", "untimely_on")
        .agg(
            F.min(copy).alias("copy"),
            F.min("arrival_date").alias("arrival_date"),
            F.min("untimely").alias("untimely"),
            F.max("event_at").alias("last_at"),
            F.max("is_bot").alias("is_bot"),
            *[F.max(F.col("source") == name).alias(f"in_{name}") for name in names],
        )
    )
    held = F.array(*[F.when(F.col(f"in_{name}"), name) for name in names])
    of_copy = [F.col(f"copy.{name}") for name in others if name not in ("source", "is_bot")]
    kept: list[Column | str] = ["owner", *own, "event_date", "untimely", "last_at", "is_bot"]
    return merged.select(*kept, F.array_compact(held).alias("sources"), *of_copy)


def without_repeats(merged: DataFrame, copy_minutes: int, zone: str) -> DataFrame:
    """Drop an event whose copy stands at the end of the day before."""
    earlier = (
        Window.partitionBy("owner", "event_id")
        .orderBy("event_date")
        .rowsBetween(Window.unboundedPreceding, -1)
    )
    timely = F.when(F.col("untimely").isNull(), F.struct("event_date", "last_at"))
    midnight = F.to_utc_timestamp(F.col("event_date").cast("timestamp"), zone)
    first = midnight - F.make_dt_interval(mins=F.lit(copy_minutes))
    before = F.col("before")
    is_repeat = (
        F.col("untimely").isNull()
        & (F.date_diff("event_date", before["event_date"]) == 1)
        & (before["last_at"] >= first)
    )
    return (
        merged.withColumn("before", F.last(timely, ignorenulls=True).over(earlier))
        .where(~F.coalesce(is_repeat, F.lit(False)))
        .drop("before", "last_at")
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


def mark_bots(events: DataFrame, rules: BotRules) -> DataFrame:
    """Name the rule that a device's day breaks; what was turned away, or has no device, does not count."""
    in_minute = Window.partitionBy("owner", "event_date", "minute")
    in_day = Window.partitionBy("owner", "event_date")
    accepted = F.col("_reason").isNull()
    is_page = accepted & (F.col("event_name") == "page_view")
    counted = events.withColumn("minute", F.date_trunc("minute", "event_at")).withColumns(
        {
            "events_in_minute": F.count_if(accepted).over(in_minute),
            "pages_in_minute": F.count_if(is_page).over(in_minute),
        }
    )
    # The rows lie sorted by owner and day already: the second window costs no sort.
    n, pages = F.count_if(accepted).over(in_day), F.count_if(is_page).over(in_day)
    broken = (
        F.when(F.max(F.when(accepted, F.col("is_bot"))).over(in_day), F.lit("agent"))
        .when(n > rules.events_per_day, F.lit("events_per_day"))
        .when(F.max("events_in_minute").over(in_day) > rules.events_per_minute, F.lit("events_per_minute"))
        .when(F.max("pages_in_minute").over(in_day) > rules.pages_per_minute, F.lit("pages_per_minute"))
        .when((pages > rules.pages_alone) & (pages == n), F.lit("pages_alone"))
    )
    marked = counted.withColumn("bot_rule", F.when(F.col("device").isNotNull(), broken))
    return marked.withColumn("is_bot", F.col("bot_rule").isNotNull())


def nobody(events: DataFrame, subject_buckets: int) -> DataFrame:
    """Take every id from the events of who did not agree; that there is one event more stays known.

    So too of what was turned away; only where nobody is known to ask, its ids stay.
    """
    own_id = F.concat(F.lit(f"{NOBODY}-"), F.sha2("event_id", 256).substr(1, 32))
    any_bucket = F.pmod(F.xxhash64("event_id"), F.lit(subject_buckets)).cast("int")
    hidden = {"event_id": own_id, "subject": F.lit(NOBODY), "subject_bucket": any_bucket}
    ids = ("device", "user", "trace_id", "visit", "decision_id", "draw_id", "order_id")
    hidden |= {name: F.lit(None) for name in ids}
    keeps_ids = F.col("is_consented") | (F.col("_reason").isNotNull() & F.col("subject").isNull())
    return events.withColumns(
        {name: F.when(keeps_ids, F.col(name)).otherwise(value) for name, value in hidden.items()}
    )


def late(
    telemetry: DataFrame,
    tags: DataFrame,
    *,
    days: Sequence[date],
    business_time_zone: str,
    late_days: int,
    copy_minutes: int,
) -> DataFrame:
    """Name the earlier days, at most `late_days` back, that the interval's arrivals may change."""
    at_edge = F.col("arrival_date").isin(changes.edge(days, late_days))
    instants = days_in.instants(telemetry.where(at_edge), otlp.TIME).unionByName(
        days_in.instants(tags.where(at_edge), ga4.TIME)
    )
    # A quarter of an hour names its own day and, at the end of one, the next: it may hold a repeat.
    next_day = F.col("at") + F.make_dt_interval(mins=F.lit(copy_minutes + 15))
    named = instants.select(
        "arrival_date",
        changes.business_day(F.col("at"), business_time_zone).alias("own_day"),
        changes.business_day(next_day, business_time_zone).alias("next_day"),
    )
    is_timely = F.col("own_day") >= F.date_sub("arrival_date", late_days)
    day = F.explode(F.array("own_day", "next_day")).alias("day")
    found = named.where(is_timely).select("arrival_date", day)
    return found.where((F.col("day") < F.col("arrival_date")) & ~F.col("day").isin(list(days)))


JOB = Job(
    build,
    reads=(
        Lake("telemetry", before=1, after=LATE, table="events", form="otlp"),
        Lake("tags", before=1, after=LATE, table="events", form="ga4"),
        Until("widgets"),
        Until("consents"),
    ),
    writes="events",
    late=late,
    late_reads=(
        Lake("telemetry", table="events", form="otlp"),
        Lake("tags", table="events", form="ga4"),
    ),
)

if __name__ == "__main__":
    JOB.main()
