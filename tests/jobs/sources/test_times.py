"""Times that a text names are those that a pattern finds, wherever they stand."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.sources.times import Time

PLAIN, NANO = Time("at", per_microsecond=1), Time("aaat", per_microsecond=1000)
PARTS = st.sampled_from(
    ['"at"', '"aaat"', '"a', '"', "a", "t", ":", " ", "\n", "0", "7", "1234567890", "9" * 18, "x", "-", "ü"]
)


def by_pattern(time: Time, text: bytes) -> list[int]:
    found = re.findall(rb'"%b"\s*:\s*"?(\d{1,19})' % time.field.encode(), text)
    return [int(digits) // time.per_microsecond for digits in found]


@settings(max_examples=400, deadline=None)
@given(st.lists(PARTS, max_size=25).map(lambda parts: "".join(parts).encode()))
def test_times_are_those_that_a_pattern_finds(text: bytes) -> None:
    for time in (PLAIN, NANO):
        assert time.named(text).tolist() == by_pattern(time, text)


def test_a_line_names_a_time_within_a_half_open_span() -> None:
    line = b'{"at": "5", "other": 9, "at" :7}'
    assert PLAIN.named(line).tolist() == [5, 7]
    assert [PLAIN.names_one(line, (at, at + 1)) for at in range(4, 9)] == [False, True, False, True, False]
    assert not PLAIN.names_one(b"", (0, 9))
