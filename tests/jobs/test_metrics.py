"""Metrics in both forms: text that Prometheus takes, and what a real OTLP receiver gets."""

import re

import pytest

from jobs import metrics, telemetry
from jobs.cli import app
from jobs.config import ROOT
from jobs.metrics import Metric, Sample
from jobs.reads import Reads
from tests.receiver import attributes, receiving

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LINE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (-?[0-9.e+-]+|NaN|[+-]Inf)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
SPEED = Metric("vitrine.a.speed", "gauge", "s", 'how "fast"', ("who", "what"))
COUNT = Metric("vitrine.a.count", "counter", "{thing}", "how many")


def parsed(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Read the text format strictly: HELP and TYPE first, a metric's samples together, no sample twice.

    https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
    """
    assert text == "" or text.endswith("\n")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    described, current = "", ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            described = line.split(" ", 3)[2]
        elif line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert current == described
            assert current not in found
            assert kind in ("gauge", "counter")
            assert (kind == "counter") == current.endswith("_total")
            found[current] = {}
        else:
            name, labels, value = LINE.fullmatch(line).groups()
            assert name == current
            pairs = tuple(LABEL.findall(labels or ""))
            assert ",".join(f'{key}="{text}"' for key, text in pairs) == (labels or "")
            assert pairs not in found[name]
            found[name][pairs] = float(value)
    return found


def test_text_is_as_prometheus_reads_it():
    odd = 'a "b"\\c\nd'
    samples = [
        Sample(SPEED, 0.25, ("x", odd)),
        Sample(COUNT, 3),
        Sample(SPEED, 1e15, ("y", "")),
    ]
    assert parsed(metrics.as_text(samples)) == {
        "vitrine_a_speed_seconds": {
            (("who", "x"), ("what", 'a \\"b\\"\\\\c\\nd')): 0.25,
            (("who", "y"), ("what", "")): 1e15,
        },
        "vitrine_a_count_total": {(): 3.0},
    }
    assert metrics.as_text([]) == ""


def test_labels_must_be_those_of_the_metric():
    with pytest.raises(ValueError, match=r"vitrine\.a\.speed has the labels"):
        Sample(SPEED, 1.0, ("one",))


def test_each_metric_is_said_once_and_the_reference_is_in_step():
    every = [*metrics.OF_HOUSE, *metrics.OF_SERVE]
    declared = [one for one in vars(metrics).values() if isinstance(one, Metric)]
    assert set(every) == set(declared)
    assert len({one.name for one in every}) == len({one.in_prometheus for one in every}) == len(every)
    assert all(re.fullmatch(NAME, one.in_prometheus) for one in every)
    # After a change: vitrine metrics --reference, into docs/metrics.md.
    assert metrics.as_table() in (ROOT / "docs" / "metrics.md").read_text()


def test_a_collector_gets_the_same_by_otlp(monkeypatch):
    asked = []

    def measure():
        asked.append(1)
        return [Sample(SPEED, 0.25, ("x", "y")), Sample(SPEED, True, ("z", "")), Sample(COUNT, 3)]

    with receiving() as received:
        monkeypatch.setenv(telemetry.ENDPOINT, received.address)
        with metrics.pushed((SPEED, COUNT), measure):
            pass
    told = received.metrics()
    assert set(told) == {"vitrine.a.speed", "vitrine.a.count"}
    speed = {
        tuple(attributes(point).values()): point.as_double or point.as_int
        for point in told["vitrine.a.speed"].gauge.data_points
    }
    assert speed == {("x", "y"): 0.25, ("z", ""): 1}  # a boolean, too
    assert told["vitrine.a.speed"].unit == "s"
    count = told["vitrine.a.count"].sum
    assert count.is_monotonic
    assert [point.as_double for point in count.data_points] == [3]
    assert len(asked) == 1


def test_without_an_endpoint_nothing_is_measured(monkeypatch):
    monkeypatch.delenv(telemetry.ENDPOINT, raising=False)
    with metrics.pushed((SPEED,), lambda: pytest.fail("measured")):
        pass


def test_reads_are_counted_by_what_came_of_them():
    reads = Reads()
    for status, content in (
        (200, {"page": "home", "freshness": "fresh", "draw_id": "d1"}),
        (200, {"page": "home", "freshness": "fresh", "draw_id": "d1"}),
        (200, {"page": "home", "freshness": "fallback", "draw_id": "d2"}),
        (503, {"page": "home", "freshness": "fallback", "error": "gone"}),
        (503, {"error": "gone"}),
        (400, {"error": "Whose?"}),
        (200, {"generation": 1}),
    ):
        reads.note(status, content)
    counted = {sample.labels: sample.value for sample in reads.samples()}
    assert counted == {("", "gone"): 1, ("home", "fallback"): 1, ("home", "fresh"): 2, ("home", "gone"): 1}


def test_pages_that_callers_make_up_are_counted_together():
    reads = Reads()
    built_in = {"freshness": "fallback", "draw_id": ""}
    for number in range(150):
        reads.note(200, {"page": f"page-{number}", **built_in})
    reads.note(503, {"page": "home", **built_in})
    reads.note(200, {"page": "home", "freshness": "ranked", "draw_id": "d1"})
    for status in (200, 503):  # a page that is known keeps its name where nothing could be drawn
        reads.note(status, {"page": "home", **built_in})
    counted = {sample.labels: sample.value for sample in reads.samples()}
    assert counted == {
        ("other", "fallback"): 150,
        ("other", "gone"): 1,
        ("home", "ranked"): 1,
        ("home", "fallback"): 1,
        ("home", "gone"): 1,
    }


def test_serves_help_names_every_address(capsys):
    app(["serve", "--help"], standalone_mode=False)
    said = " ".join(capsys.readouterr().out.split())
    for address in ("/v1/layouts/PAGE", "/v1/lists/KEY", "/v1/widgets/NAME", "/health", "/metrics"):
        assert address in said
