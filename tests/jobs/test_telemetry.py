"""A job's spans reach a real OTLP receiver: names, parents, the manifest, and one trace for a night."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date

import pytest

from jobs import runs, telemetry
from tests.receiver import Received, attributes, receiving

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    with receiving() as received:
        monkeypatch.setenv(telemetry.ENDPOINT, received.address)
        monkeypatch.setenv("TRACEPARENT", PARENT)
        yield received


def a_run() -> runs.Run:
    day = date(2017, 9, 1)
    made = runs.Run("orders-1", "orders", "night", day, date(2017, 9, 2), "c0ffee", runs.now(), [day])
    made.inputs = {"users": 3, "products": 0}
    return made


def test_a_span_carries_the_manifest_under_the_nights_trace(received: Received) -> None:
    run = a_run()
    with telemetry.span(run):
        run.rows_out, run.status = 1000, "published"
    [span] = received.spans()
    assert span.name == "job orders"
    assert span.trace_id.hex() == PARENT.split("-")[1]
    assert span.parent_span_id.hex() == PARENT.split("-")[2]
    told = attributes(span)
    assert (told["vitrine.rows_out"], told["vitrine.status"], told["vitrine.job"]) == (
        1000,
        "published",
        "orders",
    )
    assert (told["vitrine.from_date"], told["vitrine.to_date"]) == ("2017-09-01", "2017-09-02")
    assert told["vitrine.inputs"] == ["users@3", "products@0"]


def test_steps_hang_under_their_job_and_marks_follow_one_another(received: Received) -> None:
    with telemetry.span(a_run()):
        with telemetry.step("write", table="orders"):
            pass
        done = telemetry.marks("export")
        done("filled")
        done("verified")
    by_name = {span.name: span for span in received.spans()}
    assert set(by_name) == {"job orders", "write", "export filled", "export verified"}
    job = by_name.pop("job orders")
    assert {span.parent_span_id for span in by_name.values()} == {job.span_id}
    assert {span.trace_id for span in by_name.values()} == {job.trace_id}
    assert attributes(by_name["write"]) == {"vitrine.table": "orders"}
    filled, verified = by_name["export filled"], by_name["export verified"]
    assert filled.start_time_unix_nano <= filled.end_time_unix_nano <= verified.start_time_unix_nano
    assert verified.end_time_unix_nano <= job.end_time_unix_nano


def test_a_failed_run_leaves_error_spans(received: Received) -> None:
    with (
        pytest.raises(RuntimeError, match="poisoned"),
        telemetry.span(a_run()),
        telemetry.step("write", table="orders"),
    ):
        raise RuntimeError("poisoned")
    assert [span.name for span in received.spans()] == ["write", "job orders"]
    for span in received.spans():
        assert span.status.code == span.status.STATUS_CODE_ERROR


def test_a_night_has_one_trace_and_each_house_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    night = telemetry.trace_of(date(2017, 9, 1))
    assert len(bytes.fromhex(night)) == 16
    assert night == telemetry.trace_of(date(2017, 9, 1)) != telemetry.trace_of(date(2017, 9, 2))
    monkeypatch.setenv("OTEL_SERVICE_NAME", "another shop")
    assert night != telemetry.trace_of(date(2017, 9, 1))


def test_a_collector_that_is_gone_holds_no_job_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a connection and never answers: the worst that it can do."""
    monkeypatch.setattr(telemetry, "PATIENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(telemetry.ENDPOINT, f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with telemetry.span(a_run()):
            pass
        assert time.monotonic() - began < 2


def test_without_an_endpoint_nothing_is_sent_or_imported() -> None:
    script = (
        "import sys; from jobs import telemetry; from tests.jobs.test_telemetry import a_run;"
        "known = set(sys.modules)\n"
        "with telemetry.span(a_run()), telemetry.step('write', table='orders'):\n"
        "    telemetry.marks('export')('filled')\n"
        "print(sorted(name for name in set(sys.modules) - known if name.startswith('opentelemetry')))"
    )
    variables = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
