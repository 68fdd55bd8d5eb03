"""Which times a file of events names, found without parsing it: late data names the days to rebuild."""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.sources import files as lake
from jobs.sources import forms, hits, schemas
from jobs.sources.files import DamagedError, LakeFile
from jobs.sources.hits import QUARTER
from jobs.sources.times import Time
from jobs.sources.values import convert

COLUMNS = {"arrival_date": "date", "at": "timestamp"}
LONGEST_MATCH = 128


def instants(files: DataFrame, time: Time) -> DataFrame:
    """Return each file's arrival day with the quarters of hours that its times fall into.

    A scan of the bytes, many times as fast as parsing; a time that turns out to be a broken row's names a day
    that is then rebuilt in vain, to the same rows.
    """
    schema = schemas.arrow(COLUMNS)

    def reader(listed: Iterator[LakeFile]) -> Iterator[pa.RecordBatch]:
        for file in listed:
            found = sorted(_quarters(file.path, time))
            columns = [
                pa.array([file.arrival_date] * len(found), schema.field("arrival_date").type),
                pa.array([quarter * QUARTER for quarter in found], schema.field("at").type),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return lake.read(files, reader, COLUMNS)


def _quarters(path: str, time: Time) -> set[int]:
    found = set[int]()
    if path.endswith(".parquet"):
        for block in forms.blocks(path, ["event_timestamp"]):
            column, _ = convert(_numbers(block.columns["event_timestamp"]), pa.int64(), from_text=False)
            found.update(at // QUARTER for at in column.to_pylist() if at and at > 0)
    else:
        carry = b""
        with suppress(DamagedError):
            for chunk in lake.chunks(path):
                text = carry + chunk
                found.update(np.unique(time.named(text) // np.uint64(QUARTER)).tolist())
                carry = text[-LONGEST_MATCH:]
    return {quarter for quarter in found if quarter <= hits.LAST_MICROSECOND // QUARTER}


def _numbers(times: pa.Array) -> list[object]:
    """Times as numbers where they are written out, as 64-bit integers often are."""
    return [int(at) if isinstance(at, str) and at.isdecimal() else at for at in times.to_pylist()]
