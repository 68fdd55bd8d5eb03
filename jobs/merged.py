"""Rows of whole subjects, in bounded memory: of sorted batches, or of sorted files read side by side.

Of files, a task reads those of one subject bucket in step. What it holds at once is a batch of each file and
the rows of the subject at its end, however large the files are: so a join by subject needs no shuffle.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.contracts import contract
from jobs.parquet import batches
from jobs.tables import located

BATCH_ROWS = 65_536


class UnsortedError(ValueError):
    """A file is not sorted by subject: it was written before its table's contract said so."""


@dataclass(frozen=True)
class File:
    """A file of a table, with its partition's day."""

    table: str
    day: date
    path: str


def whole_subjects(
    files: Sequence[File],
    columns: dict[str, Sequence[str]],
    few: Sequence[str] = (),
    batch_rows: int = BATCH_ROWS,
) -> Iterator[list[pa.Table]]:
    """Yield the rows of some subjects, a table for each file; no subject is split.

    Parameters
    ----------
    files
        files sorted by subject.
    columns
        by table, the columns to read; `subject` is one.
    few
        columns with few distinct values, read as dictionaries.
    batch_rows
        rows of a file to read at once.

    Raises
    ------
    UnsortedError
        When a file is not sorted by subject, with what to do.

    """
    parts = [_Sorted(file, columns[file.table], few, batch_rows) for file in files]
    while any(part.held for part in parts):
        # Subjects before the earliest end of what was read are there with all their rows.
        bound = min((part.last for part in parts if not part.is_done), default=None)
        taken = [part.take(bound) for part in parts]
        if any(piece.num_rows for piece in taken):
            yield taken
        for part in parts:
            if part.last == bound and not part.is_done:
                part.fill()


class Beside:
    """Rows of sorted files for one batch of subjects after another, each of which is a stretch of them all.

    Stretches that rise read every file once. Where one falls back, as when a task goes on with another file
    of its own, the files are read from their start: what is held stays a batch of each file and a stretch.
    """

    def __init__(
        self, files: Sequence[File], columns: dict[str, Sequence[str]], batch_rows: int = BATCH_ROWS
    ) -> None:
        self.files, self.columns, self.batch_rows = files, columns, batch_rows
        self.parts: list[_Sorted] = []
        self.last: str | None = None

    def rows(self, first: str, last: str) -> list[pa.Table]:
        """Return of each file the rows of subjects from the first to the last."""
        if self.last is None or first <= self.last:
            files = self.files
            self.parts = [_Sorted(file, self.columns[file.table], (), self.batch_rows) for file in files]
        self.last = last
        return [_within(part, first, last) for part in self.parts]


def _within(part: "_Sorted", first: str, last: str) -> pa.Table:
    part.take(first)
    while part.last <= last and not part.is_done:
        part.fill()
        part.take(first)
    return part.take(last + "\0")  # the next name after it


def gathered(batches: Iterator[pa.RecordBatch], least: int) -> Iterator[pa.Table]:
    """Gather batches sorted by subject into tables of at least so many rows that split no subject."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        if held and count >= least and batch.num_rows:
            last = held[-1]["subject"][held[-1].num_rows - 1]
            cut = pc.index(pc.not_equal(batch["subject"], last), True).as_py()
            if cut >= 0:
                yield pa.Table.from_batches([*held, batch.slice(0, cut)])
                held, count, batch = [], 0, batch.slice(cut)
        if batch.num_rows:
            held.append(batch)
            count += batch.num_rows
    if held:
        yield pa.Table.from_batches(held)


class _Sorted:
    """A file's rows that were read and not taken yet."""

    def __init__(self, file: File, columns: Sequence[str], few: Sequence[str], batch_rows: int) -> None:
        self.file, self.columns = file, list(columns)
        filesystem, name = located(file.path)
        dictionaries = [column for column in columns if column in few]
        source = pq.ParquetFile(filesystem.open_input_file(name), read_dictionary=dictionaries)
        held = [column for column in self.columns if column in source.schema_arrow.names]
        self.empty = self._whole(source.schema_arrow.empty_table().select(held))
        self.batches = batches(source, batch_rows, held, use_threads=False)
        self.held: list[pa.Table] = []
        self.last, self.is_done = "", False
        self.fill()

    def fill(self) -> None:
        """Read a further batch."""
        batch = next(self.batches, None)
        if batch is None:
            self.is_done = True
            return
        subjects = batch.column("subject")
        descends = pc.any(pc.greater(subjects[:-1], subjects[1:])).as_py()
        if descends or subjects[0].as_py() < self.last:
            raise UnsortedError(
                f"{self.file.table} of {self.file.day} is not sorted by subject: run {self.file.table} for"
                f" that day again, then this ({self.file.path})."
            )
        self.held.append(self._whole(pa.Table.from_batches([batch])))
        self.last = subjects[-1].as_py()

    def _whole(self, rows: pa.Table) -> pa.Table:
        """Give rows of a file written before its table's contract gained a column that column, null."""
        for name in self.columns:
            if name not in rows.column_names:
                kind = contract(self.file.table).columns[name].arrow
                rows = rows.append_column(name, pa.nulls(rows.num_rows, kind))
        return rows.select(self.columns)

    def take(self, bound: str | None) -> pa.Table:
        """Take the rows of subjects before the bound, or all."""
        if not self.held:
            return self.empty
        whole = pa.concat_tables(self.held)
        cut = whole.num_rows if bound is None else _first_from(whole["subject"], bound)
        self.held = [whole.slice(cut)] if cut < whole.num_rows else []
        return whole.slice(0, cut)


def _first_from(subjects: pa.ChunkedArray, bound: str) -> int:
    """Place of the first subject that does not come before the bound, by bisection."""
    low, high = 0, len(subjects)
    while low < high:
        middle = (low + high) // 2
        if subjects[middle].as_py() < bound:
            low = middle + 1
        else:
            high = middle
    return low
