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
AFTER = date(2017, 9, 3)
ALWAYS = date(2017, 1, 1)
WIDGETS = ["bestsellers", "trending"]
# As lake_etl runs them.
JOBS = (orders, order_lines, events, decisions, outcomes, feedback, subject_daily, bandit_statistics)
Sent = list[tuple[str, date, Any]]  # source, day it belongs to, line
Arrived = tuple[str, Any]  # source, line
Content = dict[str, list[dict[str, Any]]]


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


# An order that is corrected the day after, and one that should not have been.
WRONG = {"order_id": "010", "user_id": "u9", "store_id": "x", "ordered_at": "2017-09-01T09:00:00Z"}
GONE = {"order_id": "gone", "user_id": "u1", "store_id": "s", "ordered_at": "2017-09-01T09:00:00Z"}
SENT: Sent = [line for day in DAYS for number in range(12) for line in visit(number, day)]


def deliver(home: Path, arrived: Mapping[date, Sequence[tuple[str, Any]]], start: date, end: date) -> None:
    """Lay down what arrived from `start` until before `end`: a night knows no later file."""
    for night in (night for night in DAYS if start <= night < end):
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


def content(config: Config) -> Content:
    """Every table's rows of the two days; when an event arrived is not what it says."""
    tables = Tables(config.tables)
    found = {job.JOB.writes: tables.read(job.JOB.writes).to_pylist() for job in JOBS}
    for row in found["events"]:
        del row["arrival_date"]
    return {name: sorted(rows, key=str) for name, rows in found.items()}


def in_order() -> dict[date, list[Arrived]]:
    """Everything on the day to which it belongs."""
    return {day: [(source, line) for source, of, line in SENT if of == day] for day in DAYS}


def in_any_order() -> dict[date, list[Arrived]]:
    """Of the first day's messages half a day late, and all shuffled; orders corrected and taken back.

    A line of an order comes with it or after it: many lines without an order would stop the night. One does.
    """
    draw, came = random.Random(5), dict[str, date]()
    found: dict[date, list[Arrived]] = {day: [] for day in DAYS}
    for source, day, line in SENT:
        own = {**json.loads(line)}.get("order_id")
        on = DAYS[1] if day == DAYS[1] else draw.choice(DAYS)
        on = max(on, came.get(own, on)) if source == "order_lines" else on
        if source == "orders":
            came[own] = on = DAYS[0] if own == WRONG["order_id"] else on
            if own == WRONG["order_id"]:
                found[DAYS[0]].append((source, json.dumps(WRONG)))
                on = DAYS[1]
        found[on].append((source, line))
    early = next(pair for pair in found[DAYS[1]] if pair[0] == "order_lines" and '"order_id": "01' in pair[1])
    found[DAYS[1]].remove(early)
    found[DAYS[0]] += [early, ("orders", json.dumps(GONE))]
    found[DAYS[1]].append(("orders", json.dumps({**GONE, "is_deleted": True})))
    for lines in found.values():
        draw.shuffle(lines)
    return found


@pytest.fixture(scope="module")
def ends(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Content]:
    """Every table's rows, of the lake in order as one interval, and of the other one night by night."""
    found = {}
    nights = [(day, day + timedelta(1)) for day in DAYS]
    with pytest.MonkeyPatch.context() as patch:
        for name, arrived, runs in (
            ("ordered", in_order(), [(DAYS[0], AFTER)]),
            ("mixed", in_any_order(), nights),
        ):
            home = tmp_path_factory.mktemp(name)
            patch.setenv("VITRINE_HOME", str(home))
            agreed = Consent(purpose="personalisation", by_default=True)
            config = load().model_copy(update={"late_days": 1, "consent": agreed})
            entities(config)
            for start, end in runs:
                deliver(home, arrived, start, end)
                for job in JOBS:
                    run_job(job.JOB, Ask(start, end, f"{name}-{start}"), config, spark)
            found[name] = content(config)
    return found


@pytest.mark.parametrize("table", [job.JOB.writes for job in JOBS])
def test_days_that_came_in_random_order_end_as_those_that_came_in_order(
    ends: dict[str, Content], table: str
) -> None:
    assert ends["mixed"][table] == ends["ordered"][table]


def test_the_ordered_lake_is_what_was_sent_and_half_a_day_of_the_other_came_late(
    ends: dict[str, Content],
) -> None:
    ordered = ends["ordered"]
    sent = [(source, line) for source, day, line in SENT if day == DAYS[0]]
    assert (len(sent), len(set(sent) & set(in_any_order()[DAYS[1]]))) == (92, 48)
    names = ("events", "orders", "order_lines", "decisions", "feedback")
    assert [len(ordered[name]) for name in names] == [96, 24, 48, 24, 24]
    assert sum(row["reward"] for row in ordered["feedback"]) == 16
    assert sum(row["n"] for row in ordered["bandit_statistics"]) == 24
