"""bandit_statistics: sums that linear bandits learn from.

One row per day, page, feature set, reward version, arm and subject bucket.

Reads   feedback (seen positions) and contexts, of the days
Writes  bandit_statistics, partition decision_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.

x of a position = its draw's context, then the shown widget's own features. Rows are summed in the order
(subject, decision, position), so that the sums are the same to the bit however the work was split.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config import FeatureSet
from jobs.contracts import contract
from jobs.shell import Days, Job
from ml.bandits.statistics import RunningSums

GROUP = ("decision_date", "page", "feature_set", "reward_version", "subject_bucket")
ORDER = ("subject", "decision_id", "position")
REJECTION = (("_reason", pa.string()), ("_raw", pa.string()))


def build(
    feedback: DataFrame, contexts: DataFrame, *, days: Sequence[date], feature_sets: Mapping[str, FeatureSet]
) -> DataFrame:
    """Sum the seen positions of each day, by arm and bucket, for every feature set of the configuration."""
    rows = with_contexts(feedback, contexts, days=days, feature_sets=feature_sets)
    ordered = rows.repartition(*GROUP).sortWithinPartitions(*GROUP, *ORDER)
    about = contract("bandit_statistics")
    schema = pa.schema([*about.arrow_schema, *(pa.field(*column) for column in REJECTION)])
    return ordered.mapInArrow(
        partial(sum_in_order, schema=schema), f"{about.ddl}, _reason string, _raw string"
    )


def with_contexts(
    feedback: DataFrame, contexts: DataFrame, *, days: Sequence[date], feature_sets: Mapping[str, FeatureSet]
) -> DataFrame:
    """Give each seen position its x, once for each feature set; `_reason` says why a row has none."""
    known = contexts.where(F.col("feature_set").isin(list(feature_sets))).select(
        "draw_id", "decision_date", "feature_set", "candidates", "context", "action_context"
    )
    seen = feedback.where(F.col("is_seen") & F.col("decision_date").isin(list(days)))
    place = F.array_position("candidates", F.col("widget"))
    joined = seen.join(known, on=["draw_id", "decision_date"], how="left").withColumn("place", place)
    return joined.select(
        *GROUP,
        *ORDER,
        "widget",
        F.col("reward").cast("double").alias("reward"),
        _arm_context().alias("x"),
        _reason(feature_sets).alias("_reason"),
        F.to_json(F.struct("decision_id", "position", "draw_id", "page", "widget", "feature_set")).alias(
            "_raw"
        ),
    )


def sum_in_order(batches: Iterator[pa.RecordBatch], *, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Sum consecutive rows of a group; a group may go on over many batches."""
    group: _Group | None = None
    for batch in batches:
        good = batch.filter(pc.is_null(batch["_reason"]))
        if good.num_rows < batch.num_rows:
            yield _rejected(batch.filter(pc.is_valid(batch["_reason"])), schema)
        for start, end in _stretches(good):
            key = {name: good[name][start].as_py() for name in GROUP}
            if group is None or group.key != key:
                if group is not None:
                    yield group.rows(schema)
                group = _Group(key)
            group.add(good.slice(start, end - start))
    if group is not None:
        yield group.rows(schema)


class _Group:
    """Running sums of one group; arms are added as they turn up."""

    def __init__(self, key: dict[str, Any]) -> None:
        self.key = key
        self.arms: dict[str, int] = {}
        self.sums: RunningSums | None = None

    def add(self, rows: pa.RecordBatch) -> None:
        encoded = rows["widget"].dictionary_encode()
        places = [self.arms.setdefault(widget, len(self.arms)) for widget in encoded.dictionary.to_pylist()]
        contexts = pc.list_flatten(rows["x"]).to_numpy(zero_copy_only=False).reshape(rows.num_rows, -1)
        if self.sums is None:
            self.sums = RunningSums(0, contexts.shape[1])
        self.sums.grow(len(self.arms))
        actions = np.asarray(places, dtype=np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
        rewards = rows["reward"].to_numpy(zero_copy_only=False)
        self.sums.add(contexts, actions, rewards)

    def rows(self, schema: pa.Schema) -> pa.RecordBatch:
        """Return one row for each arm, arms in the order of their names."""
        assert self.sums is not None
        sums, arms = self.sums.statistics(), sorted(self.arms)
        order = [self.arms[arm] for arm in arms]
        columns: dict[str, Any] = {name: pa.array([value] * len(arms)) for name, value in self.key.items()}
        columns |= {"widget": pa.array(arms), "n": pa.array(sums.n[order]), "rr": pa.array(sums.rr[order])}
        columns |= {"xx": pa.array(list(sums.xx[order])), "rx": pa.array(list(sums.rx[order]))}
        return _batch(columns, len(arms), schema)


def _arm_context() -> Column:
    own = F.try_divide(F.size("action_context"), F.size("candidates")).cast("int")
    first = (F.col("place").cast("int") - 1) * own + 1
    shown = F.slice("action_context", first, own)
    return F.when(F.col("place") > 0, F.concat("context", shown)).cast("array<double>")


def _reason(feature_sets: Mapping[str, FeatureSet]) -> Column:
    shared = _by_set({name: len(features.context) for name, features in feature_sets.items()})
    own = _by_set({name: len(features.action) for name, features in feature_sets.items()})
    fits = (F.size("context") == shared) & (F.size("action_context") == own * F.size("candidates"))
    return (
        F.when(F.col("feature_set").isNull(), F.lit("no context is known for its draw"))
        .when(~fits, F.lit("its context has another width than its feature set"))
        .when(F.col("place") == 0, F.lit("its widget is no candidate of its draw"))
    )


def _by_set(numbers: Mapping[str, int]) -> Column:
    pairs = [F.lit(part) for pair in sorted(numbers.items()) for part in pair]
    return F.create_map(*pairs)[F.col("feature_set")]


def _stretches(batch: pa.RecordBatch) -> list[tuple[int, int]]:
    """Bounds of consecutive rows of one group."""
    if not batch.num_rows:
        return []
    changed = np.zeros(batch.num_rows - 1, dtype=bool)
    for name in GROUP:
        column = batch[name]
        changed |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    bounds = [0, *(np.flatnonzero(changed) + 1).tolist(), batch.num_rows]
    return list(pairwise(bounds))


def _rejected(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return _batch({name: rows[name] for name in (*GROUP, "widget", "_reason", "_raw")}, rows.num_rows, schema)


def _batch(columns: Mapping[str, pa.Array], rows: int, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [columns.get(field.name, pa.nulls(rows)).cast(field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


JOB = Job(build, reads=(Days("feedback"), Days("contexts")), writes="bandit_statistics")

if __name__ == "__main__":
    JOB.main()
