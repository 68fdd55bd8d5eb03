"""bandit_totals: policies of a checkpoint and the days since are those of all days, to the bit."""

from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs import bandit_totals, policies
from tests.jobs import test_policies as fitted
from tests.jobs.given import rows, table
from tests.jobs.test_policies import FIRST, WIDGETS, spec, sums

Rows = list[dict[str, Any]]

SPECS = (
    spec("plain"),
    spec("aged", half_life_days=5.0),
    spec("open", open_days=2),
    spec("window", window_days=20),
    spec("both", window_days=9, half_life_days=3.0),
)
HISTORY = [
    row
    for day in (0, 3, 17, 29, 30, 33, 36)
    for widget in WIDGETS[: 2 + day % 2]
    for row in sums(day, widget)
]
SETTLED = [date(2017, 10, 3), date(2017, 11, 3)]
DAYS = [date(2017, 10, 4) + timedelta(n) for n in range(4)]


def totals(spark: SparkSession, days: list[date], before: Rows, history: Rows = HISTORY) -> Rows:
    frames = table(spark, "bandit_statistics", history), table(spark, "bandit_totals", before)
    specs = {one.name: one for one in SPECS}
    built = bandit_totals.build(*frames, days=days, late_days=3, policies=specs)
    return rows(built, "settled_date", "half_life_days", "widget")


def fit(spark: SparkSession, history: Rows, settled: Rows, specs: Any = SPECS) -> Rows:
    built: DataFrame = policies.build(
        table(spark, "bandit_statistics", history),
        table(spark, "widgets", fitted.WIDGET_ROWS),
        table(spark, "bandit_totals", settled),
        days=DAYS,
        policies={one.name: one for one in specs},
        feature_sets={"home-1": fitted.FEATURES},
        reward=fitted.REWARD,
    )
    return rows(built, "spec", "fitted_date")


def test_policies_are_those_of_all_days_and_read_no_more(spark: SparkSession) -> None:
    known = totals(spark, SETTLED[:1], [])
    about = ("half_life_days", "until_date", "summed_date", "first_date")
    assert {tuple(row[name] for name in about) for row in known} == {
        (life, date(2017, 9, 30), FIRST + timedelta(29), FIRST) for life in (0.0, 5.0)
    }
    assert {row["widget"]: row["n"] for row in known if not row["half_life_days"]} == {
        "bakery": 48, "bestsellers": 48, "trending": 36,
    }  # fmt: skip
    whole = fit(spark, HISTORY, [])
    assert len(whole) == len(SPECS) * len(DAYS)
    # What neither a window nor the days since the checkpoint hold is not read.
    recent = [row for row in HISTORY if row["decision_date"] >= DAYS[0] - timedelta(20)]
    assert len(recent) < len(HISTORY)
    assert fit(spark, recent, known) == whole


def test_a_checkpoint_stands_on_the_one_before_and_is_rebuilt_with_its_days(spark: SparkSession) -> None:
    both = totals(spark, SETTLED, [])
    first = [row for row in both if row["settled_date"] == SETTLED[0]]
    since = [row for row in HISTORY if row["decision_date"] > date(2017, 9, 30)]
    again = totals(spark, SETTLED[1:], first, [HISTORY[0], *since])
    assert again == [row for row in both if row["settled_date"] == SETTLED[1]]
    frames = table(spark, "bandit_statistics", HISTORY), table(spark, "bandit_totals", both)
    named = bandit_totals.late(*frames, days=[date(2017, 10, 2)])
    assert {row["day"] for row in rows(named)} == {SETTLED[1]}
    assert bandit_totals.build(*frames, days=[date(2017, 10, 2)], late_days=3, policies={}).isEmpty()


def test_of_two_checkpoints_of_a_month_the_one_that_settled_later_counts(spark: SparkSession) -> None:
    """Where `late_days` was changed: the earlier one lacks what came in between, and is not added to it."""
    [early] = SETTLED[:1]
    known = totals(spark, [early], [])
    lacks = [row | {"settled_date": early - timedelta(1), "n": row["n"] - 1.0} for row in known]
    recent = [row for row in HISTORY if row["decision_date"] > date(2017, 9, 30)]
    plain = [spec("plain")]
    assert fit(spark, recent, [*lacks, *known], plain) == fit(spark, recent, known, plain)
    assert fit(spark, recent, known, plain) == fit(spark, HISTORY, [], plain)


def test_a_spec_with_a_half_life_of_its_own_begins_with_the_first_day(spark: SparkSession) -> None:
    known = totals(spark, SETTLED[:1], [])
    new = (spec("other", half_life_days=11.0),)
    assert fit(spark, HISTORY, known, new) == fit(spark, HISTORY, [], new)
