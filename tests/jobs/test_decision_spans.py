"""decision_spans: what the SDK would have sent, and what becomes of it where nobody takes it."""

import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from jobs import decision_spans
from jobs.decision_spans import DecisionSpans, resource, to_collector
from jobs.serve import SERVICE, SPAN

TEXTS = st.text(st.characters(codec="utf-8"), max_size=200)
VALUES = st.one_of(
    TEXTS, st.lists(TEXTS, min_size=1, max_size=40), st.lists(st.floats(allow_nan=False), max_size=40)
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abc.", min_size=1, max_size=140), VALUES, max_size=6))
def test_a_span_is_that_of_the_sdk_but_for_its_ids_and_time(attributes):
    kept, posted = InMemorySpanExporter(), []
    provider = TracerProvider(resource=Resource.create({"service.name": "layout"}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.get_tracer("vitrine").start_span("served", kind=SpanKind.SERVER, attributes=attributes).end()
    wanted = encode_spans(kept.get_finished_spans())

    spans = DecisionSpans(lambda body: posted.append(body) is None, resource("layout"), "served")
    spans.log(attributes)
    spans.flush()
    found = ExportTraceServiceRequest.FromString(posted[0])
    (ours,), (theirs,) = (one.resource_spans[0].scope_spans[0].spans for one in (found, wanted))
    assert (len(ours.trace_id), len(ours.span_id)) == (16, 8)
    assert abs(ours.start_time_unix_nano - theirs.start_time_unix_nano) < 10e9
    assert ours.start_time_unix_nano == ours.end_time_unix_nano
    for name in ("trace_id", "span_id", "start_time_unix_nano", "end_time_unix_nano"):
        setattr(ours, name, getattr(theirs, name))
    theirs.ClearField("status")
    theirs.ClearField("flags")
    assert ours == theirs
    assert found.resource_spans[0].resource == wanted.resource_spans[0].resource
    assert found.resource_spans[0].scope_spans[0].scope == wanted.resource_spans[0].scope_spans[0].scope


def test_all_are_posted_in_the_end_some_at_a_time(monkeypatch):
    monkeypatch.setattr(decision_spans, "MOST_TOGETHER", 300)
    posted = []
    with DecisionSpans(lambda body: posted.append(body) is None, b"", "served") as spans:
        for number in range(1000):
            spans.log({"n": str(number)})
    found = [
        span.attributes[0].value.string_value
        for body in posted
        for span in ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    ]
    assert found == [str(number) for number in range(1000)]
    assert len(posted) == 4


def test_a_collector_gets_them_by_the_settings_of_opentelemetry(monkeypatch):
    asked = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.path, self.headers["content-type"], self.headers["x-shop"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-shop=ours")
        with to_collector(SERVICE, SPAN) as log:
            log({"vitrine.page": "home"})
        server.shutdown()
    ((path, kind, shop, body),) = asked
    assert (path, kind, shop) == ("/v1/traces", "application/x-protobuf", "ours")
    (of_resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    named = {one.key: one.value.string_value for one in of_resource.resource.attributes}
    assert named["service.name"] == "layout"
    assert [span.name for span in of_resource.scope_spans[0].spans] == ["layout.served"]

    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    with to_collector(SERVICE, SPAN) as log:
        assert log is None


def test_what_nobody_takes_is_bounded_and_told(monkeypatch, caplog):
    monkeypatch.setattr(decision_spans, "MOST_WAITING", 10)
    spans = DecisionSpans(lambda _: False, b"", "served")
    for number in range(25):
        spans.log({"n": str(number)})
    with caplog.at_level(logging.ERROR):
        spans.flush()
    assert [record.getMessage() for record in caplog.records] == [
        "The collector did not take 10 decisions: they are not logged.",
        "The collector does not keep up: 15 decisions were not logged.",
    ]
    spans.log({"n": "later"})
    assert len(spans._waiting) == 1
