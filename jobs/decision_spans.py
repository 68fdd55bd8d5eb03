"""Decisions as spans of OpenTelemetry: encoded as they come, and posted behind, many at a time.

The SDK takes 170 µs of CPU to make a span of a decision and to encode it, ten times what all else of a
request takes, so this writes the few forms of OTLP's protobuf that a decision needs; its tests hold it to the
SDK's.
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto

What waits is bounded: where the collector does not keep up, further decisions are not logged, and the
operator is told how many.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from struct import Struct
from threading import Event, Thread
from typing import Any

Value = str | Sequence[str] | Sequence[float]

MOST_WAITING = 50_000
MOST_TOGETHER = 1_000
EVERY_SECONDS = 1.0
SCOPE = "vitrine"
SERVER = 2  # SpanKind
# Tags of fields: number << 3 | kind, where kind 2 is a length and bytes, 1 is eight bytes, 0 a number.
FIRST, SECOND, ARRAY, NAME, ATTRIBUTE = 0x0A, 0x12, 0x2A, 0x2A, 0x4A
KIND = b"\x30"
TIMES = Struct("<cQcQ")
HEADS = {tag: [bytes((tag, count)) for count in range(128)] for tag in (FIRST, SECOND, ARRAY, ATTRIBUTE)}
DOUBLE = bytes((FIRST, 9, 0x21))  # an element of an array, of nine bytes: a double's tag and the double

log = logging.getLogger(__name__)


class DecisionSpans:
    """Takes decisions; `post` sends a request's bytes to a collector and says whether it took them.

    resource : the encoded Resource of this process
    """

    def __init__(self, post: Callable[[bytes], bool], resource: bytes, name: str) -> None:
        self._post = post
        self._resource = _block(FIRST, resource)
        self._scope = _block(FIRST, _block(FIRST, SCOPE.encode()))
        self._name = _block(NAME, name.encode())
        self._waiting: list[bytes] = []
        self._left_out = 0
        self._over = Event()
        self._thread = Thread(target=self._work, name="decisions", daemon=True)

    def __enter__(self) -> "DecisionSpans":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def log(self, attributes: Mapping[str, Value]) -> None:
        """Note a decision, made now."""
        if len(self._waiting) >= MOST_WAITING:
            self._left_out += 1
            return
        self._waiting.append(encoded(self._name, attributes, time.time_ns(), os.urandom(24)))

    def flush(self) -> None:
        """Post all that waits."""
        while some := self._waiting[:MOST_TOGETHER]:
            of_scope = self._scope + b"".join([_block(SECOND, span) for span in some])
            body = _block(FIRST, self._resource + _block(SECOND, of_scope))
            if not self._post(body):
                log.error("The collector did not take %d decisions: they are not logged.", len(some))
            del self._waiting[: len(some)]
        left_out, self._left_out = self._left_out, 0
        if left_out:
            log.error("The collector does not keep up: %d decisions were not logged.", left_out)

    def _work(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self.flush()
        self.flush()


@contextmanager
def to_collector(service: str, name: str) -> Iterator[Callable[[Mapping[str, Value]], None] | None]:
    """Give what sends decisions to OTEL_EXPORTER_OTLP_ENDPOINT, None where that is not set."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        yield None
        return
    exporter: Any = OTLPSpanExporter()
    # The exporter's own client has its address, headers, certificates, compression and attempts.
    with DecisionSpans(lambda body: exporter._client.export(body).success, resource(service), name) as spans:
        yield spans.log
    exporter.shutdown()


def resource(service: str) -> bytes:
    """Return what spans of a service say of where they come from, encoded."""
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.resource.v1 import resource_pb2
    from opentelemetry.sdk.resources import Resource

    told = Resource.create({"service.name": service}).attributes
    pairs = [KeyValue(key=key, value=AnyValue(string_value=str(value))) for key, value in told.items()]
    return resource_pb2.Resource(attributes=pairs).SerializeToString()


def encoded(name: bytes, attributes: Mapping[str, Value], at_ns: int, ids: bytes) -> bytes:
    """Return a Span; `name` is its encoded name, and `ids` are 16 bytes of its trace's and 8 of its own."""
    parts = [b"\x0a\x10", ids[:16], b"\x12\x08", ids[16:], name, KIND, bytes((SERVER,))]
    parts.append(TIMES.pack(b"\x39", at_ns, b"\x41", at_ns))
    for key, value in attributes.items():
        if not isinstance(value, str) and not (value and isinstance(value[0], str)):
            parts.append(_attribute(key, _block(ARRAY, _doubles(value))))  # type: ignore[arg-type]
        else:
            parts.append(_text(key, value if isinstance(value, str) else tuple(value)))  # type: ignore[arg-type]
    return b"".join(parts)


# Most of what is said of a decision was said of one before: its page, candidates, policy, agent.
@lru_cache(10_000)
def _text(key: str, value: str | tuple[str, ...]) -> bytes:
    if isinstance(value, str):
        return _attribute(key, _block(FIRST, value.encode()))
    return _attribute(key, _block(ARRAY, b"".join([_element(one) for one in value])))


def _attribute(key: str, value: bytes) -> bytes:
    return _block(ATTRIBUTE, _key(key) + _block(SECOND, value))


@lru_cache(64)
def _key(key: str) -> bytes:
    return _block(FIRST, key.encode())


@lru_cache(10_000)
def _element(value: str) -> bytes:
    return _block(FIRST, _block(FIRST, value.encode()))


def _doubles(values: Sequence[float]) -> bytes:
    mixed: list[bytes | float] = [DOUBLE] * (2 * len(values))
    mixed[1::2] = values
    return _form(len(values)).pack(*mixed)


@lru_cache(256)
def _form(count: int) -> Struct:
    return Struct("<" + "3sd" * count)


def _block(tag: int, content: bytes) -> bytes:
    count = len(content)
    return (HEADS[tag][count] if count < 128 else bytes((tag,)) + _length(count)) + content


def _length(count: int) -> bytes:
    found = bytearray()
    while count > 127:
        found.append(count & 127 | 128)
        count >>= 7
    found.append(count)
    return bytes(found)
