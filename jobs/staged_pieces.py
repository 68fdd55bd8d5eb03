"""Pieces that a job built, judged and written in Arrow by the tasks that hold them: Spark takes no row apart.

They are held against the contract's row rules, as rows are (`jobs.staging`): rules are expressions that Spark
and DuckDB read alike.

Grain: a file of accepted rows, and one of rejected ones, for each day and subject bucket.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import partial
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import DataFrame

from jobs import pieces
from jobs.contracts import Contract, arrow_type
from jobs.sources import schemas
from jobs.staging import BUCKET, REJECTED, REJECTION, Staged
from jobs.tables import located

AT_ONCE = 100_000
"""Rows that are sorted and written together, as a row group."""
NAMES = re.compile(r"'[^']*'|\w+")
"""Texts and words of an expression."""


class Misplaced(RuntimeError):
    """A row that was accepted lies among the pieces of another partition."""


def in_pieces(about: Contract) -> pa.Schema:
    """Return the schema of rows in pieces: the table's columns, and what may be said of a rejected row."""
    plain = [(name, column.arrow) for name, column in about.columns.items()]
    return pa.schema([*plain, *((name, arrow_type(kind)) for name, kind in REJECTION.items())])


def write(built: DataFrame, about: Contract, days: Sequence[date], staged: Staged) -> None:
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
    pieces.gathered(built, by_day=True).mapInArrow(task, schemas.ddl(pieces.COLUMNS)).toArrow()


def _written(
    batches: Iterator[pa.RecordBatch], about: Contract, days: frozenset[date], staged: Staged
) -> Iterator[pa.RecordBatch]:
    """Write the pieces of some partitions, one after another; there is nothing more to say of them."""
    for beside, rows in pieces.by_part(batches):
        if beside["day"] not in days:
            continue
        with Partition(about, staged, {str(about.day): beside["day"], BUCKET: beside["part"]}) as partition:
            for group in pieces.heaped(rows, AT_ONCE, len):
                partition.write(judged(pa.Table.from_batches(group), about))
    return iter(())


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
        self.about, self.where = about, where
        held = [name for name in about.columns if name not in where]
        folder = "/".join(f"{name}={value}" for name, value in where.items())
        self.of = {
            True: (f"{staged.good}/{folder}", held),
            False: (f"{staged.bad}/{folder}", [*held, *REJECTION]),
        }
        self.files, self.open = dict[bool, pq.ParquetWriter](), ExitStack()

    def __enter__(self) -> "Partition":
        return self

    def __exit__(self, *error: Any) -> None:
        self.open.__exit__(*error)

    def write(self, rows: pa.Table) -> None:
        """Write judged rows, in order, as a row group of either file.

        Raises
        ------
        Misplaced
            When an accepted row is of another partition.

        """
        order = [(name, "ascending", "at_start") for name in (REJECTED, *self.about.order)]
        marked = rows.append_column(REJECTED, pc.is_valid(rows["_reason"]))
        ordered = rows.take(pc.sort_indices(marked, order))
        good = pc.sum(pc.invert(marked[REJECTED]), min_count=0).as_py()
        self._check(ordered.slice(0, good))
        self._write(ordered.slice(0, good), is_good=True)
        self._write(ordered.slice(good), is_good=False)

    def _check(self, rows: pa.Table) -> None:
        for name, value in self.where.items():
            if rows[name].null_count or not pc.all(pc.equal(rows[name], value), min_count=0).as_py():
                raise Misplaced(f"A row of {self.about.table} whose {name} is not {value} lies among those.")

    def _write(self, rows: pa.Table, *, is_good: bool) -> None:
        if not len(rows):
            return
        folder, columns = self.of[is_good]
        held = rows.select(columns)
        if is_good not in self.files:
            self.files[is_good] = self.open.enter_context(_file(folder, held.schema))
        self.files[is_good].write_table(held, row_group_size=len(held))


@contextmanager
def _file(folder: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Open a folder's one file: it is there when it is whole, and another try puts the same there again."""
    filesystem, base = located(folder)
    filesystem.create_dir(base)
    task = TaskContext.get()
    # Nobody reads what begins with a `_`.
    own = f"{base}/_part-0.{task.taskAttemptId() if task else 0}.parquet"
    with (
        filesystem.open_output_stream(own) as stream,
        # As the engine's files, these say which texts are words of a dictionary: `read_back` asks.
        pq.ParquetWriter(stream, schema, version="1.0", compression="zstd", store_schema=False) as file,
    ):
        yield file
    filesystem.move(own, f"{base}/part-0.parquet")
