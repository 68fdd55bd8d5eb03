"""Lines that are decoded by their types give the hits that reading span by span gives, or none at all."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.sources import hits, otlp, spans
from jobs.sources.files import LakeFile
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


def hits_of(line: str) -> tuple[list[Hit] | None, list[Hit], Gate, Gate]:
    """Read a line by its types, and span by span, each through a gate of its own."""
    typed_gate, gate = Gate(DOOR), Gate(DOOR)
    by_types = spans.read(FILE, 3, line.encode(), typed_gate, otlp.EVENT_NAMES)
    return by_types, list(otlp._spans(FILE, 3, line.encode(), gate)), typed_gate, gate


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
    by_types, one_by_one, typed_gate, gate = hits_of(
        message(span("page.view", ID), {**made, **own}, span("scroll", ID), service=service)
    )
    if by_types is not None:
        # As text: 1 == 1.0, but not every integer fits Arrow's doubles.
        assert repr(by_types) == repr(one_by_one)
        assert typed_gate.skipped == gate.skipped


def test_what_well_formed_lines_hold_is_read_by_types() -> None:
    served = span(
        "layout.served", ID.upper(), decision_id="dec1", draw_id="draw1", page="home", position=3,
        widgets=["a", "b"], candidates=[], propensities=[0.25, 1], order_id="o", value_cents=-5, session=None,
        other=[True],
    )  # fmt: skip
    by_types, one_by_one, typed_gate, gate = hits_of(
        message(served, span("scroll", ID), span("page.view", ID))
    )
    assert repr(by_types) == repr(one_by_one)
    assert by_types is not None
    assert [hit[1] for hit in by_types] == ["layout_served", "page_view"]
    assert typed_gate.skipped == gate.skipped == {"spans of service web are no events": 1}


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63), 2**63 - 1])
def test_a_large_integer_in_a_list_of_numbers_is_the_nearest_double(number: int) -> None:
    by_types, one_by_one, *_ = hits_of(message(span("layout.served", ID, propensities=[number])))
    assert by_types is not None
    for (hit,) in (by_types, one_by_one):
        batch = pa.RecordBatch.from_arrays(
            [pa.array([value], field.type) for value, field in zip(hit, hits.ARROW, strict=True)],
            schema=hits.ARROW,
        )
        assert batch["propensities"].to_pylist() == [[float(number)]]


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
    by_types, one_by_one, *_ = hits_of(line)
    assert by_types is None
    assert [hit[hits.FIELDS.index("_reason")] for hit in one_by_one] == [reason]


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
    ],
)
def test_an_unusual_line_is_left_to_the_other_reader(line: str) -> None:
    assert hits_of(line)[0] is None
