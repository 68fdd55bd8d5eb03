"""Telemetry lines become hits, value by value; what is wrong in a span is told, and the others stay."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any

import pytest

from jobs.ids import pseudonym
from jobs.sources import files as lake
from jobs.sources import hits, otlp
from tests.jobs.sources.lake import DAY, DOOR, NOON, file, message, put, span

DEVICE = pseudonym("device", "d1", key=DOOR.key, key_id=DOOR.key_id)
USER = pseudonym("user", "u1", key=DOOR.key, key_id=DOOR.key_id)
ID = "00f067aa0ba902b7"


def read(path: Path, *services: str) -> list[dict[str, Any]]:
    arrived = replace(file(path, "telemetry"), services=services)
    rows = [row for batch in otlp.read(iter([arrived]), DOOR) for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["_offset"] or inf)  # unusual lines come after the others


def changed(**fields: Any) -> dict[str, Any]:
    """A good span with some of its own fields replaced; ... takes a field away."""
    made = {**span("page.view", ID, page="home"), **fields}
    return {key: value for key, value in made.items() if value is not ...}


def with_attribute(key: str, value: Any) -> dict[str, Any]:
    made = span("page.view", ID, page="home")
    made["attributes"] = [a for a in made["attributes"] if a["key"] != key] + [{"key": key, "value": value}]
    return made


def test_a_span_of_a_layout_keeps_every_value(tmp_path: Path) -> None:
    served = span(
        "layout.served", ID, decision_id="dec1", draw_id="draw1", page="home", widgets=["a", "b"],
        candidates=["a", "b", "c"], propensities=[0.25, 1], policy_version="logging", versions=["hero=loud"],
        variant="phone", freshness="degraded", rules="{}",
    )  # fmt: skip
    path = put(tmp_path / "layout.jsonl.gz", [message(served, service="layout")])
    assert read(path) == [
        {
            **dict.fromkeys(hits.FIELDS),
            "event_id": f"{ID}-{DEVICE[-16:]}",
            "event_name": "layout_served",
            "event_at": NOON,
            "arrival_date": DAY,
            "subject": USER,
            "device": DEVICE,
            "user": USER,
            "source": "telemetry",
            "service": "layout",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "visit": "s1",
            "page": "home",
            "decision_id": "dec1",
            "draw_id": "draw1",
            "widgets": ["a", "b"],
            "candidates": ["a", "b", "c"],
            "propensities": [0.25, 1.0],
            "policy_version": "logging",
            "versions": ["hero=loud"],
            "variant": "phone",
            "freshness": "degraded",
            "rules": "{}",
            "is_bot": False,
            "_file": str(path),
            "_offset": 1,
        }
    ]


def test_the_other_spans_keep_their_values(tmp_path: Path) -> None:
    path = put(
        tmp_path / "web.jsonl",
        [
            message(
                span("widget.seen", ID, decision_id="dec1", page="home", position=3, widget="w"),
                span("basket.add", ID, decision_id="dec1", position=0, widget="w", product_id="17"),
                span("order.placed", ID, order_id="o1", value_cents=1995, user=None),
            ),
            message(span("product.view", ID.upper(), product_id="17", agent="Googlebot/2.1")),
        ],
    )
    seen, added, placed, viewed = read(path)
    assert (seen["event_name"], seen["position"], seen["widget"]) == ("widget_seen", 3, "w")
    assert (added["event_name"], added["position"], added["product_id"]) == ("basket_add", 0, "17")
    assert (placed["event_name"], placed["order_id"], placed["value_cents"]) == ("order_placed", "o1", 1995)
    assert (placed["subject"], placed["user"]) == (DEVICE, None)
    assert (viewed["event_name"], viewed["is_bot"], seen["is_bot"]) == ("product_view", True, False)
    assert viewed["event_id"] == seen["event_id"]
    assert [row["_offset"] for row in (seen, added, placed, viewed)] == [1, 1, 1, 2]


def test_spans_that_are_no_events_are_skipped_and_counted_by_service(tmp_path: Path) -> None:
    foreign = changed(name="GET /basket", startTimeUnixNano="soon")
    lines = [
        message(foreign, foreign, span("page.view", ID)),
        message(foreign, service="ledger"),
        message(foreign, changed(name=None)),
    ]
    good, told, *skipped = read(put(tmp_path / "x.jsonl", lines), "web")
    assert (good["event_name"], good["_skipped"]) == ("page_view", None)
    assert (told["_reason"], told["_skipped"]) == ("span has no name", None)
    assert [(row["_reason"], row["_skipped"], row["arrival_date"]) for row in skipped] == [
        ("spans of service ledger are no events", 1, DAY),
        ("spans of service web are no events", 3, DAY),
    ]


def test_an_event_of_a_service_that_the_source_does_not_name_is_told(tmp_path: Path) -> None:
    path = put(tmp_path / "x.jsonl", [message(span("page.view", ID, device="anna"), service="ledger")])
    (told,) = read(path, "web", "layout")
    assert told["_reason"] == "service ledger is none of source telemetry's"
    assert "anna" not in told["_raw"]
    (taken,) = read(path)
    assert (taken["_reason"], taken["service"]) == (None, "ledger")


def test_of_a_file_wanted_partly_only_lines_with_such_a_time_are_read(tmp_path: Path) -> None:
    later = NOON + timedelta(seconds=1)
    lines = [message(span("page.view", f"{n:016x}", at)) for n, at in enumerate((NOON, later))] + ["{"]
    micros = int(later.timestamp() * 10**6)
    arrived = file(put(tmp_path / "x.jsonl.gz", lines), "telemetry")
    (batch,) = otlp.read(iter([arrived]), DOOR, {DAY: (micros, micros + 1)})
    assert [row["event_at"] for row in batch.to_pylist()] == [later]


def test_times_and_integers_may_be_numbers_or_strings(tmp_path: Path) -> None:
    numbers = changed(startTimeUnixNano=1503331200_123456789)
    numbers["attributes"].append({"key": "vitrine.position", "value": {"intValue": 2}})
    (row,) = read(put(tmp_path / "x.jsonl", [message(numbers)]))
    assert row["event_at"] == datetime(2017, 8, 21, 16, 0, 0, 123456, UTC)
    assert row["position"] == 2


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (span("page.view", ID, user=None, device=None), "an event needs a subject"),
        (span("page.view", ID, user="", device=""), "an event needs a subject"),
        (changed(name=None), "span has no name"),
        (changed(name=["page.view"]), "span has no name"),
        (changed(spanId=...), "spanId is not 16 hex digits"),
        (changed(spanId="xyz"), "spanId is not 16 hex digits"),
        (changed(spanId=7), "spanId is not 16 hex digits"),
        (changed(traceId="abc"), "traceId is not 32 hex digits"),
        (changed(startTimeUnixNano=...), "startTimeUnixNano is missing or no number"),
        (changed(startTimeUnixNano="soon"), "startTimeUnixNano is missing or no number"),
        (changed(startTimeUnixNano="0"), "startTimeUnixNano is out of range"),
        (changed(startTimeUnixNano="9" * 30), "startTimeUnixNano is out of range"),
        (changed(attributes=None), "attributes are malformed"),
        (changed(attributes=[{"value": {}}]), "attributes are malformed"),
        (changed(attributes=[{"key": ["a"], "value": {}}]), "attributes are malformed"),
        (with_attribute("vitrine.page", {"intValue": "1"}), "attribute vitrine.page is not a string"),
        (with_attribute("vitrine.page", {"stringValue": 1}), "attribute vitrine.page is not a string"),
        (
            with_attribute("vitrine.position", {"stringValue": "1"}),
            "attribute vitrine.position is not an integer from 0",
        ),
        (
            with_attribute("vitrine.position", {"intValue": "-1"}),
            "attribute vitrine.position is not an integer from 0",
        ),
        (
            with_attribute("vitrine.value_cents", {"intValue": str(2**63)}),
            "attribute vitrine.value_cents is not an integer",
        ),
        (
            with_attribute("vitrine.widgets", {"arrayValue": {"values": [{"intValue": "1"}]}}),
            "attribute vitrine.widgets is not a list of strings",
        ),
        (
            with_attribute("vitrine.widgets", {"arrayValue": {"values": [{"stringValue": 1}]}}),
            "attribute vitrine.widgets is not a list of strings",
        ),
        (
            with_attribute("vitrine.propensities", {"stringValue": "0.5"}),
            "attribute vitrine.propensities is not a list of numbers",
        ),
        ("no object", "span is not an object"),
        (None, "span is not an object"),
    ],
)
def test_a_wrong_span_is_told_alone(tmp_path: Path, broken: Any, reason: str) -> None:
    good = span("page.view", "00000000000000aa", page="home")
    path = put(tmp_path / "web.jsonl", [message(good), message(good, broken, good)])
    before, first, told, last = read(path)
    assert (told["_reason"], told["_file"], told["_offset"]) == (reason, str(path), 2)
    assert [row["_reason"] for row in (before, first, last)] == [None] * 3
    assert told["event_id"] == f"{path}:2:2"
    assert told["arrival_date"] == DAY


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{not json", "line is not JSON"),
        ("\x00\x01", "line is not JSON"),
        ('{"resourceSpans":[{"scopeSpans":', "line is not JSON"),
        ("[]", "line is not OTLP: resourceSpans, scopeSpans, spans"),
        ("3", "line is not OTLP: resourceSpans, scopeSpans, spans"),
        ('{"resourceLogs":[]}', "line is not OTLP: resourceSpans, scopeSpans, spans"),
        (
            '{"resourceSpans":[{"scopeSpans":[{"spans":3}]}]}',
            "line is not OTLP: resourceSpans, scopeSpans, spans",
        ),
        ('{"resourceSpans":[{"scopeSpans":[null]}]}', "line is not OTLP: resourceSpans, scopeSpans, spans"),
    ],
)
def test_a_line_that_is_no_telemetry_is_one_row(tmp_path: Path, line: str, reason: str) -> None:
    good = message(span("page.view", ID))
    before, told, after = read(put(tmp_path / "web.jsonl", [good, line, good]))
    assert (told["_reason"], told["_offset"]) == (reason, 2)
    assert json.loads(told["_raw"]) == {"bytes": len(line)}
    assert (before["_offset"], after["_offset"]) == (1, 3)


def test_a_truncated_gzip_gives_its_good_lines_and_one_row_with_file_and_line(tmp_path: Path) -> None:
    spans = [message(span("page.view", f"{n:016x}", page=f"page{n * 7919 % 1000}")) for n in range(1000)]
    path = put(tmp_path / "web-0.jsonl.gz", spans, cut=2000)
    *good, told = read(path)
    assert [row["event_id"][:16] for row in good] == [f"{n:016x}" for n in range(len(good))]
    assert 500 < len(good) < 1000
    assert told["_reason"] == "gzip stream is cut off here"
    assert (told["_file"], told["_offset"]) == (str(path), len(good) + 1)


def test_what_quarantine_keeps_of_a_span_names_nobody(tmp_path: Path) -> None:
    secret = span("page.view", "zz", page="home", user="anna@example.org", device="4711-device")
    secret["attributes"].append({"key": "customer.name", "value": {"stringValue": "Anna"}})
    secret["events"] = [{"name": "login", "of": "Anna"}]
    (told,) = read(put(tmp_path / "web.jsonl", [message(secret)]))
    assert "Anna" not in told["_raw"]
    assert "anna" not in told["_raw"]
    assert "4711" not in told["_raw"]
    shown = json.loads(told["_raw"])
    assert shown["spanId"] == "zz"
    assert {"key": "vitrine.page", "value": {"stringValue": "home"}} in shown["attributes"]


def test_batches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = message(*[span("page.view", f"{n:016x}") for n in range(5)])
    path = put(tmp_path / "web.jsonl", [line] * 5)
    monkeypatch.setattr(otlp, "AT_ONCE", 2 * len(line))
    sizes = [batch.num_rows for batch in otlp.read(iter([file(path, "telemetry")]), DOOR)]
    assert sizes == [10, 10, 5]


def test_batches_of_unusual_lines_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake, "PARSED_ROWS", 10)
    many = [span("page.view", f"{n:016x}", page='an "escape"') for n in range(25)]
    path = put(tmp_path / "web.jsonl", [message(*many)])
    sizes = [batch.num_rows for batch in otlp.read(iter([file(path, "telemetry")]), DOOR)]
    assert [size for size in sizes if size] == [10, 10, 5]
