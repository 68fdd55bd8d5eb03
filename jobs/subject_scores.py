"""subject_scores: one row per subject, model and day on which it was scored by the champion as of that day.

A change table: on the day of a new champion everyone is scored (where a person made it champion, on the next
day that is scored at all); on all others who was active that day, and of the rest a share by hash, so that
everyone's silence is told once in `every_days`. Features are those of the day's evening; the periods' counts
are taken over as many days as the last closings had, up to that day.

Reads   subject_features of the days; subject_daily, users, segments, closings, models and releases
Writes  subject_scores, partitions score_date and subject_bucket
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs import maps
from jobs.champions import EVERYONE_FROM, champion, model_of, verdict
from jobs.closing_features import (
    COLUMNS,
    MAPS,
    ONE,
    Spans,
    counts,
    evenings,
    groups,
    newest_segments,
    places,
    undeclared,
)
from jobs.closing_periods import Period, cuts
from jobs.closing_periods import periods as periods_of
from jobs.config import Declaration
from jobs.contracts import contract
from jobs.publish import Stopped
from jobs.releases import MODEL
from jobs.shell import Days, Job, State
from ml.classify import Model

Batches = Iterator[pa.RecordBatch]
CATEGORY, DUE = "category:", "due:"


def build(
    subject_features: DataFrame,
    subject_daily: DataFrame,
    users: DataFrame,
    segments: DataFrame,
    closings: DataFrame,
    models: DataFrame,
    releases: DataFrame,
    *,
    days: Sequence[date],
    feature_declarations: Mapping[str, Declaration],
    demographics: Mapping[str, Sequence[str]],
    segmentation: str = "rfm",
    active_periods: int = 3,
    every_days: int = 7,
) -> DataFrame:
    """Score who is due on each day.

    Raises
    ------
    Stopped
        When a champion needs a feature that nothing makes any more, or is not what was kept.

    """
    about = contract("subject_scores")
    judged = [row.asDict() for row in releases.where(F.col("kind") == MODEL).collect()]  # verdicts are few
    due = _due(judged, days)
    if not due:
        return subject_features.sparkSession.createDataFrame([], about.ddl)
    scored = sorted({day for whole in due.values() for day in whole})
    rows = _described(
        subject_features, subject_daily, users, segments, closings, scored, demographics, segmentation,
        active_periods,
    )  # fmt: skip
    wanted = models.where(F.col("model_version").isin([version for _, version in due]))
    kept = {row["model_version"]: row.asDict(recursive=True) for row in wanted.collect()}
    chosen = [
        _usable(kept.get(version), name, version, {*feature_declarations}, {*demographics})
        for name, version in due
    ]
    keys = sorted({key for model in chosen for key in model["categories"]})
    described = {*COLUMNS, *demographics}
    flags = [_is_due(whole, every_days).alias(f"{DUE}{number}") for number, whole in enumerate(due.values())]
    shown = rows.select(
        "score_date",
        "subject",
        "subject_bucket",
        *MAPS,
        *(
            (F.col(key) if key in described else F.lit(None).cast("string")).alias(f"{CATEGORY}{key}")
            for key in keys
        ),
        *flags,
    )
    somehow = reduce(Column.__or__, (F.col(f"{DUE}{number}") for number in range(len(due))))
    # One pass for all models: describing a subject costs more than scoring it.
    return shown.where(somehow).mapInArrow(scorer(chosen), about.ddl)


def _due(
    judged: Sequence[Mapping[str, Any]], days: Sequence[date]
) -> dict[tuple[str, str], dict[date, bool]]:
    """By model and champion its days, and whether everyone is scored.

    Everyone is where it was no champion the day before, or a person has made it one since those were scored.
    """
    found: dict[tuple[str, str], dict[date, bool]] = {}
    for name in sorted({row["name"] for row in judged}):
        for day in days:
            said = verdict(judged, name, day)
            if said is not None:
                is_new = said["version"] != champion(judged, name, day - timedelta(1))
                by_hand = dict(said["details"] or {}).get(EVERYONE_FROM) == day.isoformat()
                found.setdefault((name, said["version"]), {})[day] = is_new or by_hand
    return found


def _is_due(whole: Mapping[date, bool], every_days: int) -> Column:
    """Whether a row is scored: on some days everyone, on others who was active, and a share by hash."""
    everyone = F.col("score_date").isin([day for day, is_whole in whole.items() if is_whole])
    others = F.col("score_date").isin([day for day, is_whole in whole.items() if not is_whole])
    number = F.unix_date("score_date")
    turn = F.pmod(F.xxhash64("subject") + number, F.lit(every_days)) == 0
    return everyone | (others & ((F.col("last_active_date") == F.col("score_date")) | turn))


def _described(
    subject_features: DataFrame,
    subject_daily: DataFrame,
    users: DataFrame,
    segments: DataFrame,
    closings: DataFrame,
    days: Sequence[date],
    demographics: Mapping[str, Sequence[str]],
    segmentation: str,
    active_periods: int,
) -> DataFrame:
    """Return the days' subjects with all that models may know, as in closing_examples."""
    known = periods_of(row.asDict() for row in closings.collect())  # closings are few
    spans = {str(day): trailing(known, day, active_periods) for day in days}
    ending = evenings(subject_features.sparkSession, days)
    named = subject_features.withColumnRenamed("feature_date", "score_date")
    rows = ending.join(named, on=F.col("score_date") == F.col("closing_date"), how="inner")
    for more in (
        counts(subject_daily, spans),
        groups(users, ending, list(demographics)),
        newest_segments(segments, ending, segmentation),
    ):
        rows = rows.join(more, on=[*ONE], how="left")
    none = F.map_from_entries(
        F.array(
            *(
                F.struct(F.lit(f"period_{what}_{number}"), F.lit(0.0))
                for what in ("visits", "sales", "lines")
                for number in range(active_periods)
            )
        )
    )
    return rows.withColumn("_counts", F.coalesce("_counts", none))


def trailing(known: Sequence[Period], day: date, active_periods: int) -> Spans:
    """Return the spans of the newest closing that is over, moved on so that they end on the day.

    Raises
    ------
    Stopped
        When too few closings are over: a model cannot have been trained.

    """
    over = [cut for cut in cuts(known, active_periods) if cut.period.last_date <= day]
    if not over:
        raise Stopped(
            f"No closing with {active_periods - 1} others before it is over on {day}: closings were called"
            " off, or moved; roll back with `vitrine model rollback`, or mend them in the lake."
        )
    later = day - over[-1].period.last_date
    return [(first + later, last + later) for first, last in over[-1].spans]


def _usable(
    row: Mapping[str, Any] | None,
    name: str,
    version: str,
    declared: Collection[str],
    demographics: Collection[str],
) -> Mapping[str, Any]:
    again = f"roll back with `vitrine model rollback {name}`, or train a closing again"
    if row is None:
        raise Stopped(f"{version} is the champion of {name}, and models has no such row: {again}.")
    gone = undeclared(row["features"], declared, demographics)
    if gone:
        raise Stopped(
            f"{version} needs {', '.join(gone)}, which conf/features.yaml does not declare any more: declare"
            f" it, {again}."
        )
    model_of(row)
    return row


def scorer(chosen: Sequence[Mapping[str, Any]]) -> Callable[[Batches], Batches]:
    """Return the function for mapInArrow that scores rows by each model for which they are due."""

    def score(batches: Batches) -> Batches:
        models = [model_of(row) for row in chosen]
        for batch in batches:
            for number, (row, model) in enumerate(zip(chosen, models, strict=True)):
                due = batch.filter(batch.column(f"{DUE}{number}"))
                if due.num_rows:
                    yield _scores(due, row, model)

    return score


def _scores(batch: pa.RecordBatch, row: Mapping[str, Any], model: Model) -> pa.RecordBatch:
    schema, n = contract("subject_scores").arrow_schema.remove_metadata(), batch.num_rows
    values = {key: pa.array(dict(row["category_values"])[key], pa.string()) for key in row["categories"]}
    codes = [
        np.asarray(pc.fill_null(pc.index_in(batch.column(f"{CATEGORY}{key}"), own), -1), dtype=np.int64)
        for key, own in values.items()
    ]
    found = model.predict(inputs(batch, places(row["features"])), codes)
    columns = {
        "score_date": batch.column("score_date"),
        "subject": batch.column("subject"),
        "subject_bucket": batch.column("subject_bucket"),
        "model": pa.array([row["name"]] * n, pa.string()),
        "model_version": pa.array([row["model_version"]] * n, pa.string()),
        "scores": maps.mapped({name: found[:, j] for j, name in enumerate(row["classes"])}, n),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def inputs(batch: pa.RecordBatch, held: Mapping[str, Mapping[int, str]]) -> NDArray[np.float32]:
    """Return features as models read them: (n, f) float32, column-major, NaN for missing.

    held: by column of maps its features' numbers and keys. Spark does not put the maps together: it would
    read every entry of every row by itself, which costs more than the trees.
    """
    width = sum(map(len, held.values()))
    found = np.empty((batch.num_rows, width), np.float32, order="F")
    for column, own in held.items():
        found[:, list(own)] = maps.table(
            batch.column(column), list(own.values()), dtype=np.float32, order="F"
        )
    return found


JOB = Job(
    build,
    reads=(
        Days("subject_features"),
        State("subject_daily"),
        State("users"),
        State("segments"),
        State("closings"),
        State("models"),
        State("releases"),
    ),
    writes="subject_scores",
)

if __name__ == "__main__":
    JOB.main()
