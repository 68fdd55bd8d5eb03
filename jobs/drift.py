"""drift: one row per day, quantity and group: how far it has moved since training, and since last period.

Compared are the features that models and policies see, the scores of the champions, and what seen positions
earned; each with the day at the same point of an earlier sales period, so that no season counts as drift: of
the period before, and of those at whose closings the champions were trained. Scores against training are
compared with those of the day on which the champion came and scored everyone.

Every batch of rows is counted by codes that do not depend on the data (`ml.drift`); counts add, and only
they are compared: the cost is one pass over the days, whatever they are compared with.

Reads   subject_features, subject_scores, feedback of the days and of those compared with; segments, closings
        and releases
Writes  drift, partition drift_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial, reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.champions import verdict
from jobs.closing_features import MAPS, evenings, newest_segments
from jobs.closing_periods import Period
from jobs.closing_periods import periods as periods_of
from jobs.contracts import contract
from jobs.day_windows import held_within
from jobs.drift_counts import (
    FEATURE,
    LAST_PERIOD,
    REWARD,
    SCORE,
    TRAINING,
    Bounds,
    Everyone,
    Pair,
    comparer,
    count,
)
from jobs.releases import MODEL
from jobs.shell import Job, State

FEATURE_MAPS = {column: prefix for column, prefix in MAPS.items() if column != "_counts"}
COUNTED = "kind string, name string, day date, group string, code long, n long"


def build(
    subject_features: DataFrame,
    subject_scores: DataFrame,
    feedback: DataFrame,
    segments: DataFrame,
    closings: DataFrame,
    releases: DataFrame,
    *,
    days: Sequence[date],
    segmentation: str = "rfm",
    window_days: int = 7,
    watch: float = 0.1,
    alarm: float = 0.25,
    shift: float = 0.1,
    chance: float = 1e-4,
) -> DataFrame:
    """Compare the days with earlier ones; a quantity that an earlier day does not have gives no row."""
    spark = subject_features.sparkSession
    known = periods_of(row.asDict() for row in closings.collect())  # closings are few
    judged = [row.asDict() for row in releases.where(F.col("kind") == MODEL).collect()]  # so are verdicts
    wanted = [pair for day in days for pair in pairs(day, known, judged)]
    needed = sorted({*days, *(pair.earlier for pair in wanted)})
    groups = newest_segments(segments, evenings(spark, needed), segmentation).select(
        F.col("closing_id").cast("date").alias("day"), "subject", F.col("segment").alias("group")
    )
    grouped = {
        kind: frame.join(groups, on=["day", "subject"], how="left")
        for kind, frame in (
            (FEATURE, _features(subject_features, needed)),
            (SCORE, _scores(subject_scores, needed, window_days)),
            (REWARD, _rewards(feedback, needed, window_days)),
        )
    }
    every = reduce(DataFrame.unionByName, (_counted(frame, kind) for kind, frame in grouped.items()))
    summed = every.groupBy("kind", "name", "day", "group", "code").agg(F.sum("n").alias("n"))
    of_day = grouped[FEATURE].groupBy("day", "group").count().collect()  # days times segments
    everyone = Everyone({(row["day"], row["group"]): row["count"] for row in of_day})
    compare = comparer(wanted, everyone, Bounds(watch, alarm, shift, chance))
    return summed.groupBy("kind", "name").applyInArrow(compare, contract("drift").ddl)


def pairs(day: date, known: Sequence[Period], judged: Sequence[Mapping[str, Any]]) -> Iterator[Pair]:
    """Say what a day is compared with, as of its end."""
    here = next((one for one in known if one.first_date <= day <= one.last_date), None)
    over = [one for one in known if one.last_date < day]
    if here and over:
        before = [one for one in over if one.last_date < here.first_date]
        if before:
            yield Pair(day, LAST_PERIOD, same_point(day, here, before[-1]))
    trained = [
        found
        for name in sorted({row["name"] for row in judged})
        if (found := verdict(judged, name, day)) and found["as_of_date"] < day
    ]
    ends = {one.last_date: one for one in known}
    for end in sorted({row["as_of_date"] for row in trained}):
        if end in ends and here:
            yield Pair(day, TRAINING, same_point(day, here, ends[end]))
    for row in trained:
        yield Pair(day, TRAINING, row["as_of_date"], row["name"])


def same_point(day: date, here: Period, earlier: Period) -> date:
    """Return the day of an earlier period that is as long after its begin; the last is like the last."""
    if day == here.last_date:
        return earlier.last_date
    return min(earlier.first_date + (day - here.first_date), earlier.last_date)


def _features(subject_features: DataFrame, needed: Sequence[date]) -> DataFrame:
    rows = subject_features.where(F.col("feature_date").isin(list(needed)))
    return rows.select(F.col("feature_date").alias("day"), "subject", *FEATURE_MAPS)


def _scores(subject_scores: DataFrame, needed: Sequence[date], window_days: int) -> DataFrame:
    """The newest scores of each subject and model in the days before each needed one, and on it."""
    newest = (
        _windows(subject_scores, "score_date", needed, window_days)
        .groupBy("day", "subject", "model")
        .agg(F.max_by("scores", "score_date").alias("scores"))
    )
    prefixed = F.transform_keys("scores", lambda name, _: F.concat("model", F.lit("/"), name))
    return newest.select("day", "subject", prefixed.alias("values"))


def _rewards(feedback: DataFrame, needed: Sequence[date], window_days: int) -> DataFrame:
    seen = _windows(feedback.where("is_seen"), "decision_date", needed, window_days)
    values = F.create_map("page", "reward", F.concat_ws("/", "page", "widget"), "reward")
    return seen.select("day", "subject", values.alias("values"))


def _windows(frame: DataFrame, column: str, needed: Sequence[date], window_days: int) -> DataFrame:
    """A row for each needed day in whose window it lies."""
    within = sorted({day - timedelta(n) for day in needed for n in range(window_days)})
    return frame.where(F.col(column).isin(within)).withColumn("day", held_within(needed, column, window_days))


def _counted(rows: DataFrame, kind: str) -> DataFrame:
    # Maps are counted where they are: to join them Spark would read every entry by itself.
    columns = FEATURE_MAPS if kind == FEATURE else {"values": ""}
    return rows.select("day", "group", *columns).mapInArrow(
        partial(count, kind=kind, maps_of=columns), COUNTED
    )


JOB = Job(
    build,
    reads=(
        State("subject_features"),
        State("subject_scores"),
        State("feedback"),
        State("segments"),
        State("closings"),
        State("releases"),
    ),
    writes="drift",
)

if __name__ == "__main__":
    JOB.main()
