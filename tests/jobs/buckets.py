"""Tables of traffic laid down for tests: files sorted as their contracts say, a file per day and bucket."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.contracts import contract
from jobs.inputs import BUCKETS, Buckets, bucket_files
from jobs.tables import Tables

READ = Buckets(("decisions", "outcomes"), before=1, after=1)


def lay(tables: Tables, name: str, rows: Iterable[Mapping[str, Any]], run_id: str = "laid") -> None:
    """Make these rows the content of a table; columns that a row lacks are null."""
    about = contract(name)
    tables.open(name)
    schema = about.arrow_schema.remove_metadata()

    def place(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[column] for column in about.partition_by)

    for values, own in groupby(sorted(rows, key=place), key=place):
        parts = "/".join(f"{key}={value}" for key, value in zip(about.partition_by, values, strict=True))
        folder = Path(tables.path(name)) / "data" / run_id / parts
        folder.mkdir(parents=True)
        table = pa.Table.from_pylist([dict(row) for row in own], schema=schema)
        table = table.sort_by([(column, "ascending") for column in about.order])
        pq.write_table(table.drop_columns(about.partition_by), folder / "part-0.parquet")
    tables.publish(name, f"data/{run_id}", days=None, run_id=run_id)


def buckets(tables: Tables, days: Sequence[date]) -> list[tuple[int, list[tuple[str, date, str]]]]:
    """List the buckets that the shell would give a job for these days."""
    versions = {name: tables.version(name) for name in READ.tables}
    return bucket_files(tables, READ, days, versions)


def batch(rows: Sequence[tuple[int, list[tuple[str, date, str]]]]) -> pa.RecordBatch:
    """Give the rows as a task gets them."""
    return pa.RecordBatch.from_pylist(
        [
            {
                "subject_bucket": bucket,
                "files": [dict(zip(("table", "day", "path"), file, strict=True)) for file in files],
            }
            for bucket, files in rows
        ]
    )


__all__ = ["BUCKETS", "batch", "buckets", "lay"]
