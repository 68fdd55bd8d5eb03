"""Stage: what a job built goes, accepted and rejected rows in one pass, to Parquet files beside its table.

Rows go by the engine; what comes as pieces (`jobs.pieces`) is written by the tasks that hold them, in Arrow,
so that nothing takes its rows apart. Both ways hold each row against the contract's row rules, which are
expressions that Spark and DuckDB read alike, and file it under one day.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs import pieces
from jobs.contracts import Contract, arrow_type
from jobs.spark import shuffle_tasks
from jobs.tables import located

# What a build may say about a row that it rejects: why, from which file and line, and the redacted row. A row
# with `_skipped` stands for so many things that are rightly left out: they are told, and not quarantined.
REJECTION = {
    "_reason": "string",
    "_file": "string",
    "_offset": "long",
    "_raw": "string",
    "_skipped": "long",
    "_day": "date",
}
BUCKET = "subject_bucket"
AT_ONCE = 100_000
"""Rows of pieces that are sorted and written together, as a row group."""
NAMES = re.compile(r"'[^']*'|\w+")
"""Texts and words of an expression."""


@dataclass(frozen=True)
class Staged:
    """Files that a run wrote beside its table."""

    folder: str
    path: str

    @property
    def good(self) -> str:
        """Folder of the accepted rows."""
        return f"{self.path}/rejected=false"

    @property
    def bad(self) -> str:
        """Folder of the rejected rows."""
        return f"{self.path}/rejected=true"


class Misplaced(RuntimeError):
    """A row that was accepted lies among the pieces of another partition."""


def stage(
    built: DataFrame, about: Contract, days: Sequence[date], staged: Staged, *, is_bucketed: bool = False
) -> None:
    """Judge what was built, and write what belongs to these days.

    is_bucketed: whether each partition of `built` holds whole buckets, so that no shuffle is needed.
    """
    if pieces.are(built):
        write_pieces(built, about, days, staged)
    else:
        write(accept(built, about, days), about, staged, is_bucketed=is_bucketed)


def accept(built: DataFrame, about: Contract, days: Sequence[date]) -> DataFrame:
    """Cast to the contract, give every row that breaks a row rule its reason, drop rows of other days."""
    typed = [column_of(built, name, column.type).alias(name) for name, column in about.columns.items()]
    notes = [column_of(built, name, kind).alias(name) for name, kind in REJECTION.items()]
    frame = built.select(*typed, *notes)
    broken = [
        F.when(~F.coalesce(F.expr(rule), F.lit(False)), F.lit(name)) for name, rule in about.rows.items()
    ]
    frame = frame.withColumn("_reason", F.coalesce("_reason", *broken)).withColumn(
        "rejected", F.col("_reason").isNotNull()
    )
    if about.day is None:
        return frame
    arrival = [name for name in ("arrival_date", about.day) if name in about.columns]
    own = F.when(F.col("rejected"), F.coalesce("_day", *arrival, F.lit(days[0]))).otherwise(F.col(about.day))
    return frame.withColumn("_day", own).where(_among(F.col("_day"), days))


def column_of(frame: DataFrame, name: str, kind: str) -> Column:
    """A column of a type, null where the frame has none of that name."""
    return F.col(f"`{name}`").cast(kind) if name in frame.columns else F.lit(None).cast(kind)


def write(frame: DataFrame, about: Contract, staged: Staged, *, is_bucketed: bool = False) -> None:
    """Write the rows in the contract's order, a file per partition."""
    by = about.partition_by
    gathered = frame if is_bucketed else _by_partition(frame, about) if by else frame.coalesce(1)
    gathered.sortWithinPartitions("rejected", *by, *about.order).write.mode("overwrite").partitionBy(
        "rejected", *by
    ).parquet(staged.path)


def _by_partition(frame: DataFrame, about: Contract) -> DataFrame:
    """Bring the rows of a partition into one task.

    Buckets are dealt out by their number: by a hash, one task would get both of a day's two every other day.
    """
    if BUCKET not in about.partition_by:
        return frame.repartition(*about.partition_by)
    day = F.unix_date(about.day) if about.day else F.lit(0)
    return frame.repartitionById(shuffle_tasks(frame.sparkSession), F.col(BUCKET) + day)


def _among(column: Column, days: Sequence[date]) -> Column:
    if days[-1].toordinal() - days[0].toordinal() + 1 == len(days):
        return column.between(F.lit(days[0]), F.lit(days[-1]))
    return column.isin(list(days))


def in_pieces(about: Contract) -> pa.Schema:
    """Return the schema of rows in pieces: the table's columns, and what may be said of a rejected row."""
    plain = [(name, column.arrow) for name, column in about.columns.items()]
    return pa.schema([*plain, *((name, arrow_type(kind)) for name, kind in REJECTION.items())])


def write_pieces(built: DataFrame, about: Contract, days: Sequence[date], staged: Staged) -> None:
    """Write pieces, each of one day and subject bucket, where their rows are: a file per partition.

    A file's rows are sorted within its row groups, so that no task need hold a whole partition.

    Raises
    ------
    ValueError
        When the contract says how the rows of a file are sorted, or has other partitions.

    """
    if about.sort_by or about.partition_by != [about.day, BUCKET]:
        raise ValueError(f"{about.table} cannot be staged as pieces: its files are not by day and bucket.")
    task = partial(_written, about=about, days=frozenset(days), staged=staged)
    pieces.gathered(built).mapInArrow(task, "rows bigint").toArrow()


def _written(
    batches: Iterator[pa.RecordBatch], about: Contract, days: frozenset[date], staged: Staged
) -> Iterator[pa.RecordBatch]:
    """Write the pieces of some partitions, one after another; yield how many rows each had."""
    every = pieces.each(batches)
    for (day, bucket), own in groupby(every, lambda piece: (piece[0]["day"], piece[0]["part"])):
        if day not in days:
            continue
        where = {str(about.day): day, BUCKET: bucket}
        with Partition(about, staged, where) as partition:
            for rows in in_groups(rows for _, rows in own):
                partition.write(judged(rows, about))
        yield pa.RecordBatch.from_pydict({"rows": [partition.rows]})


def in_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Put batches together until they have AT_ONCE rows."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= AT_ONCE:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def judged(rows: pa.Table, about: Contract) -> pa.Table:
    """Give every row that breaks a row rule its reason, where it has none."""
    if not about.rows:
        return rows
    broken = (
        f"when not coalesce({_quoted(rule, about)}, false) then {at}"
        for at, rule in enumerate(about.rows.values())
    )
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        found = (
            connection.from_arrow(rows).project(f"case {' '.join(broken)} end::int as rule").to_arrow_table()
        )
    reason = pc.coalesce(rows["_reason"], pa.array([*about.rows]).take(found["rule"].combine_chunks()))
    return rows.set_column(rows.column_names.index("_reason"), "_reason", reason)


def _quoted(rule: str, about: Contract) -> str:
    """Mark what is a column in an expression: to DuckDB, `user` is who asks."""
    return NAMES.sub(lambda found: f'"{found[0]}"' if found[0] in about.columns else found[0], rule)


class Partition:
    """The files of a partition, of accepted and of rejected rows: each is made when it has a first row."""

    def __init__(self, about: Contract, staged: Staged, where: Mapping[str, Any]) -> None:
        self.about, self.where, self.rows = about, where, 0
        held = [name for name in about.columns if name not in where]
        folder = "/".join(f"{name}={value}" for name, value in where.items())
        # Named by its place alone: what a task wrote before it failed is written over when it is tried again.
        self.of = {
            True: (f"{staged.good}/{folder}/part-0.parquet", held),
            False: (f"{staged.bad}/{folder}/part-0.parquet", [*held, *REJECTION]),
        }
        self.files, self.open = dict[bool, pq.ParquetWriter](), ExitStack()

    def __enter__(self) -> "Partition":
        return self

    def __exit__(self, *_: object) -> None:
        self.open.close()

    def write(self, rows: pa.Table) -> None:
        """Write judged rows, in order, as a row group of either file.

        Raises
        ------
        Misplaced
            When an accepted row is of another partition.

        """
        order = [(name, "ascending", "at_start") for name in self.about.order]
        ordered = rows.take(pc.sort_indices(rows, order))
        is_good = pc.is_null(ordered["_reason"])
        self._write(ordered.filter(is_good), is_good=True)
        self._write(ordered.filter(pc.invert(is_good)), is_good=False)
        self.rows += len(rows)

    def _write(self, rows: pa.Table, *, is_good: bool) -> None:
        for name, value in self.where.items() if is_good else ():
            if not pc.all(pc.equal(rows[name], value)).as_py() or rows[name].null_count:
                raise Misplaced(f"A row of {self.about.table} whose {name} is not {value} lies among those.")
        path, columns = self.of[is_good]
        if len(rows) and is_good not in self.files:
            self.files[is_good] = self.open.enter_context(_file(path, rows.select(columns).schema))
        if len(rows):
            self.files[is_good].write_table(rows.select(columns), row_group_size=len(rows))


@contextmanager
def _file(path: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    filesystem, name = located(path)
    filesystem.create_dir(str(PurePosixPath(name).parent), recursive=True)
    with (
        filesystem.open_output_stream(name) as stream,
        pq.ParquetWriter(stream, schema, compression="zstd", store_schema=False) as file,
    ):
        yield file
