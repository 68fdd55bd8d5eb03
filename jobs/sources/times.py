"""Times that a text names, found without parsing it: late data names the days to rebuild.

A form of files writes a time as the number of a field, in quotes or without; a time that turns out to be a
broken row's stands for nothing.
"""

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.uint64]
MOST_DIGITS = 19
QUOTE, COLON, ZERO, NINE = map(ord, '":09')
BLANKS = np.array([byte in b" \t\r\n\f\v" for byte in range(256)])


@dataclass(frozen=True)
class Time:
    """How a form names times: the field, and how many of its units are a microsecond."""

    field: str
    per_microsecond: int

    @cached_property
    def word(self) -> NDArray[np.uint8]:
        """The field's name in quotes."""
        return np.frombuffer(f'"{self.field}"'.encode(), np.uint8)

    @cached_property
    def skips(self) -> NDArray[np.int64]:
        """How far the word may be moved on, by what stands under its last byte; 0 where that is the same.

        Horspool, Practical fast searching in strings (1980).
        """
        skips = np.full(256, len(self.word))
        for place, byte in enumerate(self.word.tolist(), 1):
            skips[byte] = len(self.word) - place
        return skips

    def named(self, text: bytes) -> Times:
        """Return all times that a text names, in its order, in microseconds."""
        return _named(np.frombuffer(text, np.uint8), self.word, self.skips) // np.uint64(self.per_microsecond)

    def names_one(self, line: bytes, span: tuple[int, int]) -> bool:
        """Tell whether a line holds a time within a half-open span of microseconds."""
        times = self.named(line)
        return bool(np.any((times >= span[0]) & (times < span[1])))


@numba.njit(cache=True, nogil=True)
def _named(text, word, skips):  # type: ignore[no-untyped-def]
    """Numbers of at most 19 digits that follow the word and a colon, each maybe after a quote."""
    last, size = len(word) - 1, len(text)
    found = np.empty(size // len(word) + 1, np.uint64)
    count, at = 0, last
    while at < size:
        skip = skips[text[at]]
        if skip:
            at += skip
            continue
        same = 0
        while same < last and text[at - last + same] == word[same]:
            same += 1
        at += 1
        if same < last:
            continue
        begin = _after_blanks(text, at, size)
        if begin == size or text[begin] != COLON:
            continue
        begin = _after_blanks(text, begin + 1, size)
        if begin < size and text[begin] == QUOTE:
            begin += 1
        digit, number = begin, np.uint64(0)
        while digit < size and digit < begin + MOST_DIGITS and ZERO <= text[digit] <= NINE:
            number = number * np.uint64(10) + np.uint64(text[digit] - ZERO)
            digit += 1
        if digit > begin:
            found[count] = number
            count += 1
    return found[:count]


@numba.njit(forceinline=True)
def _after_blanks(text, at, size):  # type: ignore[no-untyped-def]
    while at < size and BLANKS[text[at]]:
        at += 1
    return at
