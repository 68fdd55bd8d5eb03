"""decisions: one row per position of a layout as served, with its propensity and whether it was seen.

Bots, and who did not agree, are left out. A position was seen when a widget.seen names its decision and
position, at most `seen_hours` after the serving (and, clocks being what they are, at most
`clock_skew_seconds` before it).

Reads   events, of the interval and the day before and after; widgets and users as of each day
Writes  decisions, partition decision_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.kinds import ANY, NOTHING_SAID, Kinds, reward_name
from jobs.shell import Days, Job, Until
from jobs.sources import changes

TOLD = ("versions", "variant", "freshness", "rules")
"""What a serving tells beside the draw; null where its front end did not."""
SERVING = (
    "event_id",
    "event_date",
    "subject",
    "subject_bucket",
    "trace_id",
    "draw_id",
    "page",
    "policy_version",
    *TOLD,
)


def build(
    events: DataFrame,
    widgets: DataFrame,
    users: DataFrame,
    *,
    seen_hours: int,
    clock_skew_seconds: int,
    kinds: Kinds = NOTHING_SAID,
) -> DataFrame:
    """Explode each serving into its positions and mark the ones that came into view."""
    people = events.where(~F.coalesce("is_bot", F.lit(False)) & F.coalesce("is_consented", F.lit(False)))
    is_serving, is_seen = F.col("event_name") == "layout_served", F.col("event_name") == "widget_seen"
    serving = F.struct(
        F.col("event_at").alias("served_at"), *SERVING, "widgets", "candidates", "propensities"
    )  # the time comes first: sorting orders servings by it
    sighting = F.struct(F.col("position"), F.col("event_at").alias("seen_at"))
    # A serving and its sightings meet by decision id in one shuffle, without a join.
    positions = _positions(
        people.where(is_serving | (is_seen & F.col("decision_id").isNotNull()))
        .groupBy(F.coalesce("decision_id", "event_id").alias("_group"))
        .agg(
            F.max("decision_id").alias("decision_id"),
            F.sort_array(F.collect_list(F.when(is_serving, serving))).alias("servings"),
            F.collect_set(F.when(is_seen, sighting)).alias("sightings"),
        )
        .select("decision_id", "servings", "sightings", F.posexplode("servings").alias("_nth", "serving")),
        seen_hours,
        clock_skew_seconds,
    )
    named = widgets.withColumn("earns", _earns(kinds))
    with_category = _as_of_day(positions, named, "widget", "category", "earns")
    return _as_of_day(with_category, users, "subject", "role")


def _as_of_day(positions: DataFrame, changed: DataFrame, key: str, *told: str) -> DataFrame:
    """Add what the newest row up to a decision's day says of its widget or subject."""
    held = changes.valid(changed, key).select(F.col(key).alias("_of"), *told, "valid_from", "valid_until")
    day = F.col("decision_date")
    of_the_day = (F.col(key) == F.col("_of")) & (day >= F.col("valid_from")) & (day < F.col("valid_until"))
    return positions.join(held, of_the_day, how="left").drop("_of", "valid_from", "valid_until")


def _earns(kinds: Kinds) -> Column:
    """Name the reward of a widget's own, null where it has none."""
    purpose = F.coalesce("purpose", F.lit(ANY))
    own = [
        F.when((F.col("kind") == kind) & (purpose == name), F.lit(reward_name(kind, name)))
        for kind, name, _ in kinds.rewards()
    ]
    return F.coalesce(*own, F.lit(None).cast("string"))


def late(
    events: DataFrame,
    widgets: DataFrame,  # noqa: ARG001 - bound by name
    users: DataFrame,  # noqa: ARG001 - bound by name
) -> DataFrame:
    """Name the interval's neighbours that have events: what is seen after midnight was served before it."""
    return events.select(F.col("event_date").alias("day")).distinct()


def _positions(servings: DataFrame, seen_hours: int, clock_skew_seconds: int) -> DataFrame:
    served_at = F.col("serving.served_at")
    earliest = served_at - F.make_dt_interval(secs=F.lit(clock_skew_seconds))
    latest = served_at + F.make_dt_interval(hours=F.lit(seen_hours))
    seen = F.filter("sightings", lambda sighting: sighting["seen_at"].between(earliest, latest))
    here = F.filter("_seen", lambda sighting: sighting["position"] == F.col("position"))
    seen_at = F.array_min(F.transform(here, lambda sighting: sighting["seen_at"]))
    zipped = F.arrays_zip(
        F.col("serving.widgets").alias("widget"), F.col("serving.propensities").alias("propensity")
    )
    return (
        servings.withColumn("_seen", seen)
        .select("*", F.posexplode(zipped).alias("position", "placed"))
        .select(
            "decision_id",
            "position",
            F.col("serving.event_date").alias("decision_date"),
            served_at.alias("served_at"),
            F.col("serving.subject").alias("subject"),
            F.col("serving.subject_bucket").alias("subject_bucket"),
            F.col("serving.draw_id").alias("draw_id"),
            F.col("serving.trace_id").alias("trace_id"),
            F.col("serving.page").alias("page"),
            F.col("placed")["widget"].alias("widget"),
            F.col("serving.widgets").alias("widgets"),
            F.col("serving.candidates").alias("candidates"),
            F.col("placed")["propensity"].alias("propensity"),
            F.col("serving.policy_version").alias("policy_version"),
            *(F.col(f"serving.{name}").alias(name) for name in TOLD),
            seen_at.isNotNull().alias("is_seen"),
            seen_at.alias("seen_at"),
            _reason().alias("_reason"),
            F.col("serving.event_date").alias("_day"),
        )
    )


def _reason() -> Column:
    """Why a serving counts for nothing: no id, or logged before (at most a day: neighbours suffice)."""
    before = F.try_element_at("servings", F.col("_nth"))["event_date"]
    is_repeat = (F.col("_nth") > 0) & (F.datediff(F.col("serving.event_date"), before) <= 1)
    return F.when(F.col("decision_id").isNull(), F.lit("a serving needs a decision id")).when(
        is_repeat, F.lit("a decision is served once")
    )


JOB = Job(
    build,
    reads=(Days("events", before=1, after=1), Until("widgets"), Until("users")),
    writes="decisions",
    late=late,
)

if __name__ == "__main__":
    JOB.main()
