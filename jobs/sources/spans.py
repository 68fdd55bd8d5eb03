"""Spans of well-formed lines, decoded by their types: in two thirds of the time that any JSON takes.

Grain: one span. A line in which anything is unusual is left to `jobs.sources.otlp`, which reads span by span
and tells what is wrong; what both read they read alike.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from jobs.sources import hits
from jobs.sources.files import LakeFile
from jobs.sources.hits import Gate, Hit


class _Value(msgspec.Struct, gc=False, rename="camel"):
    string_value: str | None = None
    int_value: int | str | None = None
    double_value: float | None = None
    array_value: "_Values | None" = None


class _Values(msgspec.Struct, gc=False):
    values: list[_Value] = []


class _Attribute(msgspec.Struct, gc=False):
    key: str
    value: _Value


class _Span(msgspec.Struct, gc=False, rename="camel"):
    span_id: str
    name: str
    start_time_unix_nano: str | int
    trace_id: str | None = None
    attributes: list[_Attribute] = []


class _Scope(msgspec.Struct, gc=False):
    spans: list[_Span]


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_Attribute] = []


class _OfResource(msgspec.Struct, gc=False, rename="camel"):
    scope_spans: list[_Scope]
    resource: _Resource = msgspec.field(default_factory=_Resource)


class _Message(msgspec.Struct, gc=False, rename="camel"):
    resource_spans: list[_OfResource]


DECODE = msgspec.json.Decoder(_Message).decode


class Unusual(ValueError):
    """Something that a typed line does not hold; what it is another reader tells."""


def _text(value: _Value) -> str:
    if value.string_value is None:
        raise Unusual
    return value.string_value


def _integer(value: _Value) -> int:
    number = int(value.int_value)  # type: ignore[arg-type]  # None is told by a TypeError
    if not -(2**63) <= number < 2**63:
        raise Unusual
    return number


def _position(value: _Value) -> int:
    number = _integer(value)
    if not 0 <= number < 2**31:
        raise Unusual
    return number


def _texts(value: _Value) -> list[str]:
    return [_text(inner) for inner in value.array_value.values]  # type: ignore[union-attr]  # as above


def _doubles(value: _Value) -> list[float]:
    listed = value.array_value.values  # type: ignore[union-attr]  # as above
    # A number of JSON is finite: NaN comes as a string, and what is too large is refused by the decoder.
    return [float(_integer(one)) if one.double_value is None else one.double_value for one in listed]


TEXT, POSITION, INTEGER, TEXTS, DOUBLES = range(5)
KINDS: Mapping[str, int] = {
    "device.id": TEXT,
    "user.id": TEXT,
    "user_agent.original": TEXT,
    "session.id": TEXT,
    "vitrine.page": TEXT,
    "vitrine.decision_id": TEXT,
    "vitrine.draw_id": TEXT,
    "vitrine.position": POSITION,
    "vitrine.widget": TEXT,
    "vitrine.product_id": TEXT,
    "vitrine.order_id": TEXT,
    "vitrine.value_cents": INTEGER,
    "vitrine.widgets": TEXTS,
    "vitrine.candidates": TEXTS,
    "vitrine.propensities": DOUBLES,
    "vitrine.policy_version": TEXT,
    "vitrine.versions": TEXTS,
    "vitrine.variant": TEXT,
    "vitrine.freshness": TEXT,
    "vitrine.rules": TEXT,
}
"""What an attribute holds; but for the first three, in the order of hits."""
READ: Mapping[int, Callable[[_Value], Any]] = {
    POSITION: _position,
    INTEGER: _integer,
    TEXTS: _texts,
    DOUBLES: _doubles,
}
PLACE_OF_TEXT = {key: place for place, (key, kind) in enumerate(KINDS.items()) if kind == TEXT}
OTHERS = {key: (place, READ[kind]) for place, (key, kind) in enumerate(KINDS.items()) if kind != TEXT}
NOTHING_SAID: list[Any] = [None] * len(KINDS)


def read(file: LakeFile, offset: int, line: bytes, gate: Gate, names: Mapping[str, str]) -> list[Hit] | None:
    """Read the hits of a line, None where anything in it is unusual; `names` are of spans that are events."""
    try:
        parts = [
            (_service(part), [span for scope in part.scope_spans for span in scope.spans])
            for part in DECODE(line).resource_spans
        ]
        events = [(service, [span for span in spans if span.name in names]) for service, spans in parts]
        if file.services and any(own and service not in file.services for service, own in events):
            return None
        found = [
            _hit(span, names[span.name], service, file, offset, gate)
            for service, own in events
            for span in own
        ]
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    for (service, spans), (_, own) in zip(parts, events, strict=True):
        gate.skip(service, len(spans) - len(own))
    return found


def _service(part: _OfResource) -> str | None:
    for attribute in part.resource.attributes:
        if attribute.key == "service.name":
            return _text(attribute.value)
    return None


def _hit(span: _Span, name: str, service: str | None, file: LakeFile, offset: int, gate: Gate) -> Hit:
    said = NOTHING_SAID.copy()
    place_of, other = PLACE_OF_TEXT.get, OTHERS.get
    for attribute in span.attributes:
        place = place_of(attribute.key)
        if place is not None:
            text = attribute.value.string_value
            if text is None:
                raise Unusual
            said[place] = text
        elif (known := other(attribute.key)) is not None:
            said[known[0]] = known[1](attribute.value)
    span_id, at, trace_id = span.span_id, int(span.start_time_unix_nano) // 1000, span.trace_id
    device, user = gate.device(said[0]), gate.user(said[1])
    subject = user or device
    int(span_id, 16)
    if len(span_id) != 16 or not 0 < at <= hits.LAST_MICROSECOND or subject is None:
        raise Unusual
    if trace_id is not None and len(trace_id) != 32:
        raise Unusual
    return (
        hits.event_id(span_id.lower(), device, subject), name, at, file.arrival_date, subject, device, user,
        file.source, service, trace_id, *said[3:], gate.bots[said[2]] if said[2] else False,
        None, file.path, offset, None, None,
    )  # fmt: skip
