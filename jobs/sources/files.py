"""Files of the lake, streamed: lines of plain or gzipped text, in bounded memory, through pyarrow.fs."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import fs
from pyspark.sql import DataFrame
from zlib_ng import zlib_ng

from jobs.sources import schemas

CHUNK = 256 * 1024
EXPANDED = 4 * 1024 * 1024
LONGEST_LINE = 16 * 1024 * 1024
PARSED_ROWS = 1_000
"""Rows that are Python's at once: so few stay in the processor's cache, and take a fifth less time."""


class DamagedError(Exception):
    """The bytes of a file end or break in the middle; what was before them has been yielded."""


class Line(NamedTuple):
    """A line of a file: its number from 1, what it holds, and what is wrong with it where something is."""

    number: int
    content: bytes
    damage: str | None


@dataclass(frozen=True)
class LakeFile:
    """A file to open, with the day on which it arrived and what conf/ says about its source."""

    path: str
    source: str
    form: str
    arrival_date: date
    rename: Mapping[str, str] = field(default_factory=dict)
    ignore: Sequence[str] = ()
    services: Sequence[str] = ()


def read(
    files: DataFrame,
    reader: Callable[[Iterator[LakeFile]], Iterator[pa.RecordBatch]],
    columns: Mapping[str, str],
) -> DataFrame:
    """Run `reader` over the files, in as many tasks as the engine cuts their list into."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = (row for batch in batches for row in batch.to_pylist())
        return reader(LakeFile(**{**row, "rename": dict(row["rename"])}) for row in rows)

    listed = files.select([field.name for field in fields(LakeFile)])
    return listed.mapInArrow(run, schemas.ddl(columns))


def chunks(path: str) -> Iterator[bytes]:
    """Yield the content of a file, inflated when it is gzip.

    Raises
    ------
    DamagedError
        When the gzip stream is cut off or broken, after all that could be inflated was yielded.

    """
    filesystem, name = fs.FileSystem.from_uri(path)
    with filesystem.open_input_stream(name, compression=None) as stream:
        compressed = iter(lambda: bytes(stream.read(CHUNK)), b"")
        first = next(compressed, b"")
        if first[:2] == b"\x1f\x8b":
            yield from _inflate(first, compressed)
        elif first:
            yield first
            yield from compressed


def lines(path: str, longest: int = LONGEST_LINE, *, keep_blank: bool = False) -> Iterator[Line]:
    """Yield the lines of a file, without blank ones unless kept."""
    number, carry, dropped = 0, b"", 0
    try:
        for chunk in chunks(path):
            pieces = (carry + chunk).split(b"\n")
            carry = pieces.pop()
            for piece in pieces:
                number += 1
                if dropped:
                    yield Line(number, b"", f"line is longer than {longest} bytes")
                    dropped = 0
                elif keep_blank or (piece and not piece.isspace()):
                    yield Line(number, piece, None)
            if dropped or len(carry) > longest:
                dropped, carry = dropped + len(carry), b""
    except DamagedError as damage:
        yield Line(number + 1, carry, str(damage))
        return
    if dropped:
        yield Line(number + 1, b"", f"line is longer than {longest} bytes")
    elif carry and not carry.isspace():
        yield Line(number + 1, carry, None)


def batched(rows: Iterator[tuple[Any, ...]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Gather rows into Arrow batches of bounded size."""
    held: list[tuple[Any, ...]] = []
    # Parsed rows hold no cycles, and looking for them again and again costs a quarter of the time.
    gc.disable()
    try:
        for row in rows:
            held.append(row)
            if len(held) == PARSED_ROWS:
                yield _to_batch(held, schema)
                held = []
    finally:
        gc.enable()
    if held:
        yield _to_batch(held, schema)


def _to_batch(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _inflate(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib_ng.decompressobj(wbits=31)
    data: bytes | None = first
    while data is not None:
        while data:
            before = inflater.copy()  # type: ignore[attr-defined]  # its stub lacks it
            try:
                out = inflater.decompress(data, EXPANDED)
            except zlib_ng.error:  # type: ignore[misc]  # its stub takes the class for an error
                yield _before_the_break(before, data)
                raise DamagedError("gzip stream is damaged here") from None
            if out:
                yield out
            data = inflater.unconsumed_tail
            if inflater.eof:
                data = inflater.unused_data.lstrip(b"\0")
                inflater = zlib_ng.decompressobj(wbits=31) if data else inflater
        data = next(rest, None)
        if data and inflater.eof:
            inflater = zlib_ng.decompressobj(wbits=31)
    if not inflater.eof:
        yield inflater.flush()
    if not inflater.eof:
        raise DamagedError("gzip stream is cut off here")


def _before_the_break(inflater: Any, data: bytes) -> bytes:
    out = bytearray()
    try:
        for at in range(len(data)):
            out += inflater.decompress(data[at : at + 1])
    except zlib_ng.error:  # type: ignore[misc]  # as above
        pass
    return bytes(out)
