"""A job's span reaches a real OTLP receiver, with the manifest as its attributes."""

import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from jobs import runs, telemetry

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ExportTraceServiceRequest]]:
    received: list[ExportTraceServiceRequest] = []

    class Receive(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Receive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("TRACEPARENT", PARENT)
    yield received
    server.shutdown()


def a_run() -> runs.Run:
    day = date(2017, 9, 1)
    return runs.Run("orders-1", "orders", "night", day, date(2017, 9, 2), "c0ffee", runs.now(), [day])


def test_a_span_carries_the_manifest_under_the_nights_trace(
    receiver: list[ExportTraceServiceRequest],
) -> None:
    run = a_run()
    with telemetry.span(run):
        run.rows_out, run.status = 1000, "published"
    spans = [
        span
        for sent in receiver
        for resource in sent.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert [span.name for span in spans] == ["job orders"]
    assert spans[0].trace_id.hex() == PARENT.split("-")[1]
    assert spans[0].parent_span_id.hex() == PARENT.split("-")[2]
    told = {attribute.key: attribute.value for attribute in spans[0].attributes}
    assert told["vitrine.rows_out"].int_value == 1000
    assert told["vitrine.status"].string_value == "published"
    assert told["vitrine.job"].string_value == "orders"


def test_a_failed_run_leaves_an_error_span(receiver: list[ExportTraceServiceRequest]) -> None:
    with pytest.raises(RuntimeError, match="poisoned"), telemetry.span(a_run()):
        raise RuntimeError("poisoned")
    span = receiver[0].resource_spans[0].scope_spans[0].spans[0]
    assert span.status.code == span.status.STATUS_CODE_ERROR


def test_without_an_endpoint_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with telemetry.span(a_run()):
        pass
