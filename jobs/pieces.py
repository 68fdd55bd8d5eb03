"""Pieces: rows of Arrow that travel through Spark's shuffle many at once, as the bytes of one value.

A shuffle of rows takes every row apart into the engine's form, and back into Arrow's for the next function:
for events, with some forty columns, that cost more than all that was done with them. As pieces, the engine
moves and sorts few rows, whose values it takes for bytes.

Grain: the rows of one day and part among those that a task had at hand.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.sources import schemas
from jobs.spark import shuffle_tasks

T = TypeVar("T")
Ints = npt.NDArray[np.int64]
Place = Callable[[pa.RecordBatch], tuple[Ints, Ints, Ints]]
"""Which rows go where: places of rows in a table, and the day (since 1970) and part that each goes to."""

COLUMNS = {"day": "date", "part": "int", "rows": "binary"}
ARROW = schemas.arrow(COLUMNS)
GATHERED = 50_000
"""Rows that are cut at once: of fewer the pieces are smaller, and each costs something for itself."""


class Disturbed(RuntimeError):
    """Pieces lost the order that they were gathered in."""


def cut(batches: Iterator[pa.RecordBatch], place: Place) -> Iterator[pa.RecordBatch]:
    """Cut rows into pieces. A row may go to several places, or to none."""
    for held in heaped(batches, GATHERED, len):
        yield _cut(pa.concat_batches(held), place)


def heaped(things: Iterable[T], least: int, size: Callable[[T], int]) -> Iterator[list[T]]:
    """Put things together until their sizes, as rows of batches, are so many; yield none that have none."""
    held, count = list[T](), 0
    for thing in things:
        held.append(thing)
        count += size(thing)
        if count >= least:
            yield held
            held, count = [], 0
    if count:
        yield held


def are(frame: DataFrame) -> bool:
    """Tell whether a frame holds pieces, of rows that are Arrow's."""
    return frame.columns == list(COLUMNS)


def gathered(pieces: DataFrame, *, by_day: bool = False) -> DataFrame:
    """Bring the pieces of a day and part together, day by day, into as many tasks as shuffles have.

    Whatever is to stand beside them is joined before: a join would take their order away.

    by_day: whether a part's days may go to several tasks, as where parts are few.
    """
    # By the part's own number: a hash of few numbers leaves one task with most of them.
    number = F.col("part") + (F.unix_date("day") if by_day else F.lit(0))
    # By what they hold, too: in whichever order the pieces of a part came, they go on in one.
    return pieces.repartitionById(shuffle_tasks(pieces.sparkSession), number).sortWithinPartitions(*COLUMNS)


def by_part(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[dict[str, Any], Iterator[pa.RecordBatch]]]:
    """Go through sorted pieces: yield what stands beside those of each day and part, and the rows of each.

    Raises
    ------
    Disturbed
        When the pieces of a day and part do not follow each other.

    """
    seen = set()
    for beside, own in groupby(each(batches), key=lambda piece: piece[0]):
        key = beside["day"], beside["part"]
        if key in seen:
            raise Disturbed(
                f"Pieces of part {key[1]} on {key[0]} do not follow each other: something changed "
                "their order after `pieces.gathered`; join what stands beside them before it."
            )
        seen.add(key)
        yield beside, (rows for _, rows in own)


def whole(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[dict[str, Any], pa.RecordBatch]]:
    """Put the pieces of each day and part together."""
    for beside, rows in by_part(batches):
        yield beside, pa.concat_batches(list(rows))


def each(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[dict[str, Any], pa.RecordBatch]]:
    """Yield the rows of each piece, and what else stands beside them."""
    for batch in batches:
        others = batch.drop_columns(["rows"]).to_pylist()
        for beside, rows in zip(others, batch["rows"], strict=True):
            yield beside, _unpacked(rows.as_buffer())


def changed(pieces: DataFrame, change: Callable[[pa.RecordBatch], pa.RecordBatch]) -> DataFrame:
    """Change the rows of each piece where they are; they stay in their place."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = [packed(change(one)) for _, one in each(iter([batch]))]
            yield batch.set_column(
                batch.schema.get_field_index("rows"), ARROW.field("rows"), pa.array(rows, pa.binary())
            )

    return pieces.mapInArrow(run, schemas.ddl(COLUMNS))


def packed(rows: pa.RecordBatch) -> bytes:
    """Put rows into the value of a piece: compressed here, where they are, for whoever hands it on."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_batch(rows)
    return bytes(sink.getvalue())


def _unpacked(packed: pa.Buffer) -> pa.RecordBatch:
    return pa.ipc.open_stream(packed).read_next_batch()


def _cut(rows: pa.RecordBatch, place: Place) -> pa.RecordBatch:
    places, days, parts = place(rows)
    order = np.lexsort((parts, days))
    days, parts = days[order], parts[order]
    changes = np.flatnonzero((np.diff(days) != 0) | (np.diff(parts) != 0)) + 1
    begins = np.concatenate(([0], changes)) if len(days) else np.empty(0, np.int64)
    lengths = np.diff(np.concatenate((begins, [len(days)])))
    sorted_rows = rows.take(pa.array(places[order]))
    pieces = [
        packed(sorted_rows.slice(begin, length))
        for begin, length in zip(begins.tolist(), lengths.tolist(), strict=True)
    ]
    columns = [days[begins].astype(np.int32), parts[begins].astype(np.int32), pieces]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, ARROW, strict=True)], schema=ARROW
    )
