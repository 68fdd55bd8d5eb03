"""plan: what a backfill would replace, what it took last time, and what it would meet; nothing is run."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from jobs import plan, store
from jobs.config import load
from jobs.plan import Planned, Steps, planned, spans, took
from jobs.tables import Tables

DAY = date(2017, 10, 12)
DAYS = [DAY + timedelta(number) for number in range(3)]
AT = datetime(2017, 10, 13, 3, tzinfo=UTC)


def run(
    job: str, days: list[date], seconds: float, hour: int = 0, status: str = "published"
) -> dict[str, Any]:
    began = AT + timedelta(hours=hour)
    return {"run_id": f"{job}{hour}", "job": job, "days": days, "seconds": seconds, "status": status,
            "started_at": began, "from_date": days[0] if days else DAY, "to_date": DAY}  # fmt: skip


@pytest.mark.parametrize(
    ("own", "seconds", "reckoned"),
    [
        ([], None, 3),
        ([run("o", DAYS, 30.0)], 30.0, 0),
        # The newest run of a day counts; one over many counts by its days.
        ([run("o", DAYS[:1], 99.0), run("o", DAYS, 30.0, 1), run("o", DAYS[2:], 7.0, 2)], 27.0, 0),
        # A day that never was done is the median day.
        ([run("o", DAYS[:1], 4.0), run("o", [DAY - timedelta(9)], 6.0)], 4.0 + 2 * 5.0, 2),
    ],
)
def test_last_time_is_that_of_each_days_newest_run(
    own: list[dict[str, Any]], seconds: float | None, reckoned: int
) -> None:
    assert took(own, DAYS) == (seconds, reckoned)


def test_a_plan_counts_the_partitions_that_are_there(home: Path) -> None:
    config = load()
    tables = Tables(config.tables)
    for number, day in ((1, DAYS[0]), (2, DAYS[0]), (3, DAYS[1]), (4, DAY - timedelta(1))):
        tables.append("orders", [{"order_id": str(number), "order_date": day}])
    tables.append(
        "runs", [run("orders", DAYS[:2], 20.0), run("orders", DAYS, 1.0, 1, "stopped"), run("pin", [], 1)]
    )
    since = config.model_copy(update={"since": {"events": DAYS[2]}})
    steps = Steps({"orders": "orders", "events": "events", "gate": "releases"})
    before = tables.version("runs")
    assert planned(steps, DAYS, tables, since) == [
        Planned("orders", "orders", 3, 2, 3, 30.0, 1),
        Planned("events", "events", 1, 0, 0, None, 1),
        Planned("gate", "releases", 3, None, 0, None, 3),
    ]
    assert tables.version("runs") == before
    assert not tables.exists("events")


def test_a_plan_says_what_a_backfill_would_meet(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, day = load(), DAYS[1]
    (home / "lake" / "orders" / f"date={day}").mkdir(parents=True)
    (home / "lake" / "order_lines" / f"date={DAYS[0]}").mkdir(parents=True)
    tables = Tables(config.tables)
    tables.append("runs", [run("subject_features", DAYS[:1], 1.0)])
    monkeypatch.setattr(store, "live", lambda _: type("Live", (), {"layout_date": DAYS[2]}))
    names = ("orders", "order_lines", "layouts")
    steps = Steps(dict(zip(names, names, strict=True)), ["subject_features"])
    assert "\n".join(plan.notes(steps, DAYS, tables, config)) == (
        "The lake has no folder of orders for 2017-10-12 and 2017-10-14: orders would stop there. Deliver it,"
        " or name other days.\n"
        "The lake has no folder of order_lines for 2017-10-13 to 2017-10-14: order_lines would stop there."
        " Deliver it, or name other days.\n"
        "It would wait for subject_features of 2017-10-13 to 2017-10-14: run what makes it first.\n"
        "2017-10-12 to 2017-10-13 came before the live night: their layouts go under a scenario, and none is"
        " exported."
    )


def test_spans_of_days() -> None:
    assert spans(DAYS) == f"{DAYS[0]} to {DAYS[2]}"
    assert spans([DAYS[0], DAYS[2]]) == f"{DAYS[0]} and {DAYS[2]}"
    assert spans([DAYS[0]]) == f"{DAYS[0]}"


def test_what_cannot_be_planned_is_said(home: Path) -> None:
    with pytest.raises(plan.PlanError, match=f"{DAYS[1]} is after {DAYS[0]}: give the earlier day first"):
        plan.show(load(), "lake_etl", DAYS[1], DAYS[0], Console())
