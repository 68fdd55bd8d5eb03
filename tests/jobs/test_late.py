"""What arrives in any order, at most `late_days` late, ends in the tables of a lake that came in order."""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import (
    bandit_statistics,
    decisions,
    events,
    feedback,
    order_lines,
    orders,
    outcomes,
    subject_daily,
)
from jobs.config import Config, Consent, load
from jobs.shell import Ask, run_job
from jobs.tables import Tables
from tests.jobs.sources.lake import message, put, span, tag

DAYS = [date(2017, 9, 1), date(2017, 9, 2)]
NIGHTS = [*DAYS, date(2017, 9, 3)]
ALWAYS = date(2017, 1, 1)
WIDGETS = ["bestsellers", "trending"]
# As lake_etl runs them.
JOBS = (orders, order_lines, events, decisions, outcomes, feedback, subject_daily, bandit_statistics)
Sent = list[tuple[str, date, Any]]  # source, day it belongs to, line


def visit(number: int, day: date) -> Sent:
    """A serving, what was seen and done, each as a message of its own; an order of two lines."""
    at = datetime(day.year, day.month, day.day, 16, number, tzinfo=UTC)
    who = {"device": f"d{number}", "user": f"u{number % 5}"}
    name = f"{day:%d}{number}"
    place = {"decision_id": f"dec{name}", "page": "start", "widget": WIDGETS[number % 2], "position": 0}
    served = {
        "decision_id": f"dec{name}",
        "draw_id": f"draw{name}",
        "page": "start",
        "widgets": [WIDGETS[number % 2]],
        "candidates": WIDGETS,
        "propensities": [0.5],
        "policy_version": "logging",
    }

    def sent(step: int, kind: str, **more: Any) -> tuple[str, date, Any]:
        when = at + timedelta(seconds=step)
        return "telemetry", day, message(span(kind, f"{number:08x}{step:04x}{day:%m%d}", when, **who, **more))

    clicked = [sent(5, "product.view", **place, product_id="p1")] if number % 3 else []
    hit = tag("view_item", f"{number:08x}{5:04x}{day:%m%d}", at, user_pseudo_id=f"d{number}", user_id=None)
    order = {"order_id": name, "user_id": who["user"], "store_id": "s", "ordered_at": at.isoformat()}
    line = {"order_id": name, "product_id": "p1", "quantity": 1, "sales_cents": 100 + number}
    return [
        sent(0, "page.view", page="start"),
        sent(1, "layout.served", **served),
        sent(2, "widget.seen", **place),
        *clicked,
        ("tags", day, json.dumps(hit)),
        ("orders", day, json.dumps(order)),
        *(("order_lines", day, json.dumps({**line, "line": n})) for n in (1, 2)),
    ]


SENT: Sent = [line for day in DAYS for number in range(12) for line in visit(number, day)]


def deliver(home: Path, arrived: Mapping[date, Sequence[tuple[str, Any]]]) -> None:
    for night in NIGHTS:
        for source in ("telemetry", "tags", "orders", "order_lines"):
            lines = [line for name, line in arrived.get(night, ()) if name == source]
            put(home / "lake" / source / f"date={night}" / f"{source}.jsonl", lines)


def entities(config: Config) -> None:
    tables = Tables(config.tables)
    tables.append(
        "widgets", [{"widget": name, "changed_date": ALWAYS, "is_deleted": False} for name in WIDGETS]
    )
    product = {"product_id": "p1", "category": "TEA", "type": "TEA|TEA", "is_merchandise": True}
    tables.append("products", [{**product, "changed_date": ALWAYS, "is_deleted": False}])
    known = {"page": "start", "feature_set": "start-1", "candidates": WIDGETS, "action_context": []}
    numbers = [(day, number) for day in DAYS for number in range(12)]
    tables.append(
        "contexts",
        [
            {**known, "draw_id": f"draw{day:%d}{n}", "decision_date": day, "context": [n / 8] * 26}
            | {"subject": "any", "subject_bucket": 0, "is_served": False}
            for day, n in numbers
        ],
    )


def content(config: Config) -> dict[str, list[dict[str, Any]]]:
    """Every table's rows of the two days; when an event arrived is not what it says."""
    tables = Tables(config.tables)
    found = {job.JOB.writes: tables.read(job.JOB.writes).to_pylist() for job in JOBS}
    for row in found["events"]:
        del row["arrival_date"]
    return {name: sorted(rows, key=str) for name, rows in found.items()}


@pytest.mark.slow
def test_days_that_came_in_random_order_end_as_those_that_came_in_order(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(5)
    mixed: dict[date, list[tuple[str, Any]]] = {}
    for source, day, line in SENT:
        mixed.setdefault(day + timedelta(draw.randrange(2)), []).append((source, line))
    for lines in mixed.values():
        draw.shuffle(lines)
    # An order that is corrected, and one that should not have been.
    wrong = json.dumps(
        {"order_id": "010", "user_id": "u9", "store_id": "x", "ordered_at": "2017-09-01T09:00:00Z"}
    )
    mixed[DAYS[0]] = [
        ("orders", wrong),
        *[line for line in mixed[DAYS[0]] if '"order_id": "010"' not in str(line)],
    ]
    mixed[DAYS[1]] += [(source, line) for source, _, line in SENT if '"order_id": "010"' in line]
    gone = {"order_id": "gone", "user_id": "u1", "store_id": "s", "ordered_at": "2017-09-01T09:00:00Z"}
    mixed[DAYS[0]].append(("orders", json.dumps(gone)))
    mixed[DAYS[1]].append(("orders", json.dumps({**gone, "is_deleted": True})))

    in_order: dict[date, list[tuple[str, Any]]] = {day: [] for day in DAYS}
    for source, day, line in SENT:
        in_order[day].append((source, line))

    ends = []
    for name, arrived, runs in (
        ("ordered", in_order, [(DAYS[0], NIGHTS[-1])]),
        ("mixed", mixed, [(night, night + timedelta(1)) for night in NIGHTS]),
    ):
        monkeypatch.setenv("VITRINE_HOME", str(tmp_path / name))
        agreed = Consent(purpose="personalisation", by_default=True)
        config = load().model_copy(update={"late_days": 1, "consent": agreed})
        deliver(tmp_path / name, arrived)
        entities(config)
        for start, end in runs:
            for job in JOBS:
                run_job(job.JOB, Ask(start, end, f"{name}-{start}"), config, spark)
        ends.append(content(config))
    ordered, late = ends
    assert {name: len(rows) for name, rows in ordered.items()} == {
        name: len(rows) for name, rows in late.items()
    }
    assert late == ordered
    assert len(ordered["orders"]) == 24
    assert sum(row["reward"] for row in ordered["feedback"]) == 16
    assert sum(row["n"] for row in ordered["bandit_statistics"]) == 24
