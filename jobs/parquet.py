"""Parquet files that are read step by step, in memory that does not grow with the file."""

from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq


def in_steps(source: Any, few: Sequence[str] = ()) -> pq.ParquetFile:
    """Open a Parquet file that is read batch by batch.

    By default Arrow reads ahead and keeps what it read ahead until the file is closed: the whole of it in the
    end. Here a column's piece of a row group is let go with the group.

    source: a file that is open for reading.
    few: columns with few distinct values, read as dictionaries.
    """
    return pq.ParquetFile(source, read_dictionary=list(few), pre_buffer=False)
