"""contexts: one row per draw that was served and feature set of its page, as of the evening before.

A draw that stands in `layouts` keeps the context it was drawn with. Any other (of another system, on request,
or of a set declared later) gets the one that the features of the day before give: nothing of the day itself
is used. Its rules and variant are those that it was served with; one whose rules cannot be read has no row.

Reads   decisions of the days, subject_features of the days before them, layouts of the last two weeks
Writes  contexts, partition decision_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import maps, standing, steering, variants
from jobs.config import FeatureSet
from jobs.scenarios import LIVE
from jobs.shell import Days, Job, Until
from jobs.subject_features import MAPS, feature_columns
from ml.features import assemble, column_names

Batches = Iterator[pa.RecordBatch]

STANDS_DAYS = 8 + standing.NIGHTS - 1
"""A layout is shown on the days after the nights on which it stands, and while the store keeps it valid."""
SCHEMA = (
    "draw_id string, decision_date date, subject string, subject_bucket int, page string, feature_set string,"
    " candidates array<string>, context array<float>, action_context array<float>,"
    " rules string, variant string, is_served boolean"
)
SAME = ("draw_id", "decision_date", "subject", "subject_bucket", "page")
BETWEEN = "\x1f"


def build(
    decisions: DataFrame,
    subject_features: DataFrame,
    layouts: DataFrame,
    *,
    feature_sets: Mapping[str, FeatureSet],
) -> DataFrame:
    """Return the stored context of each draw served, and computed ones for the other sets of its page."""
    draws = _with_stored(_draws(decisions), layouts)
    known = subject_features.select("subject", F.date_add("feature_date", 1).alias("decision_date"), *MAPS)
    wanted = draws.select("subject", "decision_date").distinct()
    needed = known.join(wanted, on=["subject", "decision_date"], how="left_semi")
    as_of_evening_before = draws.join(needed, on=["subject", "decision_date"], how="left")
    return as_of_evening_before.mapInArrow(_kernel(feature_sets), SCHEMA)


def _draws(decisions: DataFrame) -> DataFrame:
    """One row per draw and day it was served on, however many positions it has and subjects it went to."""
    draw = F.struct("subject", "subject_bucket", "page", "candidates", "rules", "variant")
    first = F.min_by(draw, F.struct("subject", "decision_id", "position")).alias("first")
    by_draw = decisions.repartition("draw_id").groupBy("draw_id", "decision_date")
    return by_draw.agg(first).select("draw_id", "decision_date", "first.*")


def _with_stored(draws: DataFrame, layouts: DataFrame) -> DataFrame:
    """Give each draw its row of the newest night before the day it was served on, null where it has none."""
    kept = (
        "subject",
        "subject_bucket",
        "feature_set",
        "candidates",
        "context",
        "action_context",
        "rules",
        "variant",
    )
    live = layouts.where(F.col("scenario") == LIVE).select(
        F.col("draw_id").alias("drawn"), "layout_date", F.struct(*kept).alias("stored")
    )
    age = F.date_diff("decision_date", "layout_date")
    same_draw = (F.col("draw_id") == F.col("drawn")) & (age >= 1) & (age <= STANDS_DAYS)
    nights = draws.join(live, on=same_draw, how="left").groupBy("draw_id", "decision_date")
    row = F.struct(*(name for name in draws.columns if name not in ("draw_id", "decision_date")))
    newest = nights.agg(F.any_value(row).alias("row"), F.max_by("stored", "layout_date").alias("stored"))
    # Under rules everyone may have candidates of their own, which a front end need not know.
    own = F.when(F.col("stored.rules").isNotNull(), F.col("stored.candidates"))
    return newest.select("draw_id", "decision_date", "row.*", "stored").withColumn(
        "candidates", F.coalesce(own, "candidates")
    )


def _kernel(feature_sets: Mapping[str, FeatureSet]) -> Callable[[Batches], Batches]:
    """Return the function for mapInArrow: a draw with its features in, a row for each of its contexts out."""
    sets = list(feature_sets.values())

    def compute(batches: Batches) -> Batches:
        for batch in batches:
            yield _served(batch.filter(batch.column("stored").is_valid()))
            group = pc.binary_join(batch.column("candidates"), BETWEEN).dictionary_encode()
            stored_set = pc.struct_field(batch.column("stored"), "feature_set").fill_null("")
            is_readable = _have_readable_rules(batch)
            for declared in sets:
                is_other = pc.not_equal(stored_set, declared.name)
                due = pc.and_(pc.and_(pc.equal(batch.column("page"), declared.page), is_other), is_readable)
                for number in range(len(group.dictionary)):
                    at = np.flatnonzero(np.asarray(due) & (np.asarray(group.indices) == number))
                    if len(at):
                        yield _computed(batch.take(pa.array(at)), declared)

    return compute


def _served(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Contexts as stored; of a page's default the subject is the default, for it went to many."""
    own = {name: rows.column(name) for name in ("draw_id", "decision_date", "page")}
    names = [field.name for field in rows.column("stored").type]
    stored = dict(zip(names, rows.column("stored").flatten(), strict=True))
    return _ordered(own | stored | {"is_served": pa.array(np.ones(rows.num_rows, dtype=bool))})


def _computed(rows: pa.RecordBatch, declared: FeatureSet) -> pa.RecordBatch:
    """Contexts, in one feature set, of rows that have the same candidates."""
    candidates = rows.column("candidates")[0].as_py()
    names, variant = column_names(declared, candidates), _told(rows, "variant")
    columns = feature_columns(rows, names) | variants.features(names, variant.to_pylist())
    context, action_context = assemble(columns, declared, candidates, rows=rows.num_rows)
    made = {
        "feature_set": pa.array([declared.name] * rows.num_rows, pa.string()),
        "candidates": rows.column("candidates"),
        "context": maps.lists(context, rows.num_rows),
        "action_context": maps.lists(action_context, rows.num_rows),
        "rules": _told(rows, "rules"),
        "variant": variant,
        "is_served": pa.array(np.zeros(rows.num_rows, dtype=bool)),
    }
    return _ordered({name: rows.column(name) for name in SAME} | made)


def _told(rows: pa.RecordBatch, name: str) -> pa.Array:
    """Return what `layouts` says of draws, and of those that are not there what their decisions do."""
    stored = rows.column("stored")
    return pc.if_else(stored.is_valid(), pc.struct_field(stored, name), rows.column(name))


def _have_readable_rules(rows: pa.RecordBatch) -> pa.BooleanArray:
    """Tell of draws whether the rules that their decisions tell, if any, are about their candidates."""
    texts, counts = rows.column("rules").to_pylist(), pc.list_value_length(rows.column("candidates"))
    fits = [
        text is None or steering.is_about(text, count)
        for text, count in zip(texts, counts.to_pylist(), strict=True)
    ]
    return pc.or_(rows.column("stored").is_valid(), pa.array(fits, pa.bool_()))


def _ordered(columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    names = [column.split()[0] for column in SCHEMA.split(", ")]
    return pa.RecordBatch.from_arrays([columns[name] for name in names], names)


JOB = Job(
    build,
    reads=(Days("decisions"), Days("subject_features", before=1), Until("layouts", before=STANDS_DAYS)),
    writes="contexts",
)

if __name__ == "__main__":
    JOB.main()
