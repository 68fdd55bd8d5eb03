"""The value of a draw: what a reader in any language must know to read a layout, byte by byte.

All numbers are little-endian. A value is a header and then one record a position; nothing is compressed.

Header, `header_size` bytes (28 in schema 1)
    offset  size  what
    0       1     schema: version of this format that the value was written in (1)
    1       1     needs: lowest version that a reader must know to read it (1)
    2       1     header_size: the first record begins here
    3       1     record_size: bytes from one record to the next
    4       1     positions: number of records
    5       1     flags: bit 0 set = a page's default variant, drawn for nobody in particular
    6       2     drawn_date: days since 2000-01-01, unsigned
    8       16    draw_id: the 128 bits that are written elsewhere as 32 hex digits
    24      4     policy: unsigned index into the names' `policies`

Record, `record_size` bytes (12 in schema 1), from position 0 on
    0       2     widget: unsigned index into the names' `widgets`
    2       1     reason: unsigned index into the names' `reasons`
    3       1     zero, kept for flags of a position
    4       4     score: IEEE float32, expected reward
    8       4     propensity: IEEE float32, probability given the positions before it

A newer schema may lengthen the header, the records and the value: so step by `header_size` and `record_size`,
and leave what lies beyond the known fields and after the last record. A value whose `needs` is above what the
reader knows must be refused. 12 positions take 172 bytes.

The names live under the key `names` of the same store, as JSON: {"widgets": [...], "reasons": [...],
"policies": {"INDEX": NAME}, "next_policy": N}. An index never comes to mean another name, so an unchanged
draw is an unchanged value; policies that no draw names any more are left out. docs/payload.md tells
this to readers in other languages, and tests/store/vectors.json holds test vectors.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

from jobs.store.errors import BrokenValue, NewerSchema

SCHEMA = 1
HEADER = struct.Struct("<BBBBBBH16sI")
RECORD = struct.Struct("<HBBff")
DEFAULT_FLAG = 1
EPOCH = date(2000, 1, 1).toordinal()


class Names(NamedTuple):
    """What the indices in values stand for."""

    widgets: Sequence[str]
    reasons: Sequence[str]
    policies: Mapping[int, str]
    next_policy: int = 0


class Draw(NamedTuple):
    """A decoded value."""

    widgets: tuple[str, ...]
    scores: tuple[float, ...]
    propensities: tuple[float, ...]
    reasons: tuple[str, ...]
    draw_id: str
    policy_version: str
    drawn_date: date
    is_default: bool


Columns = tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...], tuple[str, ...], str, str, date, bool]


def decode(value: bytes, names: Names) -> Draw:
    """Read a value.

    Raises
    ------
    NewerSchema
        When the value needs a reader that knows a later schema.
    BrokenValue
        When it is cut short or names what the names do not hold.

    """
    return _made(Draw, columns(value, names))


def columns(value: bytes, names: Names) -> Columns:
    """Read a value as a plain tuple of what `Draw` has; errors are those of `decode`."""
    try:
        head, widgets, reasons, scores, propensities = _forms.get(value[:5]) or _form(value)
        flags, day, draw_id, policy = head(value)
        return (
            _named(names.widgets, widgets(value)),
            scores(value),
            propensities(value),
            _named(names.reasons, reasons(value)),
            draw_id.hex(),
            names.policies[policy],
            _date(day),
            flags & DEFAULT_FLAG == DEFAULT_FLAG,
        )
    except (struct.error, IndexError, KeyError) as error:
        raise BrokenValue(f"A value of {len(value)} bytes cannot be read: {error}.") from None


def decode_names(value: bytes) -> Names:
    """Read the value of the key `names`."""
    try:
        content = json.loads(value)
        policies = {int(index): name for index, name in content["policies"].items()}
        return Names(tuple(content["widgets"]), tuple(content["reasons"]), policies, content["next_policy"])
    except (ValueError, KeyError, AttributeError) as error:
        raise BrokenValue(f"The names cannot be read: {error}.") from None


def encode_names(names: Names) -> bytes:
    """Write the value of the key `names`; the same names give the same bytes."""
    content = {
        "widgets": list(names.widgets),
        "reasons": list(names.reasons),
        "policies": {str(index): names.policies[index] for index in sorted(names.policies)},
        "next_policy": names.next_policy,
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


# The first five bytes of a value say how to unpack it, and values that begin alike are read alike: first the
# header, then widgets, reasons, scores and propensities, each at once over all positions.
Unpack = Callable[[bytes], tuple[Any, ...]]
_forms: dict[bytes, tuple[Unpack, ...]] = {}
_made: Any = tuple.__new__  # what Draw's own constructor does, in a third of the time


def _form(value: bytes) -> tuple[Unpack, ...]:
    """Return what unpacks values that begin as this one, and keep it where this one is whole."""
    _, needs, header, record, positions = struct.unpack_from("<5B", value)
    if needs > SCHEMA:
        raise NewerSchema(f"A value needs a reader of schema {needs}; this one knows {SCHEMA}: upgrade it.")
    if len(value) < header + positions * record or header < HEADER.size or record < RECORD.size:
        raise BrokenValue(f"A value of {len(value)} bytes is too short for its {positions} positions.")
    fields = ("H10x", "2xB9x", "4xf4x", "8xf")
    of_all = (f"<{header}x" + f"{field}{record - RECORD.size}x" * positions for field in fields)
    forms = tuple(struct.Struct(form).unpack_from for form in ("<5xBH16sI", *of_all))
    return _forms.setdefault(value[:5], forms)


def _named(names: Sequence[str], indices: Sequence[int]) -> tuple[str, ...]:
    return itemgetter(*indices)(names) if len(indices) > 1 else tuple([names[index] for index in indices])


@cache
def _date(day: int) -> date:
    return date.fromordinal(EPOCH + day)
