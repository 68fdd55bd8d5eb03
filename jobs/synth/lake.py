"""Writes a synthetic lake: a task of Spark for each block of users and day.

Reads   nothing
Writes  {home}/lake, in the forms and folders of the configured sources
A file holds a block's day and follows from the seed alone, however the work is split. Written again, it is
the same file.
"""

import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.synth import people, sessions, shop, telemetry
from jobs.synth.size import Size
from jobs.tables import located

WRITTEN = "source string, files long, rows long, bytes long"
Rows = tuple[str, int, int]  # source, rows, bytes


@dataclass(frozen=True)
class Folders:
    """Where each source of a lake lies."""

    root: str
    paths: dict[str, str]

    def put(self, source: str, day: date, name: str, content: bytes, rows: int) -> Rows:
        """Write a file of a source and arrival day."""
        filesystem, base = located(f"{self.root}/{self.paths[source]}/date={day}")
        filesystem.create_dir(base)
        with filesystem.open_output_stream(f"{base}/{name}", compression=None) as stream:
            stream.write(content)
        return source, rows, len(content)


def write(spark: SparkSession, size: Size, folders: Folders) -> list[dict[str, int | str]]:
    """Write the lake; return files, rows and bytes of each source."""
    tasks = spark.createDataFrame(
        [(day, block) for day in range(size.days) for block in range(size.blocks)], "day int, block int"
    ).repartition(size.days * size.blocks, "day", "block")
    sources = (
        _run(tasks, size, folders)
        .groupBy("source")
        .agg(*[F.sum(n).alias(n) for n in ("files", "rows", "bytes")])
    )
    found = [row.asDict() for row in sources.collect()]
    return sorted(found + _summed(_catalogue(size, folders)), key=lambda row: str(row["source"]))


def _run(tasks: DataFrame, size: Size, folders: Folders) -> DataFrame:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for task in batch.to_pylist():
                rows = _summed(write_block(size, folders, task["block"], task["day"]))
                yield pa.RecordBatch.from_pylist(rows)

    return tasks.mapInArrow(run, WRITTEN)


def write_block(size: Size, folders: Folders, block: int, day: int) -> list[Rows]:
    """Write all files of a block's day; on the first day, who its users are."""
    who = people.of_block(size, block)
    held = sessions.of_day(size, who, block, day)
    orders, lines = shop.orders(size, who, held, block, day)
    text = telemetry.of_day(size, who, held, shop.order_values(orders, lines), block, day)
    today, tomorrow, name = size.date(day), size.date(day + 1), f"{block:05d}"
    written = [
        folders.put("telemetry", today, f"{name}.jsonl.gz", _packed(text.telemetry), len(text.telemetry)),
        folders.put("tags", today, f"{name}.jsonl.gz", _packed(text.tags), len(text.tags)),
        folders.put("orders", today, f"{name}.parquet", _parquet(orders), orders.num_rows),
        folders.put("order_lines", today, f"{name}.parquet", _parquet(lines), lines.num_rows),
    ]
    for source, late in (("telemetry", text.late_telemetry), ("tags", text.late_tags)):
        if late:
            written.append(folders.put(source, tomorrow, f"late-{name}.jsonl.gz", _packed(late), len(late)))
    if day == 0:
        for source, table in (("users", shop.users(who)), ("consents", shop.consents(size, who))):
            written.append(folders.put(source, today, f"{name}.parquet", _parquet(table), table.num_rows))
    return written


def _catalogue(size: Size, folders: Folders) -> list[Rows]:
    products, closings, widgets = shop.products(size), shop.closings(size), shop.widgets(size)
    text = b"".join(orjson.dumps(row) + b"\n" for row in widgets)
    return [
        folders.put("products", size.first, "products.parquet", _parquet(products), products.num_rows),
        folders.put("closings", size.first, "closings.parquet", _parquet(closings), closings.num_rows),
        folders.put("widgets", size.first, "widgets.jsonl", text, len(widgets)),
    ]


def _summed(written: Sequence[Rows]) -> list[dict[str, int | str]]:
    found: dict[str, dict[str, int | str]] = {}
    for source, rows, length in written:
        sums = found.setdefault(source, {"source": source, "files": 0, "rows": 0, "bytes": 0})
        for name, n in (("files", 1), ("rows", rows), ("bytes", length)):
            sums[name] = int(sums[name]) + n
    return list(found.values())


def _packed(lines: Sequence[str]) -> bytes:
    # Without a time in the header, so that equal lines are equal files.
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), compresslevel=1, mtime=0)


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
