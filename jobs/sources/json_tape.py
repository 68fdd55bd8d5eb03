"""A tape of what is wanted of a JSON text, found where it lies: one pass of a pushdown automaton, compiled.

A `Grammar` tells of each kind of object which fields are wanted and what each holds; all else is looked
through, so that a text that is no JSON is told, and is left there. A tape holds, in order,

    (kind, 0, 0)          where an object or list of a kind begins
    (-kind, fields, 0)    where it ends: bits of the wanted fields that it has
    (kind, begin, end)    where a string (without its quotes) or a number of a kind lies
    (kind, word, 0)       which word a string is, or NONE

Grain: one text, of UTF-8. Where something is wanted, a string with an escape, a value of another form and a
field that comes twice are not for here: there is no tape of such a text, nor of one with numbers of more than
LONGEST_NUMBER digits or of three digits of exponent, or with more than DEEPEST objects in one another.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Tape = NDArray[np.int32]

NONE = -1
OTHER, OTHERS = 0, 1
"""Kinds of objects and lists of which nothing is wanted."""
DEEPEST, LONGEST_NUMBER = 64, 40
HASHES = 256
QUOTE, BACKSLASH, COMMA, COLON, MINUS, PLUS, POINT, ZERO, SEVEN, NINE = map(ord, '"\\,:-+.079')
LETTER_D, LETTER_E, LETTER_U = map(ord, "deu")
OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST = map(ord, "{}[]")
IS_PLAIN = np.array([32 <= byte < 128 and byte not in (QUOTE, BACKSLASH) for byte in range(256)])
IS_BLANK = np.array([byte in b" \t\r" for byte in range(256)])
IS_ESCAPED = np.array([byte in b'"\\/bfnrt' for byte in range(256)])
IS_HEX = np.array([byte in b"0123456789abcdefABCDEF" for byte in range(256)])
LITERALS = tuple(np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null"))
OF_STRINGS, OF_NUMBERS, OF_WORDS = 1, 2, 4
"""Forms of a scalar that is wanted."""


class Grammar(NamedTuple):
    """What is wanted, as plain arrays. Kinds are numbers: first OTHER and OTHERS, then objects and lists.

    Where an object is `led` by a word, that of a first field, another one is wanted only where that word is
    one of its own: from the first to the last.
    """

    comes: Ints  # (kinds, fields): kind of each field; of lists that of the elements, in every column
    is_list: NDArray[np.bool_]  # (kinds,)
    forms: Ints  # (kinds,): of scalars
    led: Ints  # (kinds, 2): numbers of words, or NONE
    data: Bytes  # of all words, fields first
    offsets: Ints  # (words + 1,)
    places: Ints  # (HASHES,): number of a word, or NONE; where its place is taken it has the next

    @classmethod
    def of(
        cls,
        objects: Mapping[int, Mapping[str, int]],
        lists: Mapping[int, int],
        forms: Mapping[int, int],
        led: Mapping[int, Sequence[str]],
        words: Sequence[str],
    ) -> "Grammar":
        """Make it of objects, with the kind of each field; lists, with that of elements; forms of scalars."""
        fields = list(dict.fromkeys(name for own in objects.values() for name in own))
        known = [*fields, *words]
        kinds = max(*objects, *lists, *forms) + 1
        comes = np.full((kinds, len(fields)), OTHER)
        for kind, element in lists.items():
            comes[kind] = element
        for kind, own in objects.items():
            for name, child in own.items():
                comes[kind, fields.index(name)] = child
        ranges = np.full((kinds, 2), NONE)
        for kind, own_words in led.items():
            ranges[kind] = known.index(own_words[0]), known.index(own_words[-1])
        texts = [word.encode() for word in known]
        data, offsets = np.frombuffer(b"".join(texts), np.uint8), np.cumsum([0, *map(len, texts)])
        places = np.full(HASHES, NONE)
        for number in range(len(texts)):
            at = _hash.py_func(data.tolist(), *offsets[number : number + 2].tolist())  # type: ignore[no-untyped-call]
            while places[at] != NONE:
                at = (at + 1) % HASHES
            places[at] = number
        is_list = np.array([kind in lists or kind == OTHERS for kind in range(kinds)])
        form = np.array([forms.get(kind, 0) for kind in range(kinds)])
        return cls(comes, is_list, form, ranges, data, offsets, places)

    def word(self, text: str) -> int:
        """Number of a word."""
        bounds = zip(self.offsets[:-1], self.offsets[1:], strict=True)
        return [self.data[begin:end].tobytes() for begin, end in bounds].index(text.encode())

    def bits(self, *fields: str) -> int:
        """Bits of fields, as a tape has them."""
        return sum(1 << self.word(field) for field in fields)


def record(text: bytes, begins: Ints, ends: Ints, kind: int, grammar: Grammar) -> tuple[Tape, Ints]:
    """Record texts of a kind, each between two places and followed by a line's end.

    Returns the tapes one after another, (n, 3), and where each ends, (texts,): NONE where there is none.
    """
    # No more is put on a tape than there are bytes: memory that nothing is written to costs nothing.
    tape = np.empty((len(text) + 1, 3), np.int32)
    tape_ends = _record(np.frombuffer(text, np.uint8), begins, ends, kind, *grammar, tape)
    return tape[: tape_ends.max(initial=0)], tape_ends


@numba.njit(cache=True, nogil=True)
def _record(text, begins, ends, kind, comes, is_list, forms, led, data, offsets, places, tape):  # type: ignore[no-untyped-def]
    tape_ends = np.empty(len(begins), np.int64)
    kinds, fields = np.empty(DEEPEST, np.int64), np.empty(DEEPEST, np.int64)
    size = 0
    for one in range(len(begins)):
        tape_ends[one] = _one(
            text, begins[one], ends[one], kind, comes, is_list, forms, led, data, offsets, places,
            tape, size, kinds, fields,
        )  # fmt: skip
        size = max(size, tape_ends[one])
    return tape_ends


@numba.njit(forceinline=True)
def _one(text, at, end, want, comes, is_list, forms, led, data, offsets, places, tape, size, kinds, fields):  # type: ignore[no-untyped-def]
    """Record a text from a place of the tape on; return where it ends, NONE where there is none."""
    depth, word, kinds[0] = 0, NONE, OTHERS
    while True:
        # A value comes.
        at = _after_blanks(text, at)
        byte = text[at]
        is_fresh = byte in (OPEN_OBJECT, OPEN_LIST)
        if is_fresh:
            if want == OTHER and byte == OPEN_LIST:
                want = OTHERS
            depth += 1
            if forms[want] or is_list[want] != (byte == OPEN_LIST) or depth == DEEPEST:
                return NONE
            kinds[depth], fields[depth] = want, 0
            size = _put(tape, size, want, 0, 0)
            at += 1
        else:
            begin, is_string = at, byte == QUOTE
            if is_string:
                begin += 1
                at = _string_end(text, begin, want == OTHER)
            elif byte == MINUS or ZERO <= byte <= NINE:
                at = _number_end(text, begin)
            else:
                at = _literal_end(text, begin) if want == OTHER else NONE
            if at == NONE:
                return NONE
            if want != OTHER:
                form = forms[want]
                if form == OF_WORDS and is_string:
                    word = _word(text, begin, at, data, offsets, places)
                    size = _put(tape, size, want, word, 0)
                elif form & (OF_STRINGS if is_string else OF_NUMBERS):
                    size = _put(tape, size, want, begin, at)
                else:
                    return NONE
            at += is_string
        # After it, or after a beginning: ends, then what is next.
        while True:
            at = _after_blanks(text, at)
            kind = kinds[depth]
            if depth and text[at] == (CLOSE_LIST if is_list[kind] else CLOSE_OBJECT):
                size = _put(tape, size, -kind, fields[depth], 0)
                at, depth, is_fresh = at + 1, depth - 1, False
                if not depth:
                    return size if _after_blanks(text, at) == end else NONE
                continue
            if not is_fresh:
                if text[at] != COMMA or not depth:
                    return NONE
                at = _after_blanks(text, at + 1)
            if is_list[kind]:
                want = comes[kind, 0]
                break
            if text[at] != QUOTE:
                return NONE
            begin = at + 1
            at = _string_end(text, begin, kind == OTHER)
            if at == NONE:
                return NONE
            want = OTHER
            field = _word(text, begin, at, data, offsets, places) if kind != OTHER else NONE
            if 0 <= field < comes.shape[1] and comes[kind, field] != OTHER:
                if fields[depth] >> field & 1:
                    return NONE
                want = comes[kind, field]
                if led[kind, 0] != NONE and forms[want] != OF_WORDS:
                    if not fields[depth]:
                        return NONE
                    if not led[kind, 0] <= word <= led[kind, 1]:
                        want = OTHER
                fields[depth] |= 1 << field
            at = _after_blanks(text, at + 1)
            if text[at] != COLON:
                return NONE
            at += 1
            break


@numba.njit(forceinline=True)
def _put(tape, size, kind, first, second):  # type: ignore[no-untyped-def]
    """Put on the tape what is of a kind; return its length."""
    if kind == OTHER or kind in (OTHERS, -OTHERS):
        return size
    tape[size, 0], tape[size, 1], tape[size, 2] = kind, first, second
    return size + 1


@numba.njit(forceinline=True)
def _after_blanks(text, at):  # type: ignore[no-untyped-def]
    while IS_BLANK[text[at]]:
        at += 1
    return at


@numba.njit(forceinline=True)
def _string_end(text, at, may_escape):  # type: ignore[no-untyped-def]
    """Where a string ends that begins here, or NONE."""
    while True:
        while IS_PLAIN[text[at]]:
            at += 1
        byte = text[at]
        if byte == QUOTE:
            return at
        if byte >= 128:
            at += 1
        elif byte == BACKSLASH and may_escape:
            at = _escape_end(text, at + 1)
            if at == NONE:
                return NONE
        else:
            return NONE


@numba.njit(forceinline=True)
def _escape_end(text, at):  # type: ignore[no-untyped-def]
    """Where what is escaped ends, or NONE; half of a pair that stands for one character is not for here."""
    if IS_ESCAPED[text[at]]:
        return at + 1
    if text[at] != LETTER_U:
        return NONE
    for digit in range(at + 1, at + 5):
        if not IS_HEX[text[digit]]:
            return NONE
    is_half = text[at + 1] in (LETTER_D, LETTER_D - 32) and text[at + 2] > SEVEN
    return NONE if is_half else at + 5


@numba.njit(forceinline=True)
def _number_end(text, at):  # type: ignore[no-untyped-def]
    """Where a number ends that begins here, or NONE; so short a one, of so small an exponent, is finite."""
    begin = at
    if text[at] == MINUS:
        at += 1
    first = at
    at = _digits_end(text, at)
    if at == first or (text[first] == ZERO and at > first + 1):
        return NONE
    if text[at] == POINT:
        at = _digits_end(text, at + 1)
        if text[at - 1] == POINT:
            return NONE
    elif text[begin] == MINUS and text[first] == ZERO:
        return NONE  # -0, which readers take for one of two numbers
    if text[at] in (LETTER_E, LETTER_E - 32):
        at += 2 if text[at + 1] in (PLUS, MINUS) else 1
        first, at = at, _digits_end(text, at)
        if not first < at < first + 3:
            return NONE
    return at if at - begin <= LONGEST_NUMBER else NONE


@numba.njit(forceinline=True)
def _digits_end(text, at):  # type: ignore[no-untyped-def]
    while ZERO <= text[at] <= NINE:
        at += 1
    return at


@numba.njit(forceinline=True)
def _literal_end(text, at):  # type: ignore[no-untyped-def]
    """Where true, false or null ends, or NONE."""
    for literal in LITERALS:
        size = 0
        while size < len(literal) and text[at + size] == literal[size]:
            size += 1
        if size == len(literal):
            return at + size
    return NONE


@numba.njit(forceinline=True)
def _hash(data, begin, end):  # type: ignore[no-untyped-def]
    size = end - begin
    if size == 0:
        return 0
    return (size * 31 + data[begin] * 7 + data[end - 1] * 13 + data[begin + size // 2] * 3) & (HASHES - 1)


@numba.njit(forceinline=True)
def _word(text, begin, end, data, offsets, places):  # type: ignore[no-untyped-def]
    """Number of a word, or NONE."""
    at = _hash(text, begin, end)
    while places[at] != NONE:
        number = places[at]
        first, size = offsets[number], end - begin
        if offsets[number + 1] - first == size:
            same = 0
            while same < size and text[begin + same] == data[first + same]:
                same += 1
            if same == size:
                return number
        at = (at + 1) & (HASHES - 1)
    return NONE
