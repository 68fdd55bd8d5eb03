"""subject_daily: what a subject did on a day, in columns that sum."""

from datetime import date, timedelta
from typing import Any

from pyspark.sql import SparkSession

from jobs import subject_daily
from jobs.config import Consent
from tests.jobs.given import rows, table

FRIDAY, SATURDAY = date(2017, 11, 3), date(2017, 11, 4)


def order(order_id: str, subject: str = "u1", day: date = FRIDAY) -> dict[str, Any]:
    return {"order_id": order_id, "subject": subject, "subject_bucket": 1, "order_date": day}


def answer(subject: str, day: date, yes: bool = True, purpose: str = "personalisation") -> dict[str, Any]:
    return {"subject": subject, "purpose": purpose, "is_granted": yes, "changed_date": day}


def line(order_id: str, category: str, cents: int, day: date = FRIDAY) -> dict[str, Any]:
    return {**order(order_id, day=day), "line": cents, "category": category, "sales_cents": cents}


def shown(decision_id: str, position: int, widget: str, reward: float, **more: Any) -> dict[str, Any]:
    told = {
        "decision_id": decision_id,
        "position": position,
        "page": "home",
        "widget": widget,
        "reward": reward,
    }
    return {"subject": "u1", "subject_bucket": 1, "decision_date": FRIDAY, "is_seen": True, **told, **more}


def test_a_day_sums_orders_lines_categories_and_seen_positions(spark: SparkSession) -> None:
    orders = [order("o1"), order("o2"), order("o3", day=SATURDAY), order("o4", subject="u2")]
    # Before they agreed, and after they took it back, people only are customers.
    orders += [order("o5", "u2", FRIDAY - timedelta(1)), order("o6", "no", SATURDAY), order("o7", "unasked")]
    lines = [
        line("o1", "CHEESE", 250),
        line("o1", "CHEESE", 199),
        line("o2", "CHEESE", 1),
        line("o2", "BEER", 700),
    ]
    lines += [line("o3", "TEA", 5, SATURDAY)]
    feedback = [
        shown("d1", 0, "trending", 3.0),
        shown("d1", 1, "bestsellers", 0.0),
        shown("d1", 2, "category:beer", 0.0, is_seen=False),
        shown("d2", 0, "trending", 1.0),
        shown("d3", 0, "trending", 1.0, page="start"),
        shown("d4", 0, "trending", 0.0, subject="device", subject_bucket=0),
    ]
    given = (
        table(spark, "orders", orders),
        table(spark, "order_lines", lines),
        table(spark, "feedback", feedback),
    )
    answered = table(
        spark,
        "consents",
        [
            *(answer(subject, FRIDAY) for subject in ("u1", "u2", "no")),
            answer("no", SATURDAY, False),
            answer("device", FRIDAY - timedelta(9)),
            answer("u1", SATURDAY, False, purpose="research"),
        ],
    )
    built = subject_daily.build(*given, answered, consent=Consent(purpose="personalisation"))
    assert rows(built, "subject", "activity_date") == [
        {
            "subject": "device",
            "subject_bucket": 0,
            "activity_date": FRIDAY,
            "orders": 0,
            "lines": 0,
            "sales_cents": 0,
            "decisions": 1,
            "category_visits": {},
            "reward_counts": {"home/trending": 1},
            "reward_sums": {"home/trending": 0.0},
        },
        {
            "subject": "u1",
            "subject_bucket": 1,
            "activity_date": FRIDAY,
            "orders": 2,
            "lines": 4,
            "sales_cents": 1150,
            "decisions": 3,
            "category_visits": {"BEER": 1, "CHEESE": 1},
            "reward_counts": {"home/bestsellers": 1, "home/trending": 2, "start/trending": 1},
            "reward_sums": {"home/bestsellers": 0.0, "home/trending": 4.0, "start/trending": 1.0},
        },
        {
            "subject": "u1",
            "subject_bucket": 1,
            "activity_date": SATURDAY,
            "orders": 1,
            "lines": 1,
            "sales_cents": 5,
            "decisions": 0,
            "category_visits": {"TEA": 1},
            "reward_counts": {},
            "reward_sums": {},
        },
        {
            "subject": "u2",
            "subject_bucket": 1,
            "activity_date": FRIDAY,
            "orders": 1,
            "lines": 0,
            "sales_cents": 0,
            "decisions": 0,
            "category_visits": {},
            "reward_counts": {},
            "reward_sums": {},
        },
    ]
