"""Telemetry: OTLP JSON lines, as the OpenTelemetry Collector's file exporter writes them, read into hits.

A line is one `TracesData` message: resourceSpans → scopeSpans → spans. Integers may be numbers or strings, as
protobuf's JSON mapping has it; ids are hex, in either case.
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/exporter/fileexporter

Traces are full of spans that are no events (queries, requests): those of other names are skipped and counted.
A span with an event's name from a service that its source does not name goes to quarantine.

Attributes with a name of OpenTelemetry's own mean what its semantic conventions say:
`service.name` https://opentelemetry.io/docs/specs/semconv/resource/#service
`device.id` https://opentelemetry.io/docs/specs/semconv/registry/attributes/device/
`user.id` https://opentelemetry.io/docs/specs/semconv/registry/attributes/user/
`session.id` https://opentelemetry.io/docs/specs/semconv/general/session/
`user_agent.original` https://opentelemetry.io/docs/specs/semconv/registry/attributes/user-agent/
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import isfinite
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.pieces import heaped
from jobs.sources import files as lake
from jobs.sources import hits, span_scan, spans
from jobs.sources.files import LakeFile, Line
from jobs.sources.hits import Door, Gate, Hit, Partly, Wrong
from jobs.sources.times import Time

TIME = Time("startTimeUnixNano", per_microsecond=1000)
AT_ONCE = 4 << 20
"""Bytes of lines that are read at once, or a line more."""
OPEN_KEYS = frozenset(
    {
        "traceId",
        "spanId",
        "parentSpanId",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "key",
        "value",
        "stringValue",
        "intValue",
        "doubleValue",
        "boolValue",
        "arrayValue",
        "values",
    }
)
OPEN_ATTRIBUTES = "vitrine."
ONLY_STRINGS = frozenset({str})


def parse(files: DataFrame, door: Door, partly: Partly | None = None) -> DataFrame:
    """Read the spans of the files into hits: grain one span as delivered, broken ones with their reason."""
    return lake.read(files, partial(read, door=door, partly=partly), hits.COLUMNS)


def read(files: Iterator[LakeFile], door: Door, partly: Partly | None = None) -> Iterator[pa.RecordBatch]:
    """Read files one after another, inside a task."""
    gate = Gate(door)
    of_line = partial(_spans, gate=gate)
    for file in files:
        for lines in heaped(hits.wanted(file, partly, TIME), AT_ONCE, _size):
            found, others = spans.read(file, lines, gate)
            yield found
            yield from lake.batched(hits.rows_of(file, others, of_line), hits.ARROW)
        yield from lake.batched(hits.left_out(file, gate), hits.ARROW)


def _size(line: Line) -> int:
    return len(line.content) + 1  # with its end


def _spans(file: LakeFile, offset: int, line: bytes, gate: Gate) -> Iterator[Hit]:
    part = 0
    try:
        for resource in orjson.loads(line)["resourceSpans"]:
            service = _service(resource)
            is_known = not file.services or service in file.services
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    part += 1
                    if (
                        type(span) is dict
                        and type(span.get("name")) is str
                        and span["name"] not in spans.EVENT_NAMES
                    ):
                        gate.skip(service, 1)
                        continue
                    try:
                        if not is_known:
                            raise Wrong(f"service {service} is none of source {file.source}'s")
                        yield _hit(span, service, file, offset, gate)
                    except Wrong as wrong:
                        yield hits.broken(file, offset, part, str(wrong), _shown(span))
    except orjson.JSONDecodeError:
        yield hits.broken(file, offset, 0, "line is not JSON", hits.unread(line))
    except (KeyError, TypeError, AttributeError, Wrong):
        yield hits.broken(
            file, offset, 0, "line is not OTLP: resourceSpans, scopeSpans, spans", hits.unread(line)
        )


def _service(resource: Any) -> str | None:
    for attribute in resource.get("resource", {}).get("attributes", ()):
        if attribute["key"] == "service.name":
            return _string(attribute["value"])
    return None


def _hit(span: Any, service: str | None, file: LakeFile, offset: int, gate: Gate) -> Hit:
    try:
        name, span_id, at = span["name"], span["spanId"], int(span["startTimeUnixNano"]) // 1000
        trace_id, attributes = span.get("traceId"), span.get("attributes", ())
        int(span_id, 16)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Wrong(_fault(span)) from None
    known = spans.EVENT_NAMES.get(name) if type(name) is str else None
    if known is None or len(span_id) != 16 or not 0 < at <= hits.LAST_MICROSECOND:
        raise Wrong(_fault(span))
    if trace_id is not None and (type(trace_id) is not str or len(trace_id) != 32):
        raise Wrong("traceId is not 32 hex digits")
    found: list[Any] = [None] * len(SLOTS)
    key: Any = None
    try:
        for attribute in attributes:
            key = attribute["key"]
            slot = SLOTS.get(key)
            if slot is not None:
                found[slot[0]] = slot[1](attribute["value"])
    except (KeyError, TypeError, ValueError, AttributeError):
        known_key = isinstance(key, str) and key in SLOTS
        raise Wrong(
            f"attribute {key} is not {SLOTS[key][2]}" if known_key else "attributes are malformed"
        ) from None
    device, user = gate.device(found[0]), gate.user(found[1])
    subject = user or device
    if subject is None:
        raise Wrong("an event needs a subject")
    return (
        hits.event_id(span_id.lower(), device, subject), known, at, file.arrival_date, subject, device, user,
        file.source, service, trace_id, *found[3:], gate.bots[found[2]] if found[2] else False,
        None, file.path, offset, None, None,
    )  # fmt: skip


def _fault(span: Any) -> str:
    """Say what is wrong with a span's own fields, in a fixed order."""
    if not isinstance(span, dict):
        return "span is not an object"
    if not (isinstance(span.get("spanId"), str) and re.fullmatch("[0-9a-fA-F]{16}", span["spanId"])):
        return "spanId is not 16 hex digits"
    try:
        nanoseconds = int(span["startTimeUnixNano"])
    except (KeyError, TypeError, ValueError):
        return "startTimeUnixNano is missing or no number"
    if not 0 < nanoseconds // 1000 <= hits.LAST_MICROSECOND:
        return "startTimeUnixNano is out of range"
    if not isinstance(span.get("name"), str):
        return "span has no name"
    if span["name"] not in spans.EVENT_NAMES:
        return "an event needs a known name"
    return "attributes are malformed"


def _shown(span: Any) -> str:
    shown = hits.redacted(span, OPEN_KEYS)
    if isinstance(shown, dict) and isinstance(shown.get("attributes"), list):
        for attribute in shown["attributes"]:
            if isinstance(attribute, dict) and not str(attribute.get("key")).startswith(OPEN_ATTRIBUTES):
                attribute["value"] = "[redacted]"
    return orjson.dumps(shown).decode()


def _string(value: Any) -> str:
    text = value["stringValue"]
    if type(text) is not str:
        raise TypeError
    return text


def _integer(value: Any) -> int:
    number = value["intValue"]
    if type(number) is str:
        number = int(number)
    if type(number) is not int or not -(2**63) <= number < 2**63:
        raise TypeError
    return number


def _position(value: Any) -> int:
    number = _integer(value)
    if not 0 <= number < 2**31:
        raise ValueError
    return number


def _double(value: Any) -> float:
    # A JavaScript SDK writes a whole number as an integer, whatever it stands for.
    given = value.get("doubleValue")
    number = float(_integer(value) if given is None else given)
    # NaN is neither more nor less than anything: which copy of an event stands would hang on their order.
    if not isfinite(number):
        raise ValueError
    return number


def _strings(value: Any) -> list[str]:
    texts = [inner["stringValue"] for inner in value["arrayValue"].get("values", ())]
    if not ONLY_STRINGS.issuperset(map(type, texts)):
        raise TypeError
    return texts


def _doubles(value: Any) -> list[float]:
    return [_double(inner) for inner in value["arrayValue"].get("values", ())]


READ: Mapping[int, tuple[Callable[[Any], Any], str]] = {
    span_scan.TEXT: (_string, "a string"),
    span_scan.POSITION: (_position, "an integer from 0"),
    span_scan.INTEGER: (_integer, "an integer"),
    span_scan.TEXTS: (_strings, "a list of strings"),
    span_scan.DOUBLES: (_doubles, "a list of numbers"),
}
SLOTS = {key: (place, *READ[kind]) for place, (key, kind) in enumerate(spans.KINDS.items())}
