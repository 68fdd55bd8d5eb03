"""closing_examples: one row per subject and closing, with what was known at its end and what came after it.

Everyone has a row who bought in the closing's period or one of those before it (`active_periods`), agreed and
had not left by its end. Features are those of subject_features, computed anew as of the closing's last day;
labels come from the next period, so a closing has rows once the next one is over. Who leaves or withdraws
consent within the next period is censored: its row stays, without labels.

A run rebuilds all closings up to its last day, as the pinned closings have them: one that was moved gets rows
of its new end, and those of its old one go, on whatever day they are.

Reads   closings, subject_daily, subject_totals, users, widgets, consents, feedback and segments
Writes  closing_examples, partitions closing_date and subject_bucket
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs import subject_features
from jobs.closing_features import ONE, categories, counts, features, groups, newest_segments
from jobs.closing_periods import Cut, cuts, periods
from jobs.config import Consent, Declaration, FeatureSet
from jobs.contracts import contract
from jobs.publish import Stopped
from jobs.shell import Job, State
from jobs.sources import changes

MICRO = 1_000_000


def build(
    closings: DataFrame,
    subject_daily: DataFrame,
    subject_totals: DataFrame,
    users: DataFrame,
    widgets: DataFrame,
    consents: DataFrame,
    feedback: DataFrame,
    segments: DataFrame,
    *,
    days: Sequence[date],
    feature_declarations: Mapping[str, Declaration],
    feature_sets: Mapping[str, FeatureSet],
    demographics: Mapping[str, Sequence[str]],
    consent: Consent,
    segmentation: str = "rfm",
    active_periods: int = 3,
    unlabelled: bool = False,
) -> DataFrame:
    """Make the examples of the closings that end on these days and whose next period is over.

    unlabelled: also of those whose next period is not, without labels.

    Raises
    ------
    Stopped
        When a period has no sales: its labels would call everyone lost.

    """
    about = contract("closing_examples")
    newest: date | None = subject_daily.agg(F.max("activity_date")).collect()[0][0]
    horizon = max(days[-1], newest or days[-1])
    known = periods(row.asDict() for row in closings.collect())  # closings are few
    wanted = [
        cut
        for cut in cuts(known, active_periods)
        if cut.period.last_date in set(days) and (unlabelled or cut.is_labelled(horizon))
    ]
    if not wanted:
        return subject_daily.sparkSession.createDataFrame([], about.ddl)
    _require_sales(subject_daily, wanted, horizon)
    ending, dates = _ending(closings, wanted, horizon), sorted({cut.period.last_date for cut in wanted})
    found = subject_features.build(
        subject_daily.where(F.col("activity_date") <= F.lit(dates[-1])),
        subject_totals,
        users,
        widgets,
        consents,
        days=dates,
        feature_declarations=feature_declarations,
        feature_sets=feature_sets,
        demographics=demographics,
        consent=consent,
    ).withColumnRenamed("feature_date", "features_until")
    rows = ending.join(found, on=F.col("features_until") == F.col("closing_date"), how="inner")
    rows = rows.join(
        counts(subject_daily, {cut.period.closing_id: cut.spans for cut in wanted}), on=[*ONE], how="inner"
    )
    for more in (
        groups(users, ending, list(demographics)),
        newest_segments(segments, ending, segmentation),
        _bought(subject_daily, ending),
        _rewards(feedback, ending),
        _gone(users, consents, consent, ending),
    ):
        rows = rows.join(more, on=[*ONE], how="left")
    shown = F.broadcast(_shown(widgets, ending))
    return _examples(rows.join(shown, on="closing_id", how="left"), list(demographics)).select(*about.columns)


def late(closings: DataFrame, closing_examples: DataFrame, *, days: Sequence[date]) -> DataFrame:
    """Name the ends of all closings up to the last day, and the days that hold rows of an end that is gone.

    Those may lie after the last day: of a closing that was moved back, or called off.
    """
    known = periods(row.asDict() for row in closings.collect())
    spark = closings.sparkSession
    ends = [(one.last_date,) for one in known if one.last_date <= days[-1]]
    present = spark.createDataFrame(
        [(one.closing_id, one.last_date) for one in known], "closing_id string, closing_date date"
    )
    gone = closing_examples.join(F.broadcast(present), on=["closing_id", "closing_date"], how="left_anti")
    return spark.createDataFrame(ends, "day date").unionByName(
        gone.select(F.col("closing_date").alias("day"))
    )


def _require_sales(subject_daily: DataFrame, wanted: Sequence[Cut], horizon: date) -> None:
    spans = {cut.spans[0] for cut in wanted}
    spans |= {cut.labels for cut in wanted if cut.labels and cut.is_labelled(horizon)}
    listed = sorted(spans)
    counts = subject_daily.agg(
        *(
            F.count_if((F.col("lines") > 0) & F.col("activity_date").between(F.lit(first), F.lit(last)))
            for first, last in listed
        )
    ).collect()[0]
    for (first, last), count in zip(listed, counts, strict=True):
        if not count:
            raise Stopped(
                f"The closing from {first} to {last} has no sales: everyone would count as lost. Load its"
                " orders with lake_etl, or call the closing off in the lake (is_deleted)."
            )


def _ending(closings: DataFrame, wanted: Sequence[Cut], horizon: date) -> DataFrame:
    """Closings with the days that their labels come from, null where these are not over."""
    table = []
    for cut in wanted:
        first, last = cut.labels if cut.labels and cut.is_labelled(horizon) else (None, None)
        table.append((cut.period.closing_id, cut.period.last_date, first, last))
    ddl = "closing_id string, closing_date date, labels_from date, labels_until date"
    return F.broadcast(closings.sparkSession.createDataFrame(table, ddl))


def _within(day: str) -> Column:
    """Whether a day lies in the period that labels come from."""
    return F.col(day).between(F.col("labels_from"), F.col("labels_until"))


def _bought(subject_daily: DataFrame, ending: DataFrame) -> DataFrame:
    """Categories that a subject buys in the next period; no row for who buys nothing."""
    visits = subject_daily.where(F.col("lines") > 0).join(ending, on=_within("activity_date"), how="inner")
    names = F.array_distinct(F.flatten(F.collect_list(F.map_keys("category_visits"))))
    return visits.groupBy(*ONE).agg(names.alias("_bought"))


def _shown(widgets: DataFrame, ending: DataFrame) -> DataFrame:
    """Categories that carousels show at the closing's end, in order."""
    held = changes.valid(widgets, "widget").where(~F.col("is_deleted") & F.col("category").isNotNull())
    then = (F.col("closing_date") >= F.col("valid_from")) & (F.col("closing_date") < F.col("valid_until"))
    shown = held.join(ending, on=then, how="inner").groupBy("closing_id")
    return shown.agg(F.sort_array(F.collect_set("category")).alias("_shown"))


def _rewards(feedback: DataFrame, ending: DataFrame) -> DataFrame:
    """Mean reward and weight of what was seen; weights are added in millionths, so that no order matters."""
    seen = feedback.where(F.col("is_seen")).join(ending, on=_within("decision_date"), how="inner")
    weight = F.lit(MICRO) / F.col("propensity")
    sums = seen.groupBy(*ONE, F.concat_ws("/", "page", "widget").alias("key")).agg(
        F.sum(F.round(weight).cast("long")).alias("weight"),
        F.sum(F.round(weight * F.col("reward")).cast("long")).alias("earned"),
    )
    return sums.groupBy(*ONE).agg(
        _map(F.col("key"), F.col("earned") / F.col("weight")).alias("_rewards"),
        _map(F.col("key"), F.col("weight") / MICRO).alias("_weights"),
    )


def _gone(users: DataFrame, consents: DataFrame, consent: Consent, ending: DataFrame) -> DataFrame:
    """Who left, or withdrew consent, after the closing and within the next period."""
    left = users.where("is_deleted").select("subject", "changed_date")
    withdrew = consents.where((F.col("purpose") == consent.purpose) & ~F.col("is_granted"))
    gone = left.unionByName(withdrew.select("subject", "changed_date"))
    since = (F.col("changed_date") > F.col("closing_date")) & (F.col("changed_date") <= F.col("labels_until"))
    return gone.join(ending, on=since, how="inner").select(*ONE, F.lit(True).alias("_gone")).distinct()


def _examples(rows: DataFrame, demographics: Sequence[str]) -> DataFrame:
    is_labelled = F.col("labels_from").isNotNull()
    is_censored = is_labelled & F.coalesce("_gone", F.lit(False))
    is_known = is_labelled & ~is_censored
    bought = F.coalesce("_bought", F.array().cast("array<string>"))
    shown = F.coalesce("_shown", F.array().cast("array<string>"))
    purchases = F.map_from_arrays(
        shown, F.transform(shown, lambda category: F.array_contains(bought, category).cast("double"))
    )
    labels = {
        "churn": F.col("_bought").isNull().cast("double"),
        "purchases": purchases,
        "rewards": F.coalesce("_rewards", _none()),
        "reward_weights": F.coalesce("_weights", _none()),
        "next_segment": F.col("_next_segment"),
    }
    return rows.withColumns(
        {
            "features": features(),
            "categories": categories(demographics),
            "is_censored": is_censored,
            **{name: F.when(is_known, value) for name, value in labels.items()},
        }
    )


def _map(key: Column, value: Column) -> Column:
    return F.map_from_entries(F.sort_array(F.collect_list(F.struct(key.alias("key"), value.alias("value")))))


def _none() -> Column:
    return F.create_map().cast("map<string,double>")


JOB = Job(
    build,
    reads=(
        State("closings"),
        State("subject_daily"),
        State("subject_totals"),
        State("users"),
        State("widgets"),
        State("consents"),
        State("feedback"),
        State("segments"),
    ),
    writes="closing_examples",
    late=late,
    late_reads=(State("closings"), State("closing_examples")),
)

if __name__ == "__main__":
    JOB.main()
