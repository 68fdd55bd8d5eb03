"""subject_totals: one row per subject and monthly checkpoint, with all that it did up to the end of a month.

A checkpoint is made `late_days` after its month ended: what arrives in time has arrived by then. It is the
checkpoint before it plus the days since, so it costs a month, however long the history is; and whoever needs
lifetime values adds the days since the last checkpoint to it. A run that rebuilds an older day (a late
correction) rebuilds the checkpoints that counted it.

Reads   subject_daily since the checkpoint before, and that checkpoint
Writes  subject_totals, partition settled_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from jobs.checkpoints import is_settled, that_count
from jobs.contracts import contract
from jobs.merged import gathered
from jobs.shell import Job, State, Until
from jobs.subject_past import COUNTS, FIRST, LAST, MAPS, WHO, Past

Integers = NDArray[np.int64]

ROWS_AT_ONCE = 100_000


def build(
    subject_daily: DataFrame, subject_totals: DataFrame, *, days: Sequence[date], late_days: int
) -> DataFrame:
    """Make the checkpoints that settle on these days; on most days there is none."""
    settled = [day for day in days if is_settled(day, late_days)]
    if not settled:
        return subject_totals.limit(0)
    about = contract("subject_totals")
    rows = Past.before(subject_daily, subject_totals, settled[0] - timedelta(late_days)).rows()
    spans = [(day, day - timedelta(late_days)) for day in settled]
    compute = partial(_checkpoints, spans=spans, schema=about.arrow_schema.remove_metadata())
    return rows.repartition("subject").sortWithinPartitions("subject").mapInArrow(compute, about.ddl)


def late(
    subject_daily: DataFrame,  # noqa: ARG001 - bound by name
    subject_totals: DataFrame,
    *,
    days: Sequence[date],
) -> DataFrame:
    """Name the checkpoints that counted the earliest of the days."""
    return that_count(subject_totals, days[0])


def _checkpoints(
    batches: Iterator[pa.RecordBatch], *, spans: Sequence[tuple[date, date]], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for rows in gathered(batches, ROWS_AT_ONCE):
        for settled, until in spans:
            counted = rows.filter(pc.less_equal(rows["day"], pa.scalar(until)))
            if counted.num_rows:
                yield from _total(counted.combine_chunks(), settled, until, schema).to_batches()


def _total(rows: pa.Table, settled: date, until: date, schema: pa.Schema) -> pa.Table:
    """Add up the rows of each subject."""
    n = rows.num_rows
    codes = rows["subject"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    subject = np.repeat(np.arange(len(starts)), np.diff(starts, append=n))
    first = pa.array(starts)
    dates = {"settled_date": settled, "until_date": until}
    columns = {name: pa.array([day] * len(starts), pa.date32()) for name, day in dates.items()}
    columns |= {name: rows[name].take(first) for name in WHO}
    grouped = (
        rows.select([*FIRST, *LAST])
        .append_column("_at", pa.array(subject))
        .group_by("_at", use_threads=False)
    )
    extremes = grouped.aggregate([*((name, "min") for name in FIRST), *((name, "max") for name in LAST)])
    columns |= {name: extremes[f"{name}_min"] for name in FIRST} | {
        name: extremes[f"{name}_max"] for name in LAST
    }
    for name in COUNTS:
        values = pc.fill_null(rows[name], 0).to_numpy().astype(np.int64)
        columns[name] = pa.array(np.add.reduceat(values, starts))
    for name in MAPS:
        columns[name] = _sum_maps(rows[name].combine_chunks(), subject, len(starts))
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def _sum_maps(column: pa.MapArray, subject: Integers, subjects: int) -> pa.MapArray:
    """Sum maps of the rows of each subject, key by key; keys come in order."""
    offsets = np.asarray(column.offsets, dtype=np.int64)
    first, count = int(offsets[0]), int(offsets[-1] - offsets[0])
    encoded = column.keys.slice(first, count).dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(order), np.int64)
    rank[order.to_numpy()] = np.arange(len(order))
    width = max(len(rank), 1)
    of = np.repeat(subject, np.diff(offsets)) * width + rank[encoded.indices.to_numpy(zero_copy_only=False)]
    keys, place = np.unique(of, return_inverse=True)
    sums = np.zeros(len(keys), np.int64)
    np.add.at(sums, place, np.asarray(column.items.slice(first, count), dtype=np.int64))
    bounds = np.searchsorted(keys, np.arange(subjects + 1) * width).astype(np.int32)
    names = encoded.dictionary.take(order).take(pa.array(keys % width))
    return pa.MapArray.from_arrays(pa.array(bounds), names, pa.array(sums, column.type.item_type))


JOB = Job(build, reads=(Until("subject_daily"), State("subject_totals")), writes="subject_totals", late=late)

if __name__ == "__main__":
    JOB.main()
