"""Lines that are read where they lie give the hits that reading span by span gives, or none at all."""

import json
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.sources import hits, otlp, spans
from jobs.sources.files import LakeFile, Line
from jobs.sources.hits import Gate, Hit
from tests.jobs.sources.lake import DAY, DOOR, message, span, typed
from tests.jobs.sources.test_otlp import ID

FILE = LakeFile("x.jsonl", "telemetry", "otlp", DAY, services=("web",))
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2**70), st.floats(allow_nan=False), st.text(max_size=3),
    st.sampled_from(["0", "-1", "1_0", " 7", "1e3", str(2**31), str(2**63)]),
)  # fmt: skip
FIELDS = st.sampled_from(["stringValue", "intValue", "doubleValue", "boolValue"])
NUMBERS = st.one_of(
    st.builds(typed, st.one_of(st.integers(-(2**63), 2**63), st.floats())),
    st.dictionaries(FIELDS, st.one_of(ODD, st.sampled_from(["NaN", "-inf", "1e999"])), max_size=2),
)
VALUES = st.one_of(
    st.builds(typed, st.one_of(st.text(max_size=3), st.integers(-1, 2**32), st.floats(0, 1))),
    st.builds(
        typed, st.lists(st.one_of(st.text(max_size=2), st.floats(0, 1), st.integers(0, 1)), max_size=3)
    ),
    st.dictionaries(FIELDS, ODD, max_size=2),
    st.just({"arrayValue": {}}),
    ODD,
)
KEYS = st.sampled_from([*spans.KINDS, "other"])
OWN = st.sampled_from(["traceId", "spanId", "name", "startTimeUnixNano", "attributes", "kind"])


class Both(NamedTuple):
    """What both readers made of some lines, in order, and the numbers of those that one left to the other."""

    scanned: pa.Table
    one_by_one: pa.Table
    left: list[int]
    skipped: dict[str, int]

    @classmethod
    def of(cls, *texts: str | bytes) -> "Both":
        """Read lines, numbered from 1, where they lie and span by span, each through a gate of its own."""
        own_gate, gate = Gate(DOOR), Gate(DOOR)
        lines = [
            Line(number, text if isinstance(text, bytes) else text.encode(), None)
            for number, text in enumerate(texts, 1)
        ]
        found, others = spans.read(FILE, lines, own_gate)
        rest = [hit for line in others for hit in otlp._spans(FILE, line.number, line.content, own_gate)]
        one_by_one = [hit for line in lines for hit in otlp._spans(FILE, line.number, line.content, gate)]
        assert own_gate.skipped == gate.skipped
        read = pa.Table.from_batches([found, of_hits(rest)])
        in_order = pc.array_sort_indices(read["_offset"])
        left = [line.number for line in others]
        assert not set(left) & set(found["_offset"].to_pylist())
        return cls(
            read.take(in_order).combine_chunks(),
            pa.Table.from_batches([of_hits(one_by_one)]),
            left,
            gate.skipped,
        )


def of_hits(rows: list[Hit]) -> pa.RecordBatch:
    """Hits as Arrow has them."""
    columns = [pa.array([row[at] for row in rows], field.type) for at, field in enumerate(hits.ARROW)]
    return pa.RecordBatch.from_arrays(columns, schema=hits.ARROW)


GOOD = message(
    span("page.view", ID, page="start"), span("scroll", ID), span("widget.seen", ID, widgets=["b"])
)


@settings(max_examples=150, deadline=None)
@given(
    attributes=st.lists(st.tuples(KEYS, VALUES), max_size=4),
    numbers=st.lists(NUMBERS, max_size=2),
    own=st.dictionaries(OWN, ODD, max_size=1),
    service=st.sampled_from(["web", "web", "other"]),
)
def test_both_readers_read_alike(
    attributes: list[tuple[str, Any]], numbers: list[Any], own: dict[str, Any], service: str
) -> None:
    made = span("widget.seen", ID, page="home", position=1, widgets=["a"], propensities=[0.5, 1])
    attributes = [*attributes, ("vitrine.propensities", {"arrayValue": {"values": numbers}})]
    made["attributes"] += [{"key": key, "value": value} for key, value in attributes]
    odd = message(span("page.view", ID), {**made, **own}, span("scroll", ID), service=service)
    both = Both.of(GOOD, odd, GOOD)
    assert both.scanned.equals(both.one_by_one)
    assert not {1, 3} & set(both.left)


@settings(max_examples=300, deadline=None)
@given(
    at=st.integers(0, len(GOOD) - 1),
    what=st.one_of(
        st.sampled_from(
            ['"', "{", "}", "[", "]", ",", ":", "\\", "\\u00e9", "ä", "\0", "0", "-", " ", "null"]
        )
    ),
    taken=st.integers(0, 2),
)
def test_a_line_that_is_hurt_anywhere_is_read_alike(at: int, what: str, taken: int) -> None:
    both = Both.of(GOOD, GOOD[:at] + what + GOOD[at + taken :], GOOD)
    assert both.scanned.equals(both.one_by_one)
    assert not {1, 3} & set(both.left)


def test_what_well_formed_lines_hold_is_read_where_it_lies() -> None:
    served = span(
        "layout.served", ID.upper(), decision_id="dec1", draw_id="draw1", page="home", position=3,
        widgets=["a", "ü"], candidates=[], propensities=[0.25, 1], order_id="o", value_cents=-5, session=None,
        other=[True], versions=["v", ""],
    )  # fmt: skip
    foreign = span("scroll", ID, other='a "quoted" \\ line\n of ünïcode \x7f')
    line = message(served, foreign, span("page.view", ID, session="", device=None))
    both = Both.of(json.dumps(json.loads(line), ensure_ascii=False))
    assert both.left == []
    assert both.scanned.equals(both.one_by_one)
    assert both.scanned["event_name"].to_pylist() == ["layout_served", "page_view"]
    assert both.skipped == {"spans of service web are no events": 1}
    assert both.scanned["widgets"].to_pylist() == [["a", "ü"], None]
    assert both.scanned["propensities"].to_pylist() == [[0.25, 1.0], None]
    assert both.scanned["value_cents"].to_pylist() == [-5, None]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"key": "vitrine.page", ', '"key": "vitrine.page", "x": {}, '),
        ('"key": "user.id", ', '"key": "user.id", "x": [1], '),
        ('"key": "service.name", ', '"key": "service.name", "x": {"key": "vitrine.page"}, '),
        (
            '{"key": "service.name", ',
            '{"key": "service.name", "x": {}, "value": {"stringValue": "bad"}}, {"key": "service.name", ',
        ),
        ("0.25", "2.5e-1"),
        ("0.25", "25E-2"),
        ("0.25", "1e-07"),
    ],
)
def test_what_stands_between_changes_nothing(before: str, after: str) -> None:
    line = message(span("page.view", ID, page="home", propensities=[0.25, 1]))
    assert before in line
    both = Both.of(GOOD, line.replace(before, after), GOOD)
    assert both.scanned.equals(both.one_by_one)
    assert not {1, 3} & set(both.left)
    assert ("bad" in after) == (2 in both.left)


@pytest.mark.parametrize("number", [2**53 + 1, -(10**18) + 1, 10**18 - 1, -(2**63), 2**63 - 1])
def test_a_large_integer_in_a_list_of_numbers_is_the_nearest_double(number: int) -> None:
    both = Both.of(message(span("layout.served", ID, propensities=[number])))
    assert both.left == ([1] if abs(number) >= 10**18 else [])  # of more digits than are read at once
    for table in both[:2]:
        assert table["propensities"].to_pylist() == [[float(number)]]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ('"NaN"', "attribute vitrine.propensities is not a list of numbers"),
        ('"-Infinity"', "attribute vitrine.propensities is not a list of numbers"),
        ('"1e999"', "attribute vitrine.propensities is not a list of numbers"),
        ("1e999", "line is not JSON"),
        ("NaN", "line is not JSON"),
    ],
)
def test_numbers_that_are_none_are_refused(number: str, reason: str) -> None:
    line = message(span("layout.served", ID, propensities=[0.25, 0.5])).replace("0.25", number)
    both = Both.of(line)
    assert both.left == [1]
    assert both.one_by_one["_reason"].to_pylist() == [reason]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "[" * 5000,
        '{"resourceSpans":[{}]}',
        message(None),
        message(span("page.view", ID), service="ledger"),
        message(span("page.view", "xyz")),
        message(span("page.view", ID, user=None, device="")),
        message(span("page.view", ID, position=-1)),
        json.dumps({"resourceSpans": [{"resource": None, "scopeSpans": []}]}),
        message(span("page.view", ID)).encode().replace(b"web", b"w\xffb"),
        message(span("page.view", ID)).replace('"web"', r'"w\u0065b"'),
        message(span("page.view", ID, page="home")).replace('"stringValue": "home"', '"stringValue": null'),
        message(span("page.view", ID, page="home")).replace('"home"', '"home", "stringValue": "twice"'),
        message(span("page.view", ID)) + "}",
        message(span("page.view", ID)).replace('"kind": 3', '"kind": 03'),
        message(span("page.view", ID)).replace('"kind": 3', '"kind": 1e999'),
        message(span("page.view", ID)).replace('"kind": 3', '"kind": "\\ud800"'),
    ],
)
def test_an_unusual_line_is_left_to_the_other_reader(line: str | bytes) -> None:
    both = Both.of(GOOD, line, GOOD)
    assert both.left == [2]
    assert both.scanned.equals(both.one_by_one)
