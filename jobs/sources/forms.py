"""Forms of a record's file (Parquet, CSV, JSON lines, by the name's ending), read into blocks of columns."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import RawIOBase
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from jobs.parquet import batches
from jobs.sources.files import lines

BATCH_ROWS = 10_000


@dataclass
class Block:
    """Some rows of a file: their numbers, a column per name, what was absent or could not be read.

    `others` are columns that are there, and that nobody asked for.
    """

    offsets: list[int]
    columns: dict[str, Any]
    absent: dict[str, Sequence[int]] = field(default_factory=dict)
    damage: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    is_text: bool = False
    others: set[str] = field(default_factory=set)


def blocks(path: str, names: Sequence[str], rename: Mapping[str, str] | None = None) -> Iterator[Block]:
    """Read the named columns in blocks of bounded size; damage in a file is told in its block, not raised.

    rename: the file's own name of a column → one of `names`.
    """
    own_name = {ours: theirs for theirs, ours in (rename or {}).items()}
    own_names = [own_name.get(name, name) for name in names]
    for block in _own_blocks(path, own_names):
        block.columns = {name: block.columns[own] for name, own in zip(names, own_names, strict=True)}
        block.absent = {name: block.absent.get(own, ()) for name, own in zip(names, own_names, strict=True)}
        yield block


def _own_blocks(path: str, names: Sequence[str]) -> Iterator[Block]:
    form = path.rsplit("/", 1)[-1].removesuffix(".gz").rpartition(".")[2]
    if form == "parquet":
        yield from _parquet(path, names)
    else:
        rows = _csv_rows(path) if form == "csv" else _json_rows(path)
        yield from _gather(rows, names, is_text=form == "csv")


@dataclass(frozen=True)
class _Row:
    offset: int
    values: dict[str, Any]
    damage: str | None = None
    size: int = 0


def _gather(rows: Iterator[_Row], names: Sequence[str], *, is_text: bool) -> Iterator[Block]:
    held: list[_Row] = []
    for row in rows:
        held.append(row)
        if len(held) == BATCH_ROWS:
            yield _block(held, names, is_text)
            held = []
    if held:
        yield _block(held, names, is_text)


def _block(rows: list[_Row], names: Sequence[str], is_text: bool) -> Block:
    return Block(
        offsets=[row.offset for row in rows],
        columns={name: [row.values.get(name) for row in rows] for name in names},
        absent={name: [at for at, row in enumerate(rows) if name not in row.values] for name in names},
        damage={at: row.damage for at, row in enumerate(rows) if row.damage},
        sizes={at: row.size for at, row in enumerate(rows) if row.damage},
        others=set().union(*(row.values.keys() for row in rows)) - {*names},
        is_text=is_text,
    )


def _json_rows(path: str) -> Iterator[_Row]:
    for offset, line, damage in lines(path):
        if damage:
            yield _Row(offset, {}, damage, len(line))
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            yield _Row(offset, {}, "line is not JSON", len(line))
            continue
        if isinstance(row, dict):
            yield _Row(offset, row)
        else:
            yield _Row(offset, {}, "row is not an object", len(line))


class _Text:
    """Decoded lines for the CSV reader, remembering where each record began and what could not be decoded."""

    def __init__(self, path: str) -> None:
        self.lines = lines(path, keep_blank=True)
        self.began: int | None = None
        self.damaged: list[_Row] = []

    def __iter__(self) -> Iterator[str]:
        for offset, line, damage in self.lines:
            try:
                text = line.decode("utf-8-sig" if offset == 1 else "utf-8")
            except UnicodeDecodeError:
                damage = damage or "line is not UTF-8"
            if damage:
                self.damaged.append(_Row(offset, {}, damage, len(line)))
                continue
            self.began = self.began or offset
            yield text + "\n"


def _csv_rows(path: str) -> Iterator[_Row]:
    text = _Text(path)
    reader = csv.reader(text, strict=True)
    header: list[str] | None = None
    while True:
        text.began = None
        values = _next_values(reader)
        yield from text.damaged
        text.damaged = []
        if values is None:
            return
        if isinstance(values, str):
            yield _Row(text.began or 1, {}, values)
        elif header is None:
            header = values
        elif len(values) == len(header):
            yield _Row(text.began or 1, dict(zip(header, values, strict=True)))
        elif values:
            wrong = f"line has {len(values)} values where the header has {len(header)}"
            yield _Row(text.began or 1, {}, wrong, sum(map(len, values)))


def _next_values(reader: Iterator[list[str]]) -> list[str] | str | None:
    """The next record, or what is wrong with it, or None at the end."""
    try:
        return next(reader, None)
    except csv.Error as error:
        return f"line is not CSV: {error}"


def _parquet(path: str, names: Sequence[str]) -> Iterator[Block]:
    number = 0
    filesystem, name = fs.FileSystem.from_uri(path)
    with filesystem.open_input_file(name) as raw:
        file = _Watched(raw)
        try:
            parquet = pq.ParquetFile(pa.PythonFile(file, mode="r"))
            present = [name for name in names if name in parquet.schema_arrow.names]
            for batch in batches(parquet, BATCH_ROWS, present):
                yield _of_batch(batch, names, number, {*parquet.schema_arrow.names} - {*names})
                number += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            if file.failed:
                raise
            wrong = f"file is not whole Parquet: {str(error).partition(chr(10))[0][:120]}"
            yield Block(
                [number + 1], {name: [None] for name in names}, damage={0: wrong}, sizes={0: file.size}
            )


def _of_batch(batch: pa.RecordBatch, names: Sequence[str], before: int, others: set[str]) -> Block:
    rows = range(batch.num_rows)
    return Block(
        offsets=[before + at + 1 for at in rows],
        columns={n: batch.column(n) if n in batch.schema.names else pa.nulls(len(rows)) for n in names},
        absent={n: rows for n in names if n not in batch.schema.names},
        others=others,
    )


class _Watched(RawIOBase):
    """A file that remembers whether reading it failed: then the storage is to blame, not the content."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self.file, self.size, self.failed = file, file.size(), False

    def read(self, size: int = -1) -> bytes:
        try:
            return bytes(self.file.read(None if size < 0 else size))
        except OSError:
            self.failed = True
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self.file.seek(offset, whence))

    def tell(self) -> int:
        return int(self.file.tell())

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
