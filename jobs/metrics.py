"""Metrics: what there is to measure, each said once, and the two ways in which it leaves.

As text for Prometheus, which asks, and by OTLP to OTEL_EXPORTER_OTLP_ENDPOINT, which is told every minute
(OTEL_METRIC_EXPORT_INTERVAL). What is measured comes from jobs/ui/metrics.py (tables and store, by Airflow's
API server) and from jobs/serve.py (reads). Names are OpenTelemetry's; Prometheus's follow from them.

https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from jobs.telemetry import is_on, service

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SUFFIXES = {"s": "_seconds", "By": "_bytes", "d": "_days"}
SAME_SECONDS = 1.0  # instruments that are asked so shortly one after another are told the same


@dataclass(frozen=True)
class Metric:
    """A thing that is measured: its unit is UCUM's, in braces if it only says what is counted."""

    name: str
    kind: Literal["gauge", "counter"]
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def in_prometheus(self) -> str:
        """Its name there: with its unit, and `_total` where it only ever grows."""
        total = "_total" if self.kind == "counter" else ""
        return self.name.replace(".", "_") + SUFFIXES.get(self.unit, "") + total


@dataclass(frozen=True)
class Sample:
    """A measured value, with a value for each of its metric's labels."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.metric.labels):
            raise ValueError(f"{self.metric.name} has the labels {self.metric.labels}, not {self.labels}")


RUN_ROWS = Metric("vitrine.run.rows", "gauge", "{row}", "rows that a job's last run published", ("job",))
RUN_REJECTED = Metric("vitrine.run.rejected", "gauge", "{row}", "rows that it sent to quarantine", ("job",))
RUN_SECONDS = Metric("vitrine.run.duration", "gauge", "s", "how long a job's last run took", ("job",))
RUN_CPU = Metric(
    "vitrine.run.cpu", "gauge", "s", "processor time of its process, without the engine", ("job",)
)
RUN_MEMORY = Metric("vitrine.run.memory", "gauge", "By", "most memory that its process held", ("job",))
RUN_STARTED = Metric(
    "vitrine.run.started.timestamp", "gauge", "s", "when it began, in seconds since 1970", ("job",)
)
RUN_STOPPED = Metric(
    "vitrine.run.stopped", "gauge", "1", "1 if a job's last run was stopped, else 0", ("job",)
)
TABLE_ROWS = Metric("vitrine.table.rows", "gauge", "{row}", "rows in a table", ("table",))
TABLE_BEHIND = Metric(
    "vitrine.table.behind", "gauge", "d", "days from a table's newest day to the last night", ("table",)
)
TABLE_STALE = Metric(
    "vitrine.table.stale",
    "gauge",
    "1",
    "1 if it is further behind than its contract allows, else 0",
    ("table",),
)
QUARANTINED = Metric(
    "vitrine.quarantine.rows", "gauge", "{row}", "rows turned away in the last 7 days", ("table",)
)
GENERATION = Metric("vitrine.store.generation", "gauge", "1", "number of the live generation")
SERVES = Metric(
    "vitrine.store.serves.timestamp", "gauge", "s", "the day it is for, as its first second since 1970, UTC"
)
VALID_UNTIL = Metric(
    "vitrine.store.valid_until.timestamp",
    "gauge",
    "s",
    "when readers fall back to defaults, in seconds since 1970",
)
LAYOUTS = Metric("vitrine.store.layouts", "gauge", "{layout}", "layouts in the live generation")
MOVED = Metric(
    "vitrine.store.moved",
    "gauge",
    "{layout}",
    "layouts that were new, changed or gone against the generation before",
    ("page", "what"),
)
REFUSED = Metric("vitrine.store.refused", "gauge", "1", "1 if the last generation made was not shown, else 0")
READS = Metric(
    "vitrine.reads", "counter", "{read}", "layouts given, by what came of a read", ("page", "outcome")
)

OF_HOUSE = (
    RUN_ROWS, RUN_REJECTED, RUN_SECONDS, RUN_CPU, RUN_MEMORY, RUN_STARTED, RUN_STOPPED,
    TABLE_ROWS, TABLE_BEHIND, TABLE_STALE, QUARANTINED,
    GENERATION, SERVES, VALID_UNTIL, LAYOUTS, MOVED, REFUSED,
)  # fmt: skip
OF_SERVE = (READS,)


def as_text(samples: Iterable[Sample]) -> str:
    """Return samples as Prometheus reads them, a metric's together."""
    by_metric: dict[Metric, list[Sample]] = {}
    for sample in samples:
        by_metric.setdefault(sample.metric, []).append(sample)
    lines = []
    for metric, own in by_metric.items():
        name = metric.in_prometheus
        lines += [f"# HELP {name} {metric.meaning}", f"# TYPE {name} {metric.kind}"]
        for sample in own:
            pairs = zip(metric.labels, sample.labels, strict=True)
            labels = ",".join(f'{label}="{_escaped(value)}"' for label, value in pairs)
            lines.append(
                f"{name}{{{labels}}} {_number(sample.value)}" if labels else f"{name} {_number(sample.value)}"
            )
    return "".join(f"{line}\n" for line in lines)


def as_table() -> str:
    """Return what is measured as a table in Markdown."""
    rows = [("in Prometheus", "in OpenTelemetry", "unit", "by", "is"), ("---",) * 5]
    for one in (*OF_HOUSE, *OF_SERVE):
        names = f"`{one.in_prometheus}`", f"`{one.name}`"
        rows.append((*names, one.unit.strip("{}"), ", ".join(one.labels), one.meaning))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


@contextmanager
def pushed(metrics: Sequence[Metric], measure: Callable[[], Iterable[Sample]]) -> Iterator[None]:
    """Tell a collector of these metrics as long as this lasts; without an endpoint nothing is done."""
    if not is_on():
        yield
        return
    stop = push(metrics, measure)
    try:
        yield
    finally:
        stop()


def push(metrics: Sequence[Metric], measure: Callable[[], Iterable[Sample]]) -> Callable[[], None]:
    """Begin to tell a collector of these metrics, beside what else this process does; return what ends it."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    provider = MeterProvider([reader], Resource.create({"service.name": service()}))
    meter, latest = provider.get_meter("vitrine"), _Latest(measure)
    for metric in metrics:
        make = meter.create_observable_counter if metric.kind == "counter" else meter.create_observable_gauge
        make(metric.name, [_observing(metric, latest)], metric.unit, metric.meaning)
    return provider.shutdown


class _Latest:
    """Measures once for all instruments that are asked together."""

    def __init__(self, measure: Callable[[], Iterable[Sample]]) -> None:
        self._measure = measure
        self._samples: list[Sample] = []
        self._at = float("-inf")

    def __call__(self) -> list[Sample]:
        if time.monotonic() - self._at > SAME_SECONDS:
            self._samples = list(self._measure())
            self._at = time.monotonic()
        return self._samples


def _observing(metric: Metric, latest: _Latest) -> "Callable[[CallbackOptions], Iterable[Observation]]":
    from opentelemetry.metrics import Observation

    def observe(_: Any) -> "Iterable[Observation]":
        for sample in latest():
            if sample.metric is metric:
                # OTLP knows no booleans, and one would cost the whole batch.
                yield Observation(float(sample.value), dict(zip(metric.labels, sample.labels, strict=True)))

    return observe


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
