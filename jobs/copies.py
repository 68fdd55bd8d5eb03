"""Copies of an event, from two sources or delivered again, become one row, in whatever order they came.

The best source's earliest copy stands: a span knows more than a tag hit. Of equal ones the least stands, by
its values in the order of `hits.FIELDS`, nulls first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.pieces import Ints
from jobs.sources import hits

LEFT_OUT = -1
COMPARED = 5_000
"""About how many rows are compared as Python's values at once: of a file that came twice, all are tied."""
ORDER = tuple(name for name in hits.FIELDS if name not in ("event_id", "arrival_date"))


def codes(column: pa.Array) -> tuple[Ints, pa.Array]:
    """Number a column's values in order of appearance, -1 for null; return the distinct values, too."""
    encoded = column.dictionary_encode()
    return pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64), encoded.dictionary


def ranks(column: pa.Array) -> Ints:
    """Rank of each value among the distinct ones, -1 for null."""
    numbers, values = codes(column)
    rank = np.full(len(values) + 1, -1)
    rank[pc.array_sort_indices(values).to_numpy()] = np.arange(len(values))
    return rank[numbers]


def integers(column: pa.Array, missing: int) -> Ints:
    """A column of whole numbers, days or times as numbers."""
    numbers = column.cast(pa.int32()) if pa.types.is_date32(column.type) else column
    # A copy, since what Arrow lends must not be changed.
    return np.array(pc.fill_null(numbers.cast(pa.int64()), missing))


def merged(rows: pa.RecordBatch, event: Ints, names: Sequence[str], tags: Sequence[str]) -> pa.RecordBatch:
    """Make one row of the copies of each event.

    Parameters
    ----------
    rows
        hits, n of them.
    event
        (n,): a number for the event that each is a copy of, LEFT_OUT for none; events come out in this order.
    names
        sources of events, in the order in which `sources` is to list them.
    tags
        those of them that know less.

    """
    source, listed = codes(rows["source"])
    sources = listed.to_pylist()
    is_tag = np.array([name in tags for name in sources], bool)[source]
    arrival = integers(rows["arrival_date"], 0)
    keys = (integers(rows["event_at"], -1), ranks(rows["event_name"]), arrival, is_tag, event)
    order = np.lexsort(keys)
    order = order[event[order] != LEFT_OUT]
    is_first, is_other = np.ones(len(order), bool), np.ones(len(order), bool)
    is_first[1:] = np.diff(event[order]) != 0
    is_other[1:] = np.logical_or.reduce([key[order][1:] != key[order][:-1] for key in keys])
    begins = np.flatnonzero(is_first)
    standing = _least(rows, order, begins, np.flatnonzero(is_other))
    bits = np.array([1 << names.index(name) for name in sources], np.int64)[source]
    held, which = np.unique(np.bitwise_or.reduceat(bits[order], begins), return_inverse=True)
    lists = [[name for at, name in enumerate(names) if mask >> at & 1] for mask in held.tolist()]
    is_bot = np.maximum.reduceat(integers(rows["is_bot"], -1)[order], begins)
    found = rows.take(pa.array(standing))
    return (
        _with(found, "arrival_date", np.minimum.reduceat(arrival[order], begins).astype(np.int32))
        .set_column(found.schema.get_field_index("is_bot"), "is_bot", pa.array(is_bot == 1, mask=is_bot < 0))
        .append_column("sources", pa.array(lists, pa.list_(pa.string())).take(pa.array(which)))
    )


def _with(rows: pa.RecordBatch, name: str, values: Ints) -> pa.RecordBatch:
    at = rows.schema.get_field_index(name)
    return rows.set_column(at, rows.schema.field(at), pa.array(values).cast(rows.schema.field(at).type))


def _least(rows: pa.RecordBatch, order: Ints, begins: Ints, runs: Ints) -> Ints:
    """Place of the copy that stands for each event; of what is equal so far, all values are compared."""
    standing = order[begins]
    ends = np.append(runs, len(order))[np.searchsorted(runs, begins) + 1]
    tied = np.flatnonzero(ends - begins > 1)
    slices = np.cumsum((ends - begins)[tied]) // COMPARED
    for some in np.split(tied, np.flatnonzero(np.diff(slices)) + 1) if len(tied) else ():
        alike = [order[begin:end] for begin, end in zip(begins[some], ends[some], strict=True)]
        values = iter(rows.take(pa.array(np.concatenate(alike))).select(ORDER).to_pylist())
        compared = [[(_ordered(next(values)), place) for place in places.tolist()] for places in alike]
        standing[some] = [min(copies)[1] for copies in compared]
    return standing


def _ordered(row: dict[str, Any]) -> list[tuple[bool, Any]]:
    return [(value is not None, value) for value in row.values()]
