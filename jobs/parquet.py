"""Parquet files that are read batch by batch, no more of them in memory than a row group each."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq


def batches(
    file: pq.ParquetFile, rows: int, columns: Sequence[str] | None = None, *, use_threads: bool = True
) -> Iterator[pa.RecordBatch]:
    """Yield a file's rows in order, at most so many at once, of these columns or of all.

    Row groups are asked for one by one. Asked for all, Arrow reads ahead and keeps what it read until the
    file is closed: the whole of it in the end. This way it reads a group's columns in few requests, and lets
    them go with the group. And row groups have dictionaries of their own: nested texts of two are more than
    Arrow can join.
    """
    for group in range(file.num_row_groups):
        yield from file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=use_threads)
