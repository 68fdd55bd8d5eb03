"""Arrow columns of maps with string keys and of lists of one length, to and from NumPy tables."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike, NDArray

Entries = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]


def entries(column: pa.ChunkedArray | pa.Array, keys: Sequence[str]) -> Entries:
    """Return row, number of the key in `keys`, and value of every entry whose key is among them."""
    maps = _whole(column)
    offsets = np.asarray(maps.offsets, dtype=np.int64)
    first, count = int(offsets[0]), int(offsets[-1] - offsets[0])
    row = np.repeat(np.arange(len(maps)), np.diff(offsets))
    found = pc.index_in(maps.keys.slice(first, count), pa.array(keys, pa.string()))
    code = np.asarray(pc.fill_null(found, -1), dtype=np.int64)
    known = (code >= 0) & np.asarray(maps.is_valid())[row]
    values = maps.items.slice(first, count).to_numpy(zero_copy_only=False)
    return row[known], code[known], values[known]


def table(
    column: pa.ChunkedArray | pa.Array,
    keys: Sequence[str],
    *,
    dtype: DTypeLike = np.float64,
    order: Literal["C", "F"] = "C",
) -> NDArray[Any]:
    """Return the values of some keys as (n, keys), NaN where a row lacks the key or its value is null."""
    row, code, value = entries(column, keys)
    found = np.full((len(column), len(keys)), np.nan, dtype=dtype, order=order)
    found[row, code] = value.astype(dtype)
    return found


def keys_of(column: pa.ChunkedArray | pa.Array) -> list[str]:
    """Return the keys that any row has, sorted."""
    return sorted(pc.unique(_whole(column).keys).to_pylist())


def mapped(columns: Mapping[str, NDArray[np.float64]], n: int) -> pa.MapArray:
    """Return a map of each of n rows: the columns that are not NaN there."""
    names = list(columns)
    values = np.stack([columns[name] for name in names], axis=1) if names else np.empty((n, 0))
    there = ~np.isnan(values)
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    keys = pa.array(names, pa.string()).take(pa.array(np.nonzero(there)[1]))
    return pa.MapArray.from_arrays(pa.array(offsets), keys, pa.array(values[there]))


def lists(values: pa.Array | NDArray[Any], rows: int) -> pa.ListArray:
    """Cut flat values, or the rows of an array, into lists of one length: one for each of `rows`."""
    values = pa.array(values.ravel()) if isinstance(values, np.ndarray) else values
    length = len(values) // rows if rows else 0
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * length), values)


def lists_where(values: pa.Array | NDArray[Any], there: NDArray[np.bool_]) -> pa.ListArray:
    """Cut flat values into lists of the places (n, length) that hold something, one for each row."""
    if there.all():
        return lists(values, len(there))
    values = pa.array(values.ravel()) if isinstance(values, np.ndarray) else values
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values.filter(pa.array(there.ravel())))


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.MapArray:
    if isinstance(column, pa.ChunkedArray):
        return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return column
