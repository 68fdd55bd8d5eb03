"""subject_features: rows by hand, people and widgets as of each day, alike in any split."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import feature_rows, subject_features, subject_totals
from jobs.config import Consent, Feature, FeatureSet, load
from jobs.contracts import contract
from jobs.subject_features import feature_columns
from ml.features import population_as_of
from tests.jobs.given import rows, table

MONDAY = date(2017, 10, 9)
SCALES = {"age": ["19-24", "25-34"], "kids": ["0", "1"]}
SETS = {"s": FeatureSet(name="s", page="start", context=[Feature(name="intercept")], action=[])}


def day(number: int) -> date:
    """Return the day so many days after Monday."""
    return MONDAY + timedelta(number)


def daily(
    subject: str, number: int, *categories: str, lines: int | None = None, **more: Any
) -> dict[str, Any]:
    bought = len(categories) if lines is None else lines
    return {
        "subject": subject,
        "subject_bucket": len(subject) % 2,
        "activity_date": day(number),
        "orders": int(bought > 0),
        "lines": bought,
        "sales_cents": 250 * bought,
        "category_visits": dict.fromkeys(categories, 1),
        "decisions": 0,
        "reward_counts": {},
        "reward_sums": {},
        **more,
    }


def user(subject: str, number: int, role: str = "customer", **more: Any) -> dict[str, Any]:
    known = {"region": "north", "has_demographics": False, "is_deleted": False}
    return {
        "subject": subject,
        "subject_bucket": len(subject) % 2,
        "changed_date": day(number),
        "role": role,
        **known,
        **more,
    }


def widget(name: str, number: int, category: str | None, *, is_deleted: bool = False) -> dict[str, Any]:
    return {"widget": name, "changed_date": day(number), "category": category, "is_deleted": is_deleted}


def build(
    spark: SparkSession,
    days: list[date],
    activity: list[dict[str, Any]],
    users: list[dict[str, Any]] | None = None,
    widgets: list[dict[str, Any]] | None = None,
    sets: Mapping[str, FeatureSet] = SETS,
    totals: DataFrame | None = None,
    consents: list[dict[str, Any]] | None = None,
) -> DataFrame:
    """Build from the rows that the shell would hand over: those up to the last day."""
    return subject_features.build(
        table(spark, "subject_daily", [row for row in activity if row["activity_date"] <= days[-1]]),
        table(spark, "subject_totals", []) if totals is None else totals,
        table(spark, "users", [row for row in users or [] if row["changed_date"] <= days[-1]]),
        table(spark, "widgets", [row for row in widgets or [] if row["changed_date"] <= days[-1]]),
        table(spark, "consents", consents or []),
        consent=Consent(purpose="personalisation"),
        days=days,
        feature_declarations=load().feature_declarations,
        feature_sets=sets,
        demographics=SCALES,
    )


def test_a_row_holds_what_the_formulas_say(spark: SparkSession) -> None:
    activity = [
        daily("u1", -40, "milk", lines=3),
        daily(
            "u1", -2, "milk", "tea", reward_counts={"start/trending": 2}, reward_sums={"start/trending": 3.0}
        ),
        daily("u2", -1, "tea", reward_counts={"home/tea": 1}, reward_sums={"home/tea": 1.0}),
    ]
    people = [user("u1", -90, has_demographics=True, age="25-34", kids="unheard of")]
    found = rows(
        build(spark, [day(0)], activity, people, [widget("tea", -90, "tea"), widget("trending", -90, None)])
    )
    assert [row["subject"] for row in found] == ["u1", "u2"]
    first = found[0]
    share = {"milk": (2 + 2 * 2 / 3) / 4, "tea": (1 + 2 * 2 / 3) / 4}
    assert first["features"] == pytest.approx(
        {
            "has_orders": 1,
            "recency": 3,
            "tenure": 41,
            "visits": 2,
            "visits_1": 0,
            "visits_28": 1,
            "visits_84": 2,
            "sales": 12.5,
            "sales_1": 0,
            "sales_28": 5.0,
            "mean_sale": 6.25,
            "mean_lines": 2.5,
            "season": 3,
            "day_of_week": 1,
            "week_of_month": 1,
            "category1_share": share["milk"],
            "category2_share": share["tea"],
            "category1_lift": share["milk"] / (2 / 3 + 0.01),
            "category2_lift": share["tea"] / (2 / 3 + 0.01),
            "category1_has_carousel/home": 0,
            "category2_has_carousel/home": 1,
            "category2_reward_mean/home": 1.0,
            "has_demographics": 1,
            "age": 1,
        }
    )
    shares = {"category1": share["milk"], "category2": share["tea"], "tea": share["tea"]}
    assert first["widget_shares"] == pytest.approx(shares)
    assert first["widget_reward_means"] == pytest.approx(
        {"start/trending": (3 + 5 * 1.5) / 7, "home/tea": 1.0}
    )
    told = {
        name: first[name] for name in ("feature_date", "last_active_date", "role", "category1", "category2")
    }
    assert told == {
        "feature_date": day(0),
        "last_active_date": day(-2),
        "role": "customer",
        "category1": "milk",
        "category2": "tea",
    }


def test_a_device_without_orders_has_the_population_habit_and_its_own_rewards(spark: SparkSession) -> None:
    activity = [
        daily("u1", -3, "milk", reward_counts={"start/trending": 1}, reward_sums={"start/trending": 0.0}),
        daily("d1", -1, reward_counts={"start/trending": 5}, reward_sums={"start/trending": 15.0}),
    ]
    device = rows(build(spark, [day(0)], activity, [], [widget("milk", -9, "milk")]))[0]
    assert (device["subject"], device["role"], device["category1"], device["category2"]) == (
        "d1",
        None,
        "milk",
        None,
    )
    assert device["widget_shares"] == {"milk": 1.0, "category1": 1.0}
    assert device["widget_reward_means"] == pytest.approx({"start/trending": (15 + 5 * 15 / 6) / 10})
    absent = {"recency", "tenure", "mean_sale", "category1_share", "category1_lift", "age", "kids"}
    assert not absent & device["features"].keys()
    assert (device["features"]["has_orders"], device["features"]["visits"]) == (0, 0)


def test_people_and_widgets_count_as_of_each_day(spark: SparkSession) -> None:
    activity = [daily("u1", -5, "milk"), daily("u2", 1, "tea"), daily("u3", -5, "tea")]
    people = [
        user("u1", -9), user("u1", 1, "consultant", region="south"),
        user("u2", -9), user("u3", -9), user("u3", 1, is_deleted=True),
    ]  # fmt: skip
    shown = [widget("w", -9, "milk"), widget("w", 1, "tea"), widget("w", 2, "tea", is_deleted=True)]
    activity += [daily("u4", -5, decisions=1)]  # takes consent back on the second day
    yes = {"subject": "u4", "purpose": "personalisation", "changed_date": day(-9), "is_granted": True}
    answers = [yes, {**yes, "changed_date": day(1), "is_granted": False}, {**yes, "purpose": "research"}]
    built = build(spark, [day(0), day(1), day(2)], activity, people, shown, consents=answers)
    found = rows(built, "subject", "feature_date")
    assert [(row["subject"], row["feature_date"], row["role"], row["region"]) for row in found] == [
        ("u1", day(0), "customer", "north"),
        ("u1", day(1), "consultant", "south"),
        ("u1", day(2), "consultant", "south"),
        ("u2", day(1), "customer", "north"),
        ("u2", day(2), "customer", "north"),
        ("u3", day(0), "customer", "north"),
        ("u4", day(0), None, None),
    ]
    of_widget = [row["widget_shares"].get("w") for row in found if row["subject"] == "u1"]
    assert of_widget == pytest.approx([(1 + 2 * 1 / 2) / 3, (0 + 2 * 2 / 3) / 3, None])


ACTIVITY = [
    daily(
        f"u{subject}",
        number,
        *sorted({"milk", "tea", "wine", "figs"} - {["milk", "tea", "wine", "figs"][(subject * number) % 4]}),
        reward_counts={f"start/a{number % 3}": 1 + subject % 2},
        reward_sums={f"start/a{number % 3}": 1.0},
    )
    for subject in range(7)
    for number in range(-60 + subject, 4, 3 + subject)
]


def test_a_range_at_once_is_day_by_day_and_the_future_changes_nothing(spark: SparkSession) -> None:
    people = [user("u1", -2), user("u1", 3, "recruiter"), user("u2", 2, is_deleted=True)]
    shown = [widget("w", 1, "figs"), widget("v", -9, "nobody bought it")]
    days = [day(0), day(1), day(3)]
    at_once = rows(build(spark, days, ACTIVITY, people, shown), "subject", "feature_date")
    apart = [row for one in days for row in rows(build(spark, [one], ACTIVITY, people, shown))]
    assert at_once == sorted(apart, key=lambda row: (row["subject"], str(row["feature_date"])))
    assert len(at_once) == 20  # seven subjects on three days, one of whom left


@pytest.mark.parametrize(
    ("settles", "until"),
    [
        (date(2017, 7, 3), date(2017, 6, 30)),  # before all windows, which begin on 18 July
        (date(2017, 9, 3), date(2017, 8, 31)),
        (date(2017, 10, 3), date(2017, 9, 30)),  # within all but that of a day
    ],
)
def test_a_checkpoint_stands_for_the_days_before_it(spark: SparkSession, settles: date, until: date) -> None:
    older = [
        daily("u0", -200, "figs", lines=4, reward_counts={"start/a9": 2}, reward_sums={"start/a9": 0.3}),
        daily("u1", -170, reward_counts={"start/a0": 1}, reward_sums={"start/a0": 1 / 3}),
        daily("gone quiet", -150, "milk"),
        daily("came once", -20, "milk", reward_counts={"start/a1": 1}, reward_sums={"start/a1": 1.0}),
        daily("looked once", -83, reward_counts={"start/a1": 1}, reward_sums={"start/a1": 1.0}),
    ]
    activity = [*older, *ACTIVITY]
    made = subject_totals.build(
        table(spark, "subject_daily", activity), table(spark, "subject_totals", []),
        days=[settles], late_days=3,
    )  # fmt: skip
    sets = {
        "s": FeatureSet(
            name="s", page="start", action=[],
            context=[Feature(name="intercept"), Feature(name="recent_reward_mean/start/a1")],
        )
    }  # fmt: skip
    days = [day(0), day(3)]
    whole = rows(build(spark, days, activity, sets=sets), "subject", "feature_date")
    assert rows(build(spark, days, activity, totals=made, sets=sets), "subject", "feature_date") == whole
    # A month has two where late_days was changed meanwhile.
    both = made.unionByName(made.withColumn("settled_date", F.date_add("settled_date", 2)))
    assert rows(build(spark, days, activity, totals=both, sets=sets), "subject", "feature_date") == whole
    # What it counts is read for windows alone, and without maps.
    windows_begin = day(0) - timedelta(83)
    since = [
        row
        if row["activity_date"] > until or row["activity_date"] > day(-28)
        else {**row, "category_visits": {}}
        for row in activity
        if row["activity_date"] > min(until, windows_begin - timedelta(1))
    ]
    assert rows(build(spark, days, since, totals=made, sets=sets), "subject", "feature_date") == whole
    assert len(whole) == 20


def test_recent_population_means_are_kept_where_a_set_names_them(spark: SparkSession) -> None:
    names = ("intercept", "recent_reward_mean/start/a")
    sets = {
        "s": FeatureSet(name="s", page="start", context=[Feature(name=name) for name in names], action=[])
    }
    told = [("a", -28, 3.0), ("b", -1, 1.0), ("a", 0, 1.0)]
    activity = [
        daily("u1", number, reward_counts={f"start/{arm}": 1}, reward_sums={f"start/{arm}": earned})
        for arm, number, earned in told
    ]
    [row] = rows(build(spark, [day(0)], activity, sets=sets))
    kept = {name: value for name, value in row["features"].items() if name.startswith("recent")}
    assert kept == {"recent_reward_mean/start/a": 1.0}


def test_role_and_region_are_flags_where_a_set_names_them(spark: SparkSession) -> None:
    names = ("intercept", "role/consultant", "region/south", "missing/region/south")
    sets = {
        "s": FeatureSet(name="s", page="start", context=[Feature(name=name) for name in names], action=[])
    }
    people = [user("u1", -9, "consultant"), user("u2", -9, region="south")]
    activity = [daily(subject, -1, "tea") for subject in ("d1", "u1", "u2")]
    found = rows(build(spark, [day(0)], activity, people, sets=sets), "subject")
    flags = [[row["features"].get(name) for name in names[1:3]] for row in found]
    assert flags == [[None, None], [1, 0], [0, 1]]


def test_no_history_gives_no_rows_and_all_rows_keep_the_contract(spark: SparkSession) -> None:
    assert build(spark, [day(0)], [], [user("u1", -3)]).collect() == []
    built = build(spark, [day(0)], ACTIVITY)
    assert {field.name for field in built.schema} == set(contract("subject_features").columns)


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_subjects_stay_whole_however_batches_are_cut(size: int) -> None:
    subjects = ["a", "b", "b", "b", "c", "c", "d"]
    batches = pa.table({"subject": subjects, "at": list(range(7))}).to_batches(max_chunksize=size)
    for cells in (1, feature_rows.CELLS_AT_ONCE, feature_rows.CELLS_AT_ONCE * 9):
        pieces = [
            piece.column("at").to_pylist() for piece in feature_rows.whole_subjects(iter(batches), cells)
        ]
        assert [at for piece in pieces for at in piece] == list(range(7))
        starts = {piece[0] for piece in pieces}
        assert starts <= {0, 1, 4, 6}
        if cells > feature_rows.CELLS_AT_ONCE:
            assert starts == {0, 1, 4, 6}


def test_cutting_batches_changes_no_row() -> None:
    n = 40
    visits = [17_000 + i % 7 if i % 3 else None for i in range(n)]
    fields: dict[str, pa.Array] = {
        "subject": pa.array([f"u{i // 7}" for i in range(n)]),
        "subject_bucket": pa.array([0] * n, pa.int32()),
        "day": pa.array([17_000 + i % 7 for i in range(n)], pa.int32()).cast(pa.date32()),
        "is_activity": pa.array([True] * n),
        **{
            name: pa.array(visits, pa.int32()).cast(pa.date32())
            for name in ("first_visit_date", "last_visit_date")
        },
        "last_active_date": pa.array([17_000 + i % 7 for i in range(n)], pa.int32()).cast(pa.date32()),
        "visits": pa.array([int(i % 3 > 0) for i in range(n)], pa.int32()),
        "lines": pa.array([i % 3 for i in range(n)], pa.int32()),
        "sales_cents": pa.array([7 * i for i in range(n)], pa.int64()),
        "category_visits": pa.array([[(f"c{i % 4}", 1)] for i in range(n)], pa.map_(pa.string(), pa.int32())),
        "reward_counts": pa.array([[("p/a", 1)]] * n, pa.map_(pa.string(), pa.int32())),
        "reward_micros": pa.array(
            [[("p/a", round(i / 7 * 1e6))] for i in range(n)], pa.map_(pa.string(), pa.int64())
        ),
        "role": pa.nulls(n, pa.string()),
        "region": pa.nulls(n, pa.string()),
        "is_deleted": pa.nulls(n, pa.bool_()),
        "has_demographics": pa.nulls(n, pa.bool_()),
    }
    rewards = [(17_000 + i % 7, "p/a", 1, round(i / 7 * 1e6)) for i in range(n)]
    population = population_as_of(
        [17_003, 17_006], {17_000: 9}, [(17_000, f"c{i}", 2) for i in range(4)], rewards
    )
    compute = feature_rows.kernel(population, {"w": np.array([2, -1])}, {}, set(), {})
    cut = [
        [
            row
            for batch in compute(iter(pa.table(fields).to_batches(max_chunksize=size)))
            for row in batch.to_pylist()
        ]
        for size in (1, 3, 40)
    ]
    assert cut[0] == cut[1] == cut[2]
    assert len(cut[0]) == 12


def test_columns_are_read_by_name_and_missing_ones_are_not_a_number() -> None:
    maps = pa.map_(pa.string(), pa.float64())
    batch = pa.table(
        {
            "features": pa.array([[("recency", 3.0), ("share", 9.0)], None], maps),
            "widget_shares": pa.array([[("tea", 0.5)], None], maps),
            "widget_reward_means": pa.array([[("home/tea", 2.0)], []], maps),
        }
    )
    names = ["recency", "share/tea", "reward_mean/home/tea", "share/milk", "visits"]
    found = feature_columns(batch, names)
    nan = float("nan")
    expected = {
        "recency": [3.0, nan],
        "share/tea": [0.5, nan],
        "reward_mean/home/tea": [2.0, nan],
        "share/milk": [nan, nan],
        "visits": [nan, nan],
    }
    assert found.keys() == expected.keys()
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name])
