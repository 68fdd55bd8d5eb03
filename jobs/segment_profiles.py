"""segment_profiles: one row per segment of every segmentation of a request: size, sales, use, migration.

Reads   segmentations of the day and releases; subject_features of the day; subject_daily of the 56 days up to
        it, feedback and sessions of 28; segments (of the last approved version); segment_profiles of the day
        (rows of other requests are handed through, since a day is replaced as a whole)
Writes  segment_profiles, partition as_of_date
On failure, mend the cause and clear the task: a rerun replaces the rows of the same request.

All k of the request are profiled in one pass: subjects are summed by the combination of their segments, of
which there are few, and combinations are summed by segment on the driver. All sums are of whole numbers.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import maps
from jobs.config import Segmentation
from jobs.contracts import contract
from jobs.publish import Stopped
from jobs.releases import SEGMENTATION, newest
from jobs.segment_request import Request, request
from jobs.segment_sums import NEW, NO_ROLE, OF_DAY, OF_SESSION, SUMS, Counts, named, profile
from jobs.segments import label, values_for
from jobs.shell import Days, Job, Until

WINDOW = 28
LABELLED = "subject string, role string, labels array<int>"


def build(
    subject_features: DataFrame,
    segmentations: DataFrame,
    releases: DataFrame,
    segments: DataFrame,
    subject_daily: DataFrame,
    feedback: DataFrame,
    sessions: DataFrame,
    segment_profiles: DataFrame,
    *,
    days: Sequence[date],
    segmentation_specs: Mapping[str, Segmentation],
    segmentation: str,
    seed: int,
    k: int | str | None = None,
    roles: list[str] | None = None,
    columns: list[str] | None = None,
) -> DataFrame:
    """Profile each segment of every k that the request fitted.

    Raises
    ------
    Stopped
        When the request was not fitted for one of the days.

    """
    asked = request(segmentation_specs, segmentation, seed=seed, k=k, roles=roles, columns=columns)
    words = {feature.name: feature.words for feature in segmentation_specs[segmentation].features}
    judged = releases.where((F.col("kind") == SEGMENTATION) & (F.col("name") == asked.segmentation)).collect()
    rows: list[dict[str, Any]] = []
    for day in days:
        models = _models(segmentations, asked, day)
        others = [row.asDict() for row in judged if not row["version"].startswith(asked.name(day))]
        last = newest(others).get(asked.segmentation)
        against = last["version"] if last else None
        of_day = subject_features.where(F.col("feature_date") == F.lit(day))
        labelled = values_for(of_day, models[0]).mapInArrow(_labels(models), LABELLED)
        earlier = _earlier(segments, against, day)
        facts = _facts(labelled, subject_daily, sessions, earlier, day)
        sums, by_role, moved = _summed(facts, models)
        use = _widgets(labelled, feedback, models, day)
        for number, model in enumerate(models):
            migrations = [moved[number, segment] for segment in range(model["k"])]
            names, continued = named(model, migrations, words)
            rows += [
                profile(
                    model,
                    segment,
                    sums,
                    number,
                    suggested_name=names[segment],
                    continues=continued[segment],
                    against=against,
                    roles=by_role[number, segment],
                    migration=migrations[segment] if against else Counter(),
                    widgets_seen=use["seen"][number, segment],
                    widgets_clicked=use["clicked"][number, segment],
                )
                for segment in range(model["k"])
                if sums[number, segment]["subjects"]
            ]
    about = contract("segment_profiles")
    made = segmentations.sparkSession.createDataFrame(
        [tuple(row[name] for name in about.columns) for row in rows], about.ddl
    )
    kept = segment_profiles.where(~F.col("request").isin([asked.name(day) for day in days]))
    return made.unionByName(kept.select(*about.columns))


def _models(segmentations: DataFrame, asked: Request, day: date) -> list[dict[str, Any]]:
    found = segmentations.where(F.col("request") == asked.name(day)).orderBy("k").collect()
    if not found:
        raise Stopped(f"{asked.name(day)} was not fitted: run segmentations for {day} with the same request.")
    return [row.asDict(recursive=True) for row in found]


def _labels(models: Sequence[Mapping[str, Any]]) -> Any:
    labels = label(models)

    def compute(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            each = np.stack([segment for segment, _ in labels(batch.column("values"))], axis=1)
            column = maps.lists(each.astype(np.int32), batch.num_rows)
            columns = [batch.column("subject"), batch.column("role"), column]
            yield pa.RecordBatch.from_arrays(columns, names=["subject", "role", "labels"])

    return compute


def _earlier(segments: DataFrame, against: str | None, day: date) -> DataFrame:
    """Return each subject's segment in the last approved version, as of the newest day that has it."""
    of_version = segments.where(F.col("segmentation_version") == F.lit(against))
    newest_day = of_version.where(F.col("as_of_date") <= F.lit(day)).agg(F.max("as_of_date")).collect()[0][0]
    return of_version.where(F.col("as_of_date") == F.lit(newest_day)).select(
        "subject", F.col("name").alias("earlier")
    )


def _facts(
    labelled: DataFrame, subject_daily: DataFrame, sessions: DataFrame, earlier: DataFrame, day: date
) -> DataFrame:
    """Sum subjects by the combination of their segments, role and earlier segment."""
    since, before = day - timedelta(WINDOW - 1), day - timedelta(2 * WINDOW - 1)
    now = F.col("activity_date").between(F.lit(since), F.lit(day))
    bought = F.col("lines") > 0
    daily = (
        subject_daily.where(F.col("activity_date").between(F.lit(before), F.lit(day)))
        .groupBy("subject")
        .agg(
            *(F.sum(F.when(now, F.col(column))).alias(name) for name, column in OF_DAY.items()),
            F.count(F.when(now & bought, 1)).alias("visits"),
            F.max(F.when(~now & bought, 1)).alias("bought_before"),
        )
    )
    own = (
        sessions.where(F.col("session_date").between(F.lit(since), F.lit(day)) & ~F.col("is_bot"))
        .groupBy("subject")
        .agg(
            F.count(F.lit(1)).alias("sessions"),
            *(F.sum(column).alias(name) for name, column in OF_SESSION.items()),
        )
    )
    joined = (
        labelled.join(daily, on="subject", how="left")
        .join(own, on="subject", how="left")
        .join(earlier, on="subject", how="left")
        .withColumn("stayed", F.when(F.col("visits") > 0, F.col("bought_before")))
    )
    return joined.groupBy("labels", "role", "earlier").agg(
        F.count(F.lit(1)).alias("subjects"),
        *(F.coalesce(F.sum(name), F.lit(0)).cast("long").alias(name) for name in SUMS),
    )


def _summed(facts: DataFrame, models: Sequence[object]) -> tuple[Counts, Counts, Counts]:
    """Sum combinations by model and segment: the sums, subjects by role, and by earlier segment."""
    sums, by_role, moved = (Counts() for _ in range(3))
    for row in facts.collect():
        for number in range(len(models)):
            key = (number, row["labels"][number])
            sums[key].update({name: row[name] for name in ("subjects", *SUMS)})
            by_role[key][row["role"] or NO_ROLE] += row["subjects"]
            moved[key][row["earlier"] or NEW] += row["subjects"]
    return sums, by_role, moved


def _widgets(
    labelled: DataFrame, feedback: DataFrame, models: Sequence[object], day: date
) -> dict[str, Counts]:
    """Count by page/widget what was seen, and of it what earned a reward."""
    since = day - timedelta(WINDOW - 1)
    seen = feedback.where(F.col("is_seen") & F.col("decision_date").between(F.lit(since), F.lit(day)))
    counted = (
        seen.join(labelled.select("subject", "labels"), on="subject", how="inner")
        .groupBy("labels", F.concat_ws("/", "page", "widget").alias("shown"))
        .agg(F.count(F.lit(1)).alias("seen"), F.count(F.when(F.col("reward") > 0, 1)).alias("clicked"))
    )
    found: dict[str, Counts] = {"seen": Counts(), "clicked": Counts()}
    for row in counted.collect():
        for number in range(len(models)):
            for what, counts in found.items():
                counts[number, row["labels"][number]][row["shown"]] += row[what]
    return found


JOB = Job(
    build,
    reads=(
        Days("subject_features"),
        Days("segmentations"),
        Until("releases"),
        Until("segments"),
        Until("subject_daily", before=2 * WINDOW - 1),
        Until("feedback", before=WINDOW - 1),
        Until("sessions", before=WINDOW - 1),
        Days("segment_profiles"),
    ),
    writes="segment_profiles",
)

if __name__ == "__main__":
    JOB.main()
