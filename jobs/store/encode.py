"""From Arrow columns to the values of draws (codec.py), with no Python object a row; for the export only."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.store.codec import DEFAULT_FLAG, EPOCH, HEADER, RECORD, SCHEMA, Names
from jobs.store.errors import StoreError
from jobs.store.keys import DEFAULT_PREFIX

UNIX_EPOCH = 719_163  # date(1970, 1, 1).toordinal()
COLUMNS = (
    "subject",
    "page",
    "draw_id",
    "drawn_date",
    "policy_version",
    "widgets",
    "scores",
    "propensities",
    "reasons",
)
NAMED = ("widgets", "reasons", "policy_version")

_HEADER = np.dtype(
    [
        ("schema", "u1"),
        ("needs", "u1"),
        ("header_size", "u1"),
        ("record_size", "u1"),
        ("positions", "u1"),
        ("flags", "u1"),
        ("drawn", "<u2"),
        ("draw_id", "V16"),
        ("policy", "<u4"),
    ]
)
_RECORD = np.dtype(
    [("widget", "<u2"), ("reason", "u1"), ("zero", "u1"), ("score", "<f4"), ("propensity", "<f4")]
)
_NIBBLES = np.full(256, 255, dtype=np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16, dtype=np.uint8)


class EncodeError(StoreError):
    """A row that has no place in the format."""


class Codes:
    """Names with their indices: known ones keep theirs, new ones get the next, in order of the alphabet."""

    def __init__(self, what: str, known: Mapping[int, str], following: int, most: int) -> None:
        self.names = dict(known)
        self.following = following
        self.seen: set[str] = set()
        self._what = what
        self._most = most
        self._index = {name: index for index, name in known.items()}

    def close(self) -> None:
        """Give an index to each new name that was seen."""
        for name in sorted(self.seen - self._index.keys()):
            if self.following > self._most:
                raise EncodeError(
                    f"There are more than {self._most + 1} {self._what}: the format must grow first."
                )
            self._index[name] = self.following
            self.names[self.following] = name
            self.following += 1

    def of(self, column: pa.Array) -> NDArray[np.uint32]:
        """Return the index of each name of a column."""
        coded = column.dictionary_encode()
        indices = np.array([self._index[name] for name in coded.dictionary.to_pylist()], dtype=np.uint32)
        return indices[coded.indices.to_numpy()]


class NameBook:
    """The names of a generation, begun with those of the generation before.

    All rows are seen before the first is encoded: so the indices do not depend on the order of rows.
    """

    def __init__(self, before: Names) -> None:
        self.widgets = Codes("widgets", dict(enumerate(before.widgets)), len(before.widgets), 0xFFFF)
        self.reasons = Codes("reasons", dict(enumerate(before.reasons)), len(before.reasons), 0xFF)
        self.policies = Codes("policies", before.policies, before.next_policy, 0xFFFFFFFF)

    def see(self, rows: pa.RecordBatch) -> None:
        """Take in the names of rows of `layouts`."""
        self.widgets.seen.update(_unique(_flat(rows, "widgets")))
        self.reasons.seen.update(_unique(_flat(rows, "reasons")))
        self.policies.seen.update(_unique(rows["policy_version"]))

    def close(self) -> None:
        """Give each new name its index."""
        for codes in (self.widgets, self.reasons, self.policies):
            codes.close()

    def names(self) -> Names:
        """Return all names; of the policies only those that were seen."""
        policies = {index: name for index, name in self.policies.names.items() if name in self.policies.seen}
        widgets, reasons = self.widgets.names.values(), self.reasons.names.values()
        return Names(tuple(widgets), tuple(reasons), policies, self.policies.following)


def encode(rows: pa.RecordBatch, book: NameBook) -> pa.BinaryArray:
    """Return the value of each row, a row of `layouts`.

    Raises
    ------
    EncodeError
        When a row has a null, lists of unequal length, more than 255 positions or a draw id of another form.

    """
    for name in COLUMNS:
        if rows[name].null_count:
            raise EncodeError(f"layouts.{name} is null in {rows[name].null_count} rows.")
    counts = pc.list_value_length(rows["widgets"]).to_numpy()
    for name in ("scores", "propensities", "reasons"):
        if not np.array_equal(pc.list_value_length(rows[name]).to_numpy(), counts):
            raise EncodeError(f"layouts.{name} is not as long as layouts.widgets in each row.")
    lengths = np.unique(counts)
    if len(lengths) <= 1:
        return _uniform(rows, int(lengths[0]) if len(lengths) else 0, book)
    order = np.argsort(counts, kind="stable")
    parts = [_uniform(_take(rows, order[counts[order] == length]), int(length), book) for length in lengths]
    return pa.concat_arrays(parts).take(pa.array(np.argsort(order, kind="stable")))


def _uniform(rows: pa.RecordBatch, positions: int, book: NameBook) -> pa.BinaryArray:
    """Encode rows that all have so many positions."""
    if positions > 0xFF:
        raise EncodeError(f"A layout has {positions} positions; 255 is the most.")
    record = np.dtype((_RECORD, (positions,)))
    values = np.zeros(len(rows), dtype=np.dtype([("header", _HEADER), ("records", record)]))
    header, records = values["header"], values["records"]
    header["schema"] = header["needs"] = SCHEMA
    header["header_size"] = HEADER.size
    header["record_size"] = RECORD.size
    header["positions"] = positions
    header["flags"] = DEFAULT_FLAG * pc.starts_with(rows["subject"], DEFAULT_PREFIX).to_numpy(
        zero_copy_only=False
    )
    header["drawn"] = _days(rows["drawn_date"])
    header["draw_id"] = draw_ids(rows["draw_id"])
    header["policy"] = book.policies.of(rows["policy_version"])
    if positions:
        shape = (len(rows), positions)
        records["widget"] = book.widgets.of(_flat(rows, "widgets")).reshape(shape)
        records["reason"] = book.reasons.of(_flat(rows, "reasons")).reshape(shape)
        records["score"] = _flat(rows, "scores").to_numpy().reshape(shape)
        records["propensity"] = _flat(rows, "propensities").to_numpy().reshape(shape)
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(values.dtype.itemsize), len(rows), [None, pa.py_buffer(values)]
    )
    return fixed.cast(pa.binary())


def draw_ids(column: pa.StringArray) -> NDArray[np.void]:
    """Return the 16 bytes of each draw id, given as 32 hex digits."""
    if not len(column):
        return np.empty(0, dtype="V16")
    if not pc.all(pc.equal(pc.binary_length(column), 32)).as_py():
        raise EncodeError("layouts.draw_id must have 32 hex digits in each row.")
    packed = column.cast(pa.binary()).cast(pa.binary(32))
    digits = np.frombuffer(packed.buffers()[1], dtype=np.uint8)[
        packed.offset * 32 : (packed.offset + len(packed)) * 32
    ]
    nibbles = _NIBBLES[digits].reshape(-1, 2)
    if (nibbles == 255).any():
        raise EncodeError("layouts.draw_id must have 32 hex digits, lower case, in each row.")
    return np.ascontiguousarray(nibbles[:, 0] << 4 | nibbles[:, 1]).view("V16")


def _days(column: pa.Date32Array) -> NDArray[Any]:
    days = column.cast(pa.int32()).to_numpy().astype(np.int64) + UNIX_EPOCH - EPOCH
    if len(days) and (days.min() < 0 or days.max() > 0xFFFF):
        raise EncodeError("layouts.drawn_date must lie between 2000 and 2179.")
    return days


def _flat(rows: pa.RecordBatch, name: str) -> pa.Array:
    flat = pc.list_flatten(rows[name])
    if flat.null_count:
        raise EncodeError(f"layouts.{name} holds a null.")
    return flat


def _unique(column: pa.Array) -> Iterator[str]:
    return (name for name in pc.unique(column).to_pylist() if name is not None)


def _take(rows: pa.RecordBatch, places: Sequence[int] | NDArray[np.int64]) -> pa.RecordBatch:
    return rows.take(pa.array(places))
