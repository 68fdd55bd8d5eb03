"""Spans in lines of OTLP JSON, found where they lie in the text, compiled: what a tape tells becomes rows.

Grain: one span whose name is asked for. A line in which anything is unusual (`jobs.sources.json_tape`), or in
which an id, a time or an attribute is not what it should be, is not `usual`, and nothing of it stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from jobs.sources.json_tape import IS_HEX, NONE, OF_NUMBERS, OF_STRINGS, OF_WORDS, Grammar, Ints, record

SERVICE = "service.name"
TEXT, POSITION, INTEGER, TEXTS, DOUBLES = range(5)
"""What an attribute can hold: a string, an integer from 0, an integer, a list of strings or of numbers."""

# Kinds of objects and lists, then of scalars.
(
    MESSAGE, PARTS, PART, RESOURCE, ABOUTS, ABOUT, SAID, SCOPES, SCOPE, SPANS, SPAN, ATTRIBUTES, ATTRIBUTE,
    VALUE, ARRAY, ITEMS, ITEM, ABOUT_KEY, KEY, NAME, SPAN_ID, TRACE_ID, TIME, STRING, WHOLE, NUMBER,
) = range(2, 28)  # fmt: skip
OBJECTS = {
    MESSAGE: {"resourceSpans": PARTS},
    PART: {"resource": RESOURCE, "scopeSpans": SCOPES},
    RESOURCE: {"attributes": ABOUTS},
    ABOUT: {"key": ABOUT_KEY, "value": SAID},
    SAID: {"stringValue": STRING},
    SCOPE: {"spans": SPANS},
    SPAN: {
        "name": NAME, "spanId": SPAN_ID, "traceId": TRACE_ID, "startTimeUnixNano": TIME,
        "attributes": ATTRIBUTES,
    },
    ATTRIBUTE: {"key": KEY, "value": VALUE},
    VALUE: {"stringValue": STRING, "intValue": WHOLE, "doubleValue": NUMBER, "arrayValue": ARRAY},
    ARRAY: {"values": ITEMS},
    ITEM: {"stringValue": STRING, "intValue": WHOLE, "doubleValue": NUMBER},
}  # fmt: skip
LISTS = {PARTS: PART, ABOUTS: ABOUT, SCOPES: SCOPE, SPANS: SPAN, ATTRIBUTES: ATTRIBUTE, ITEMS: ITEM}
FORMS = {
    ABOUT_KEY: OF_WORDS, KEY: OF_WORDS, NAME: OF_WORDS, SPAN_ID: OF_STRINGS, TRACE_ID: OF_STRINGS,
    TIME: OF_STRINGS | OF_NUMBERS, STRING: OF_STRINGS, WHOLE: OF_STRINGS | OF_NUMBERS, NUMBER: OF_NUMBERS,
}  # fmt: skip
NEEDED = {
    MESSAGE: ("resourceSpans",), PART: ("scopeSpans",), SCOPE: ("spans",), ABOUT: ("key", "value"),
    SAID: ("stringValue",), SPAN: ("name",), ATTRIBUTE: ("key", "value"),
}  # fmt: skip
MINUS, ZERO, NINE = map(ord, "-09")


@dataclass(frozen=True)
class Words:
    """The attributes that are wanted, each with what it holds, and the names of spans."""

    attributes: Mapping[str, int]
    names: Sequence[str]

    @cached_property
    def grammar(self) -> Grammar:
        """What is wanted of a message."""
        led = {ABOUT: [SERVICE], ATTRIBUTE: [*self.attributes]}
        return Grammar.of(OBJECTS, LISTS, FORMS, led, [SERVICE, *self.attributes, *self.names])

    @cached_property
    def numbers(self) -> tuple[Ints, int, int, Ints, Ints]:
        """What attributes hold, the first attribute and name, needed fields by kind, bits of some fields."""
        of = self.grammar
        needed = np.zeros(max(OBJECTS) + 1, np.int64)
        for kind, fields in NEEDED.items():
            needed[kind] = of.bits(*fields)
        fields = ("stringValue", "intValue", "doubleValue", "arrayValue")
        bits = [*map(of.bits, fields), of.bits("spanId", "startTimeUnixNano")]
        first_attribute, first_name = (of.word(next(iter(names))) for names in (self.attributes, self.names))
        return np.array([*self.attributes.values()]), first_attribute, first_name, needed, np.array(bits)


class Found(NamedTuple):
    """Spans of some lines, n of them, in order, as columns of numbers; NONE is what is not there."""

    rows: Ints  # (n, columns)
    items: Ints  # (items, 2): where each item of a list begins and ends
    parts: Ints  # (parts, columns): of messages, each with its service

    @property
    def line(self) -> Ints:
        """Number of each span's line, (n,)."""
        return self.rows[:, LINE]

    @property
    def part(self) -> Ints:
        """Number of each span's part, (n,)."""
        return self.rows[:, PART_OF]

    @property
    def name(self) -> Ints:
        """Number of each span's name among those asked for, (n,)."""
        return self.rows[:, NAMED]

    @property
    def at(self) -> Ints:
        """When each span began, in microseconds since 1970, (n,)."""
        return self.rows[:, AT]


# Columns of rows: the span's line and part, the number of its name, when it began in microseconds since 1970;
# then two each of its ids and of its attributes: where a text begins and ends, or of a list its first item
# and the one after its last, or where an integer begins and what it is.
LINE, PART_OF, NAMED, AT, SPAN_PLACE, _, TRACE_PLACE, _, FIRST_PLACE = range(9)
# Columns of parts: where the name of its service begins and ends, its line, how many spans had other names.
SERVICE_PLACE, _, LINE_OF, SKIPPED, OF_PARTS = range(5)


def scan(text: bytes, begins: Ints, ends: Ints, usual: NDArray[np.bool_], words: Words) -> Found:
    """Find the spans of lines between two places, each followed by a line's end, where they are `usual`.

    Lines that turn out not to be are marked so.
    """
    lines = np.flatnonzero(usual)
    tape, tape_ends = record(text, begins[lines], ends[lines], MESSAGE, words.grammar)
    spans, listed, told = (int(np.count_nonzero(tape[:, 0] == kind)) for kind in (SPAN, ITEM, PART))
    rows = np.empty((spans, FIRST_PLACE + 2 * len(words.attributes)), np.int64)
    items, parts = np.empty((listed, 2), np.int64), np.empty((told, OF_PARTS), np.int64)
    content = np.frombuffer(text, np.uint8)
    counts = _read(content, tape, tape_ends, lines, usual, *words.numbers, rows, items, parts)
    return Found(rows[: counts[0]], items[: counts[1]], parts[: counts[2]])


@numba.njit(cache=True, nogil=True)
def texts(text, rows, columns):  # type: ignore[no-untyped-def]
    """Copy texts out of another: of each column of places, offsets and bytes as Arrow has them.

    text: (bytes,). rows: (n, ...). columns: (k,), of `rows` those that tell where a text begins; where it
    ends the next one tells. What begins at NONE is empty. Returns offsets, (k, n + 1), where the bytes of
    each column begin, (k + 1,), and all bytes. Row by row, since a span's texts lie side by side.
    """
    offsets = np.zeros((len(columns), len(rows) + 1), np.int32)
    for row in range(len(rows)):
        for one in range(len(columns)):
            offsets[one, row + 1] = offsets[one, row] + _length(rows, row, columns[one])
    firsts = np.zeros(len(columns) + 1, np.int64)
    for one in range(len(columns)):
        firsts[one + 1] = firsts[one] + offsets[one, -1]
    data = np.empty(firsts[-1], np.uint8)
    for row in range(len(rows)):
        for one in range(len(columns)):
            begin, to = rows[row, columns[one]], firsts[one] + offsets[one, row]
            for at in range(offsets[one, row + 1] - offsets[one, row]):
                data[to + at] = text[begin + at]
    return offsets, firsts, data


@numba.njit(cache=True, nogil=True)
def members(rows, column):  # type: ignore[no-untyped-def]
    """Number the items of a column's lists one after another: offsets, and which item each is."""
    offsets = np.zeros(len(rows) + 1, np.int32)
    for row in range(len(rows)):
        offsets[row + 1] = offsets[row] + _length(rows, row, column)
    which = np.empty(offsets[-1], np.int64)
    for row in range(len(rows)):
        for at in range(offsets[row + 1] - offsets[row]):
            which[offsets[row] + at] = rows[row, column] + at
    return offsets, which


@numba.njit(forceinline=True)
def _length(rows, row, column):  # type: ignore[no-untyped-def]
    return rows[row, column + 1] - rows[row, column] if rows[row, column] != NONE else 0


@numba.njit(cache=True, nogil=True)
def _read(  # type: ignore[no-untyped-def]
    text, tape, tape_ends, lines, usual, holds, first_attribute, first_name, needed, bits, rows, items, parts
):
    """Read tapes of lines, one after another; return how many rows, items and parts there are."""
    of_string, of_whole, of_number, of_list, of_span = bits
    row = item = part = tape_begin = 0
    for one in range(len(lines)):
        line, counts, is_usual = lines[one], (row, item, part), tape_ends[one] != NONE
        for place in range(tape_begin, tape_ends[one] if is_usual else tape_begin):
            kind, begin, end = tape[place, 0], tape[place, 1], tape[place, 2]
            if kind == STRING:
                string_begin, string_end = begin, end
            elif kind == WHOLE:
                whole_begin, whole_end = begin, end
            elif kind == NUMBER:
                number_begin, number_end = begin, end
            elif kind == KEY:
                slot = begin - first_attribute
            elif kind == NAME:
                rows[row, NAMED] = begin - first_name if begin >= first_name else NONE
            elif kind in (SPAN_ID, TRACE_ID, TIME):
                is_usual = _is_of_span(text, begin, end, kind, rows, row)
            elif kind == PART:
                parts[part, SERVICE_PLACE] = NONE
                parts[part, LINE_OF], parts[part, SKIPPED] = line, 0
            elif kind == SPAN:
                rows[row] = NONE
                span_items = item
            elif kind == VALUE:
                first_item = item
            elif kind < 0:
                if begin & needed[-kind] != needed[-kind]:
                    is_usual = False
                elif kind == -ITEM:
                    if holds[slot] == TEXTS:
                        is_usual = begin & of_string != 0
                        items[item, 0], items[item, 1] = string_begin, string_end
                    elif begin & of_number:
                        items[item, 0], items[item, 1] = number_begin, number_end
                    else:
                        is_usual = begin & of_whole != 0 and _whole(text, whole_begin, whole_end)[0]
                        items[item, 0], items[item, 1] = whole_begin, whole_end
                    item += 1
                elif kind == -VALUE:
                    held, column = holds[slot], FIRST_PLACE + 2 * slot
                    # What holds a list as well is not for here: its items' texts stand where its own did.
                    is_usual = (begin & of_list != 0) == (held in (TEXTS, DOUBLES))
                    if held in (TEXTS, DOUBLES):
                        rows[row, column], rows[row, column + 1] = first_item, item
                    elif held == TEXT:
                        is_usual &= begin & of_string != 0
                        rows[row, column], rows[row, column + 1] = string_begin, string_end
                    else:
                        is_whole, number = _whole(text, whole_begin, whole_end)
                        is_usual &= begin & of_whole != 0 and is_whole
                        is_usual &= held == INTEGER or 0 <= number < 2**31
                        rows[row, column], rows[row, column + 1] = whole_begin, number
                elif kind == -SAID:
                    if parts[part, SERVICE_PLACE] == NONE:
                        parts[part, SERVICE_PLACE], parts[part, SERVICE_PLACE + 1] = string_begin, string_end
                elif kind == -SPAN:
                    if rows[row, NAMED] == NONE:
                        item = span_items
                        parts[part, SKIPPED] += 1
                    else:
                        is_usual = begin & of_span == of_span
                        rows[row, LINE], rows[row, PART_OF] = line, part
                        row += 1
                elif kind == -PART:
                    part += 1
            if not is_usual:
                break
        if not is_usual:
            usual[line] = False
            row, item, part = counts
        tape_begin = max(tape_begin, tape_ends[one])
    return row, item, part


@numba.njit(forceinline=True)
def _is_of_span(text, begin, end, kind, rows, row):  # type: ignore[no-untyped-def]
    """Keep what a span itself says; tell whether it can be."""
    if kind == SPAN_ID:
        rows[row, SPAN_PLACE], rows[row, SPAN_PLACE + 1] = begin, end
        for at in range(begin, end):
            if not IS_HEX[text[at]]:
                return False
        return end - begin == 16
    if kind == TRACE_ID:
        rows[row, TRACE_PLACE], rows[row, TRACE_PLACE + 1] = begin, end
        for at in range(begin, end):
            if text[at] >= 128:
                return False
        return end - begin == 32
    # Nineteen digits of a 9 are more than 64 bits may hold.
    if not 0 < end - begin < 20 or (end - begin == 19 and text[begin] == NINE):
        return False
    time = 0
    for at in range(begin, end):
        if not ZERO <= text[at] <= NINE:
            return False
        time = time * 10 + (text[at] - ZERO)
    rows[row, AT] = time // 1000
    return time >= 1000


@numba.njit(forceinline=True)
def _whole(text, begin, end):  # type: ignore[no-untyped-def]
    """Read an integer of few digits; tell whether it is one."""
    is_negative = begin < end and text[begin] == MINUS
    first = begin + 1 if is_negative else begin
    if not first < end <= first + 18 or (text[first] == ZERO and end - begin > 1):
        return False, 0
    number = 0
    for at in range(first, end):
        if not ZERO <= text[at] <= NINE:
            return False, 0
        number = number * 10 + (text[at] - ZERO)
    return True, -number if is_negative else number
