"""DAG runs of a night share a trace, and a task names its span to the job that it starts."""

import importlib.util
import os
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
import wiring

from jobs import telemetry
from jobs.config import ROOT

DAY = date(2017, 10, 3)
# Three in the morning in New York, in summer.
START = datetime(2017, 10, 3, 7, tzinfo=UTC)
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def plugin():
    path = ROOT / "jobs" / "house" / "plugins" / "traces.py"
    spec = importlib.util.spec_from_file_location("vitrine_traces", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_run(dag_id="lake_etl", **more):
    of = {"conf": {}, "data_interval_start": None, "logical_date": None, "run_after": None}
    return SimpleNamespace(dag_id=dag_id, **{**of, **more})


@pytest.mark.parametrize(
    ("of", "night"),
    [
        (a_run(data_interval_start=START), DAY),
        (a_run("nightly_layouts", conf={"start": "2017-10-01", "end": "2017-10-03"}), DAY),
        (a_run("drift", conf={"start": "2017-10-03"}, data_interval_start=START - timedelta(9)), DAY),
        (a_run(run_after=START + timedelta(1)), DAY),
        (a_run(partition_key="2017-10-03T03:00:00", run_after=START + timedelta(9)), DAY),
        (a_run(conf={"end": "soon"}, data_interval_start=START), None),
        (a_run("segmentation", data_interval_start=START), None),
        (a_run("closing_training", conf={"closing_id": "2017-10"}), None),
        (a_run(), None),
    ],
)
def test_the_night_is_the_last_day_that_a_run_is_for(plugin, of, night):
    assert plugin.night_of(of, ZoneInfo("America/New_York")) == night


def test_a_run_without_days_is_of_the_night_that_its_tasks_work_on(plugin):
    """What is asked of a run apart, the plugin and the DAGs answer alike."""
    runs = [
        a_run(data_interval_start=START, partition_key=None),
        a_run(run_after=START + timedelta(1, hours=-4), partition_key=None),  # in the evening before, there
        a_run(logical_date=START + timedelta(1), run_after=START + timedelta(9), partition_key=None),
        a_run(partition_key="2017-10-03T03:00:00", run_after=START + timedelta(9)),
    ]
    found = [wiring.own_day(of) for of in runs]
    assert found == [plugin.night_of(of, ZoneInfo("America/New_York")) for of in runs]
    assert found == [DAY, DAY - timedelta(1), DAY, DAY]


def test_only_the_trace_is_another_and_only_of_a_night(plugin):
    carrier = {"traceparent": GIVEN, "tracestate": "x=y"}
    plugin.join_night(a_run(data_interval_start=START), carrier)
    assert carrier == {
        "traceparent": f"00-{telemetry.trace_of(DAY)}-00f067aa0ba902b7-01",
        "tracestate": "x=y",
    }
    for of, given in ((a_run("segmentation"), {"traceparent": GIVEN}), (a_run(run_after=START), {})):
        carrier = dict(given)
        plugin.join_night(of, carrier)
        assert carrier == given


def test_airflows_dag_runs_of_a_night_are_in_one_trace(plugin):
    """Airflow's own model, without a database: made, and cleared, which sets its trace anew."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import event
    from sqlalchemy.orm import configure_mappers

    configure_mappers()  # as where plugins are loaded late: a carrier watches its changes by then
    interval = (START, START + timedelta(1))
    event.listen(DagRun.context_carrier, "set", plugin.join_night)
    try:
        made = [
            DagRun(
                dag_id=dag_id, run_id=f"backfill__{START.isoformat()}", run_type="backfill",
                logical_date=START, data_interval=interval, run_after=START,
            )
            for dag_id in ("lake_etl", "policy_evaluation", "nightly_layouts")
        ]  # fmt: skip
        parts = [run.context_carrier["traceparent"].split("-") for run in made]
        assert {part[1] for part in parts} == {telemetry.trace_of(DAY)}
        assert len({part[2] for part in parts}) == 3
        made[0].context_carrier = {"traceparent": GIVEN}
        assert made[0].context_carrier["traceparent"].split("-")[1] == telemetry.trace_of(DAY)
    finally:
        event.remove(DagRun.context_carrier, "set", plugin.join_night)


def test_a_task_names_its_span_to_its_job(dags, monkeypatch):
    from opentelemetry.sdk.trace import TracerProvider

    hook = dags["lake_etl"].get_task("orders")._pre_execute_hook
    assert all(task._pre_execute_hook is hook for dag in dags.values() for task in dag.tasks)
    monkeypatch.setenv("TRACEPARENT", "as it was")
    with TracerProvider().get_tracer("test").start_as_current_span("worker.orders") as span:
        monkeypatch.delenv(telemetry.ENDPOINT, raising=False)
        hook({})
        assert os.environ["TRACEPARENT"] == "as it was"
        monkeypatch.setenv(telemetry.ENDPOINT, "http://127.0.0.1:1")
        hook({})
        of = span.get_span_context()
        assert os.environ["TRACEPARENT"].startswith(f"00-{of.trace_id:032x}-{of.span_id:016x}-")
