"""Which times a file of events names, found without parsing it: late data names the days to rebuild."""

import re
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.sources import files as lake
from jobs.sources import forms, hits, schemas
from jobs.sources.files import DamagedError, LakeFile
from jobs.sources.hits import QUARTER, Time
from jobs.sources.values import convert

COLUMNS = {"arrival_date": "date", "at": "timestamp"}
LONGEST_MATCH = 128


def instants(files: DataFrame, time: Time) -> DataFrame:
    """Return each file's arrival day with the quarters of hours that its times fall into.

    A scan of the bytes, ten times as fast as parsing; a time that turns out to be a broken row's names a day
    that is then rebuilt in vain, to the same rows.
    """
    schema = schemas.arrow(COLUMNS)

    def reader(listed: Iterator[LakeFile]) -> Iterator[pa.RecordBatch]:
        for file in listed:
            found = sorted(_quarters(file.path, time.pattern, time.per_microsecond * QUARTER))
            columns = [
                pa.array([file.arrival_date] * len(found), schema.field("arrival_date").type),
                pa.array([quarter * QUARTER for quarter in found], schema.field("at").type),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return lake.read(files, reader, COLUMNS)


def _quarters(path: str, time: re.Pattern[bytes], per_quarter: int) -> set[int]:
    found: set[int] = set()
    last = hits.LAST_MICROSECOND // QUARTER
    if path.endswith(".parquet"):
        for block in forms.blocks(path, ["event_timestamp"]):
            column, _ = convert(_numbers(block.columns["event_timestamp"]), pa.int64(), from_text=False)
            found.update(
                at // per_quarter for at in column.to_pylist() if at and 0 < at // per_quarter <= last
            )
        return found
    carry = b""
    try:
        for chunk in lake.chunks(path):
            text = carry + chunk
            found.update(quarter for at in time.findall(text) if (quarter := int(at) // per_quarter) <= last)
            carry = text[-LONGEST_MATCH:]
    except DamagedError:
        pass
    return found


def _numbers(times: pa.Array) -> list[object]:
    """Times as numbers where they are written out, as 64-bit integers often are."""
    return [int(at) if isinstance(at, str) and at.isdecimal() else at for at in times.to_pylist()]
