"""Traces: a span for a job's run and one for each of its steps, by OTLP.

Airflow's own spans (a DAG run, a task, an attempt at it) go the same way. A job's span hangs under the
attempt that started it, which TRACEPARENT names; all DAG runs of a night are in one trace, which `trace_of`
names.

Reads   OTEL_EXPORTER_OTLP_ENDPOINT and its like; TRACEPARENT
Writes  spans; without an endpoint nothing of OpenTelemetry is even imported
On failure, as when nobody listens there, the job goes on: its spans are lost.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from hashlib import blake2b
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.runs import Run

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PATIENCE_SECONDS = 3
"""How long a job waits at its end for a collector that does not answer."""

Told = str | int | float | list[str]

_tracer: ContextVar[Any] = ContextVar("tracer", default=None)


def is_on() -> bool:
    """Whether anybody is to be told."""
    return bool(os.environ.get(ENDPOINT))


def service() -> str:
    """Return the name under which this house is known to a collector."""
    return os.environ.get("OTEL_SERVICE_NAME") or "vitrine"


def trace_of(night: date) -> str:
    """Return the id of a night's trace, 32 hexadecimal digits: of its date and the house's name alone.

    So whatever runs for that night, whenever, and again, is found in one place.
    """
    return blake2b(f"{service()} {night}".encode(), digest_size=16).hexdigest()


@contextmanager
def span(run: "Run") -> Iterator[None]:
    """Wrap a run in a span that carries its manifest; TRACEPARENT, when set, is its parent."""
    if not is_on():
        yield
        return
    from opentelemetry import propagate
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service()}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    parent = propagate.extract({"traceparent": os.environ.get("TRACEPARENT", "")})
    tracer = provider.get_tracer("vitrine")
    before = _tracer.set(tracer)
    try:
        with tracer.start_as_current_span(f"job {run.job}", context=parent) as current:
            try:
                yield
            finally:
                current.set_attributes(_manifest(run))
    finally:
        _tracer.reset(before)
        # Its own shutdown waits half a minute for a collector that is gone.
        sending = Thread(target=provider.shutdown, daemon=True)
        sending.start()
        sending.join(PATIENCE_SECONDS)


@contextmanager
def step(name: str, **told: Told) -> Iterator[None]:
    """Wrap a step of the run that is at work, as an action of Spark, in a span of its own."""
    tracer = _tracer.get()
    if tracer is None:
        yield
        return
    attributes = {f"vitrine.{key}": value for key, value in told.items()}
    with tracer.start_as_current_span(name, attributes=attributes):
        yield


def marks(prefix: str) -> Callable[[str], None]:
    """Return what is told of each step when it is done: its span begins where the one before ended."""
    tracer, began = _tracer.get(), time.time_ns()

    def done(name: str) -> None:
        nonlocal began
        if tracer is not None:
            tracer.start_span(f"{prefix} {name}", start_time=began).end()
            began = time.time_ns()

    return done


def _manifest(run: "Run") -> dict[str, Told]:
    told: Mapping[str, Any] = run.row()
    plain = {name: value for name, value in told.items() if isinstance(value, str | int | float)}
    dates = {name: told[name].isoformat() for name in ("from_date", "to_date")}
    inputs = [f"{table}@{version}" for table, version in run.inputs.items()]
    return {f"vitrine.{name}": value for name, value in {**plain, **dates, "inputs": inputs}.items()}
