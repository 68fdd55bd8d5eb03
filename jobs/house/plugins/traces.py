"""One trace for all DAG runs of a night: Airflow gives each DAG run a trace of its own, made up by chance.

Airflow keeps a DAG run's trace in a column, from which its own span and those of its tasks follow, and their
jobs'. What is set there, when a run is made and when it is cleared, gets the night's id instead; the rest of
it stays, the decision on sampling among it. Nothing is done unless OTEL_EXPORTER_OTLP_ENDPOINT is set.
"""

import os
from datetime import date
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from airflow.plugins_manager import AirflowPlugin

NIGHTLY = ("lake_etl", "policy_evaluation", "nightly_layouts", "drift")
PARENT = "traceparent"


class Traces(AirflowPlugin):
    """Is there to be loaded: what it does is done below."""

    name = "vitrine_traces"


def night_of(run: Any, zone: ZoneInfo) -> date | None:
    """Return the business day that a DAG run is for, the last if several; None where it is not of a night."""
    if run.dag_id not in NIGHTLY:
        return None
    asked = run.conf or {}
    if day := asked.get("end") or asked.get("start"):
        try:
            return date.fromisoformat(day)
        except (TypeError, ValueError):
            return None  # the run will say so itself
    from jobs import run_day

    return run_day.of_run(run, zone)


def join_night(run: Any, carrier: Any, *_: Any) -> None:
    """Put the night's trace in place of the one that a DAG run has just been given."""
    if not carrier or PARENT not in carrier:
        return
    night = night_of(run, _zone())
    if night is not None:
        from jobs.telemetry import trace_of

        version, _trace, span, flags = carrier[PARENT].split("-")
        joined = f"{version}-{trace_of(night)}-{span}-{flags}"
        # It may watch its changes, and is not the run's yet: setting it tells of this one, too.
        dict.__setitem__(carrier, PARENT, joined)


@cache
def _zone() -> ZoneInfo:
    from jobs.config import load

    return ZoneInfo(load().business_time_zone)


if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
    from airflow.models.dagrun import DagRun
    from sqlalchemy import event

    event.listen(DagRun.context_carrier, "set", join_night)
