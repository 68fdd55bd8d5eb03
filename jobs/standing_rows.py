"""The layouts that stand on a night (`jobs.standing`), as the export takes them: without Spark, as a stream.

Reads   layouts and subject_features: the files of a subject bucket side by side
Writes  nothing
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.inputs import Buckets, bucket_files
from jobs.merged import File, whole_subjects
from jobs.scenarios import LIVE
from jobs.standing import BETWEEN, DEFAULTS, KEY, NIGHTS, SHOWN
from jobs.tables import Tables

BATCH_ROWS = 16_384
"""Rows of a file that are held at once: there are up to eight of a bucket, and layouts are wide."""


def batches(
    tables: Tables,
    night: date,
    versions: Mapping[str, int | None],
    columns: Sequence[str],
    forgotten: pa.Array,
) -> Iterator[pa.RecordBatch]:
    """Stream the live layouts that stand on a night, of nobody forgotten, in bounded memory."""
    wanted = list(dict.fromkeys([*columns, *KEY, "scenario", "widgets"]))
    of_night = (ds.field("layout_date") == night) & DEFAULTS
    shown = _joined(tables.read("layouts", of_night, SHOWN, versions["layouts"]), *SHOWN)
    read_of: dict[str, Sequence[str]] = {"layouts": wanted, "subject_features": ["subject"]}
    read = Buckets(("layouts", "subject_features"), before=NIGHTS - 1)
    for _, files in bucket_files(tables, read, [night], versions):
        parts = [File(*file) for file in files if file[0] == "layouts" or file[1] == night]
        days = [part.day for part in parts if part.table == "layouts"]  # whose files come first
        for found in whole_subjects(parts, read_of, batch_rows=BATCH_ROWS) if days else ():
            drawn, features = found[: len(days)], found[len(days) :]
            present = _chained([rows["subject"] for rows in features])
            stands = _standing(list(zip(days, drawn, strict=True)), night, present, shown)
            is_kept = pc.invert(pc.is_in(stands["subject"], value_set=forgotten))
            yield from stands.filter(is_kept).select(columns).to_batches()


def _standing(
    dated: Sequence[tuple[date, pa.Table]], night: date, present: pa.Array, shown: pa.Array
) -> pa.Table:
    """Keep what stands of some whole subjects, whose rows are given night by night, in rising order."""
    live = [(day, rows.filter(pc.equal(rows["scenario"], LIVE))) for day, rows in dated]
    rows = pa.concat_tables([part for _, part in live])
    is_own = np.repeat([day == night for day, _ in live], [part.num_rows for _, part in live])
    last = _last_of_each(_joined(rows, *KEY))
    rows, is_own = rows.take(pa.array(last)), is_own[last]
    may = pc.and_(
        pc.is_in(rows["subject"], value_set=present),
        pc.is_in(_joined(rows, *SHOWN), value_set=shown),
    )
    has_any = pc.greater(pc.list_value_length(rows["widgets"]), 0)
    return rows.filter(pc.and_(pc.or_(pa.array(is_own), may.combine_chunks()), has_any.combine_chunks()))


def _joined(rows: pa.Table, *names: str) -> pa.Array:
    """Return columns as one; a variant that is null is the page's only one."""
    return _chained([pc.binary_join_element_wise(*(pc.fill_null(rows[name], "") for name in names), BETWEEN)])


def _chained(columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    chunks = [chunk for column in columns for chunk in column.chunks]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())


def _last_of_each(names: pa.Array) -> NDArray[np.int64]:
    """Return where each name stands last, in rising order."""
    codes = np.asarray(names.dictionary_encode().indices)
    last = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.int64)
    last[codes] = np.arange(len(codes))  # of places that repeat the last value stays
    return np.sort(last)
