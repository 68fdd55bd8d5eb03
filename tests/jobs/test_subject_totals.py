"""subject_totals: a checkpoint is the one before it plus the days since, whatever the order of runs."""

from datetime import date, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import subject_features, subject_totals
from jobs.inputs import State
from tests.jobs.given import rows, table

LATE_DAYS = 3


def did(subject: str, day: date, lines: int = 0, **more: Any) -> dict[str, Any]:
    none: dict[str, Any] = {"category_visits": {}, "reward_counts": {}, "reward_sums": {}}
    told = {"subject": subject, "subject_bucket": 1, "activity_date": day, "lines": lines}
    return {**told, "orders": int(lines > 0), "sales_cents": 100 * lines, "decisions": 1, **none, **more}


HISTORY = [
    did("u1", date(2017, 3, 2), 2, category_visits={"milk": 1, "tea": 1}),
    did("u1", date(2017, 3, 31), reward_counts={"home/a": 2}, reward_sums={"home/a": 0.3}),
    did(
        "u1",
        date(2017, 4, 1),
        1,
        category_visits={"tea": 1},
        reward_counts={"home/a": 1},
        reward_sums={"home/a": 3.0},
    ),
    did("u2", date(2017, 4, 30), reward_counts={"home/b": 1}, reward_sums={"home/b": 1 / 3}),
    did("u1", date(2017, 5, 1), 9),
]


@pytest.mark.parametrize(
    ("day", "late_days", "expected"),
    [
        (date(2017, 4, 3), 3, True),
        (date(2017, 4, 2), 3, False),
        (date(2017, 3, 31), 0, True),
        (date(2017, 4, 1), 0, False),
        (date(2017, 4, 1), 1, True),
        (date(2017, 3, 3), 3, True),
    ],
)
def test_a_month_is_settled_late_days_after_its_end(day: date, late_days: int, expected: bool) -> None:
    assert subject_totals.is_settled(day, late_days) is expected


def test_a_checkpoint_sums_every_column_up_to_its_month(spark: SparkSession) -> None:
    none = table(spark, "subject_totals", [])
    days = [date(2017, 4, 3) + timedelta(n) for n in range(40)]
    built = subject_totals.build(table(spark, "subject_daily", HISTORY), none, days=days, late_days=LATE_DAYS)
    march, april, other = rows(built, "settled_date", "subject")
    until_march = {
        "subject": "u1",
        "subject_bucket": 1,
        "settled_date": date(2017, 4, 3),
        "until_date": date(2017, 3, 31),
        "last_active_date": date(2017, 3, 31),
        "first_visit_date": date(2017, 3, 2),
        "last_visit_date": date(2017, 3, 2),
        "visits": 1,
        "orders": 1,
        "lines": 2,
        "sales_cents": 200,
        "decisions": 2,
        "category_visits": {"milk": 1, "tea": 1},
        "reward_counts": {"home/a": 2},
        "reward_micros": {"home/a": 300_000},
    }
    assert march == until_march
    assert april == {
        **until_march,
        "settled_date": date(2017, 5, 3),
        "until_date": date(2017, 4, 30),
        "last_active_date": date(2017, 4, 1),
        "last_visit_date": date(2017, 4, 1),
        "visits": 2,
        "orders": 2,
        "lines": 3,
        "sales_cents": 300,
        "decisions": 3,
        "category_visits": {"milk": 1, "tea": 2},
        "reward_counts": {"home/a": 3},
        "reward_micros": {"home/a": 3_300_000},
    }
    known = ("subject", "first_visit_date", "visits", "category_visits", "reward_micros")
    assert [other[name] for name in known] == ["u2", None, 0, {}, {"home/b": 333_333}]


def test_a_checkpoint_is_the_one_before_it_and_the_days_since(spark: SparkSession) -> None:
    days = [date(2017, 4, 3), date(2017, 5, 3)]
    daily, none = table(spark, "subject_daily", HISTORY), table(spark, "subject_totals", [])
    both = rows(subject_totals.build(daily, none, days=days, late_days=LATE_DAYS))
    march = [row for row in both if row["settled_date"] == days[0]]
    since = table(
        spark, "subject_daily", [row for row in HISTORY if row["activity_date"] > date(2017, 3, 31)]
    )
    april = subject_totals.build(
        since, table(spark, "subject_totals", march), days=days[1:], late_days=LATE_DAYS
    )
    assert march + rows(april) == both


def test_an_older_day_names_the_checkpoints_that_counted_it(spark: SparkSession) -> None:
    ends = [date(2017, 3, 31), date(2017, 4, 30), date(2017, 5, 31)]
    made = [{"subject": "u1", "until_date": end, "settled_date": end + timedelta(LATE_DAYS)} for end in ends]
    named = subject_totals.late(
        table(spark, "subject_daily", []), table(spark, "subject_totals", made), days=[date(2017, 4, 30)]
    )
    assert [row["day"] for row in rows(named)] == [date(2017, 5, 3), date(2017, 6, 3)]


def test_days_of_the_state_it_reads_are_not_followed() -> None:
    (state,) = (read for read in subject_features.JOB.reads if read.name == "subject_totals")
    assert isinstance(state, State)
    assert state.readers(date(2017, 4, 30), date(2017, 5, 3), LATE_DAYS) == []
