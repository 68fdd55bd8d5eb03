"""The join's tables through the shell: two days at once, or the later one first, end the same."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import decisions, feedback, outcomes, sessions
from jobs.config import Config, load
from jobs.shell import Ask, run_job
from jobs.tables import Tables
from tests.jobs.given import event, local

FRIDAY, SATURDAY = date(2017, 11, 3), date(2017, 11, 4)
JOBS = {"sessions": sessions, "decisions": decisions, "outcomes": outcomes, "feedback": feedback}


def night_visit(subject: str, start: str) -> list[dict[str, Any]]:
    """A visit: seen after 3 s, a product opened after 9, put into the basket, unnamed, after 15."""
    at, named = local(start), {"decision_id": f"d-{subject}", "trace_id": f"t-{subject}", "position": 0}
    place = {"page": "start", "widget": "trending"}
    served = {"widgets": ["trending"], "candidates": ["trending"], "propensities": [1.0], "draw_id": "x"}
    return [
        event("page_view", at, subject=subject),
        event("layout_served", at, subject=subject, **{**named, **place, **served, "position": None}),
        event("widget_seen", at + timedelta(seconds=3), subject=subject, **named, **place),
        event("product_view", at + timedelta(seconds=9), subject=subject, **named, **place),
        event("basket_add", at + timedelta(seconds=15), subject=subject, **place),
    ]


EVENTS = [
    *night_visit("all-friday", "2017-11-03 12:00:00"),
    *night_visit("seen-on-saturday", "2017-11-03 23:59:58"),
    *night_visit("opened-on-saturday", "2017-11-03 23:59:54"),
    *night_visit("bought-on-saturday", "2017-11-03 23:59:47"),
    *night_visit("all-saturday", "2017-11-04 00:00:10"),
]


def arrive(config: Config, days: Sequence[date]) -> None:
    Tables(config.tables).append("events", [row for row in EVENTS if row["event_date"] in days])


def night(config: Config, spark: SparkSession, start: date, end: date) -> None:
    for job in JOBS.values():
        run_job(job.JOB, Ask(start, end, f"night-{start}"), config, spark)


def content(config: Config) -> dict[str, list[dict[str, Any]]]:
    tables = Tables(config.tables)
    return {name: sorted(tables.read(name).to_pylist(), key=str) for name in JOBS}


def test_days_in_any_order_mend_what_reaches_over_midnight(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for runs in ([[FRIDAY, SATURDAY]], [[SATURDAY], [FRIDAY]]):
        monkeypatch.setenv("VITRINE_HOME", str(tmp_path / f"{len(runs)}"))
        config = load()
        for days in runs:
            arrive(config, days)
            night(config, spark, days[0], days[-1] + timedelta(1))
        found.append(content(config))
    forward, backward = found
    assert forward == backward
    assert {
        row["decision_id"]: (
            row["decision_date"],
            row["is_seen"],
            row["reward"],
            row["match"],
            row["lag_seconds"],
        )
        for row in forward["feedback"]
    } == {
        "d-all-friday": (FRIDAY, True, 3.0, "trace", 9.0),
        "d-seen-on-saturday": (FRIDAY, True, 3.0, "trace", 9.0),
        "d-opened-on-saturday": (FRIDAY, True, 3.0, "trace", 9.0),
        "d-bought-on-saturday": (FRIDAY, True, 3.0, "trace", 9.0),
        "d-all-saturday": (SATURDAY, True, 3.0, "trace", 9.0),
    }
    days = sorted((row["session_date"], row["events"]) for row in forward["sessions"])
    assert days == [(FRIDAY, 5)] * 4 + [(SATURDAY, 5)]
