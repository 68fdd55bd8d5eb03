"""Lines that are decoded by their types give the hits that reading span by span gives, or none at all."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.sources import otlp, spans
from jobs.sources.files import LakeFile
from jobs.sources.hits import Gate, Hit
from tests.jobs.sources.lake import DAY, DOOR, message, span, typed
from tests.jobs.sources.test_otlp import ID

FILE = LakeFile("x.jsonl", "telemetry", "otlp", DAY, services=("web",))
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2**70), st.floats(allow_nan=False), st.text(max_size=3),
    st.sampled_from(["0", "-1", "1_0", " 7", "1e3", str(2**31), str(2**63)]),
)  # fmt: skip
VALUES = st.one_of(
    st.builds(typed, st.one_of(st.text(max_size=3), st.integers(-1, 2**32), st.floats(0, 1))),
    st.builds(
        typed, st.lists(st.one_of(st.text(max_size=2), st.floats(0, 1), st.integers(0, 1)), max_size=3)
    ),
    st.dictionaries(
        st.sampled_from(["stringValue", "intValue", "doubleValue", "boolValue"]), ODD, max_size=2
    ),
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
    own=st.dictionaries(OWN, ODD, max_size=1),
    service=st.sampled_from(["web", "web", "other"]),
)
def test_both_readers_read_alike(
    attributes: list[tuple[str, Any]], own: dict[str, Any], service: str
) -> None:
    made = span("widget.seen", ID, page="home", position=1, widgets=["a"], propensities=[0.5, 1])
    made["attributes"] += [{"key": key, "value": value} for key, value in attributes]
    by_types, one_by_one, typed_gate, gate = hits_of(
        message(span("page.view", ID), {**made, **own}, span("scroll", ID), service=service)
    )
    if by_types is not None:
        assert by_types == one_by_one
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
    assert by_types == one_by_one
    assert by_types is not None
    assert [hit[1] for hit in by_types] == ["layout_served", "page_view"]
    assert typed_gate.skipped == gate.skipped == {"spans of service web are no events": 1}


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
