"""One OpenTelemetry span per job run, exported by OTLP when OTEL_EXPORTER_OTLP_ENDPOINT is set."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.runs import Run


@contextmanager
def span(run: Run) -> Iterator[None]:
    """Wrap a run in a span that carries its manifest; TRACEPARENT, when set, is its parent."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        yield
        return
    from opentelemetry import propagate
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "vitrine"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    parent = propagate.extract({"traceparent": os.environ.get("TRACEPARENT", "")})
    with provider.get_tracer("vitrine").start_as_current_span(f"job {run.job}", context=parent) as current:
        try:
            yield
        finally:
            for name, value in run.row().items():
                if isinstance(value, str | int | float):
                    current.set_attribute(f"vitrine.{name}", value)
    provider.shutdown()
