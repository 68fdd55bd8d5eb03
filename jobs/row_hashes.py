"""Hashes of rows in Arrow: the numbers that Spark's `xxhash64` gives, maps sorted by key, without Spark.

Grain: one row of a batch.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.copies import codes, ranks
from ml import xxhash
from ml.xxhash import Hashes, Places

Numbers = np.ndarray[tuple[int], np.dtype[Any]]


def row_hashes(columns: Sequence[pa.Array], *, seed: int = xxhash.SEED) -> Hashes:
    """Hash the rows of one or more columns: (rows,) uint64. What is missing leaves the hash as it is."""
    hashes = np.full(len(columns[0]), seed, np.uint64)
    begins = np.arange(len(hashes))
    for column in columns:
        _go_on(hashes, column, begins, begins + 1)
    return hashes


def seed_of(words: Sequence[str]) -> int:
    """The hash of some texts, as a seed of rows that are to begin with them."""
    return int(row_hashes([pa.array([word]) for word in words])[0]) if words else xxhash.SEED


def _go_on(hashes: Hashes, values: pa.Array, begins: Places, ends: Places) -> None:
    """Go on with the hash of each row by the values from its begin to its end."""
    kind = values.type
    if pa.types.is_map(kind):
        for rows, maps in _steps(begins, ends):
            _go_on_with_maps(hashes, values, rows, maps)
    elif pa.types.is_list(kind):
        bounds = _bounds(values)
        _go_on(hashes, values.values, bounds[begins], bounds[ends])
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        xxhash.texts(hashes, begins, ends, *_bytes(values), _valid(values))
    elif pa.types.is_dictionary(kind):
        numbers, words = codes(values)
        xxhash.words(hashes, begins, ends, numbers, *_bytes(words))
    elif kind in (pa.int64(), pa.float64()) or pa.types.is_timestamp(kind):
        xxhash.longs(hashes, begins, ends, _numbers(values, np.uint64), _valid(values))
    else:
        xxhash.integers(hashes, begins, ends, _numbers(values, np.uint32), _valid(values))


def _go_on_with_maps(hashes: Hashes, maps: pa.Array, rows: Places, which: Places) -> None:
    """Go on with a map for each of `rows`: key and value of each entry, in the order of the keys."""
    bounds = _bounds(maps)
    order = xxhash.order_within(bounds, ranks(maps.keys))
    for some, places in _steps(bounds[which], bounds[which + 1]):
        entries, own = order[places], hashes[rows[some]]
        _go_on(own, maps.keys, entries, entries + 1)
        _go_on(own, maps.items, entries, entries + 1)
        hashes[rows[some]] = own


def _steps(begins: Places, ends: Places) -> Iterator[tuple[Places, Places]]:
    """Yield which rows have a first value and where it is, then those that have a second one, and so on."""
    rows = np.flatnonzero(begins < ends)
    step = 0
    while len(rows):
        yield rows, begins[rows] + step
        step += 1
        rows = rows[begins[rows] + step < ends[rows]]


def _bounds(lists: pa.Array) -> Places:
    return lists.offsets.to_numpy().astype(np.int64)


def _bytes(texts: pa.Array) -> tuple[Numbers, Numbers]:
    """Where each text begins, and all their bytes."""
    _, offsets, data = texts.buffers()
    at = np.frombuffer(offsets, np.int32)[texts.offset :] if offsets else np.zeros(1, np.int32)
    return _fixed(at), _fixed(np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8))


def _valid(values: pa.Array) -> Numbers:
    if not values.null_count:
        return np.ones(len(values), np.bool_)
    return np.asarray(values.is_valid().to_numpy(zero_copy_only=False), np.bool_)


def _numbers(values: pa.Array, bits: type[np.uint64] | type[np.uint32]) -> Numbers:
    """The bits of numbers, of which nought and what is no number have one form each."""
    kind = values.type
    if pa.types.is_floating(kind):
        numbers = _present(values, 0.0).to_numpy() + kind.to_pandas_dtype()(0.0)
        numbers[np.isnan(numbers)] = np.nan
        return _fixed(numbers.view(bits))
    whole = values.cast(pa.int64() if bits is np.uint64 else pa.int32())
    return _fixed(_present(whole, 0).to_numpy().view(bits))


def _present(values: pa.Array, instead: float) -> pa.Array:
    return pc.fill_null(values, instead) if values.null_count else values


def _fixed(numbers: Numbers) -> Numbers:
    """Numbers as none to be written to: those that Arrow lends are, and for others code is compiled anew."""
    numbers.flags.writeable = False
    return numbers
