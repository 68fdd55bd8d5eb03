"""Columns of values as Arrow arrays of a declared type; what cannot be is null, and its row is named."""

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

INTEGER = re.compile(r"[+-]?\d{1,19}")
TRUTHS = {"true": True, "false": False, "1": True, "0": False}


def convert(
    column: pa.Array | Sequence[Any], wanted: pa.DataType, *, from_text: bool
) -> tuple[pa.Array, list[int]]:
    """Return the column as the wanted type, and the rows whose value is not of it (null there).

    `from_text`: values are text as in CSV, where empty means unknown and numbers are written out; otherwise a
    value must already have its type.
    """
    whole = _whole(column, wanted)
    if whole is not None:
        return whole, []
    read = _reader(wanted, from_text)
    values: list[Any] = []
    wrong: list[int] = []
    for at, value in enumerate(column.to_pylist() if isinstance(column, pa.Array) else column):
        if value is None or (from_text and value == ""):
            values.append(None)
            continue
        try:
            values.append(read(value))
        except (ValueError, TypeError, OverflowError):
            values.append(None)
            wrong.append(at)
    return pa.array(values, wanted), wrong


def _whole(column: Any, wanted: pa.DataType) -> pa.Array | None:
    """Take an Arrow column over as it is, when its type is the wanted one or one of the same kind."""
    if not isinstance(column, pa.Array):
        return None
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    alike = (
        column.type == wanted
        or (_is_text(column.type) and pa.types.is_string(wanted))
        or (
            pa.types.is_integer(column.type) and (pa.types.is_integer(wanted) or pa.types.is_floating(wanted))
        )
        or (pa.types.is_timestamp(column.type) and pa.types.is_timestamp(wanted))
        or pa.types.is_null(column.type)
    )
    if not alike:
        return None
    try:
        if pa.types.is_timestamp(column.type) and column.type.tz is None and column.type != wanted:
            column = column.cast(pa.timestamp("us"), safe=False).cast(pa.timestamp("us", tz="UTC"))
        return column.cast(wanted, safe=not pa.types.is_timestamp(wanted))
    except pa.ArrowInvalid:
        return None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _reader(wanted: pa.DataType, from_text: bool) -> Callable[[Any], Any]:
    if pa.types.is_list(wanted):
        return _list_of(_reader(wanted.value_type, from_text=False))
    if pa.types.is_string(wanted):
        return _text
    if pa.types.is_boolean(wanted):
        return _truth_of_text if from_text else _truth
    if pa.types.is_integer(wanted):
        return _integer_within(wanted.bit_width, from_text)
    if pa.types.is_floating(wanted):
        return _number_of_text if from_text else _number
    return _day if pa.types.is_date(wanted) else _instant


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _truth_of_text(value: str) -> bool:
    truth = TRUTHS.get(value.strip().lower())
    if truth is None:
        raise ValueError
    return truth


def _integer_within(bits: int, from_text: bool) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if from_text and INTEGER.fullmatch(value):
            value = int(value)
        if type(value) is not int:
            raise TypeError
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise OverflowError
        return value

    return read


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _number_of_text(value: str) -> float:
    return _number(float(value))


def _day(value: Any) -> date:
    if isinstance(value, datetime) or not isinstance(value, date | str):
        raise TypeError
    return date.fromisoformat(value) if isinstance(value, str) else value


def _instant(value: Any) -> datetime:
    """Read ISO 8601; a time without a zone is UTC, as everywhere in the lake."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(at, datetime):
        raise TypeError
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _list_of(read: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def read_list(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise TypeError
        return [None if inner is None else read(inner) for inner in value]

    return read_list
