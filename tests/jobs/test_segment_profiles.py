"""segment_profiles: sums by hand of what planted segments bought, saw and came from."""

from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import segment_profiles
from jobs.publish import Stopped
from tests.jobs.conftest import SEGMENT_DAY, kind_of, segment_spec
from tests.jobs.given import rows, table
from tests.jobs.test_segments import verdict

EARLIER = SEGMENT_DAY - timedelta(30)
# Names of the last approved version, by kind: the third kind was not there yet.
BEFORE = ["regulars", "leaving", None]
TABLES = ("releases", "segments", "subject_daily", "feedback", "sessions", "segment_profiles")


def build(
    spark: SparkSession, subjects: DataFrame, fitted: list[dict[str, Any]], k: str = "2-4", **given: Any
) -> list[dict[str, Any]]:
    frames = {name: table(spark, name, given.get(name, [])) for name in TABLES}
    made = segment_profiles.build(
        subjects,
        table(spark, "segmentations", fitted),
        **frames,
        days=[SEGMENT_DAY],
        segmentation_specs={"rfm": segment_spec()},
        segmentation="rfm",
        seed=7,
        k=k,
    )
    return rows(made, "segmentation_version", "segment")


def activity(number: int, days_ago: int, **more: Any) -> dict[str, Any]:
    day = SEGMENT_DAY - timedelta(days_ago)
    return {"subject": f"u{number}", "activity_date": day, "orders": 0, "lines": 0, "sales_cents": 0, **more}


def facts() -> dict[str, list[dict[str, Any]]]:
    """Everybody bought in the window before; kinds 0 and 1 buy now, kind 0 twice, once outside a session."""
    daily, sessions, feedback, segments = [], [], [], []
    for number in range(300):
        kind, sale = kind_of(number), {"orders": 1, "lines": 4, "sales_cents": 1000}
        daily.append(activity(number, 28, **sale))
        daily += [
            activity(number, ago, **sale) for ago in ((0, 27) if kind == 0 else (5,) if kind == 1 else ())
        ]
        session = {"subject": f"u{number}", "session_date": SEGMENT_DAY, "pages": 3, "product_views": 2}
        sessions.append({**session, "basket_adds": 1, "orders": int(kind < 2), "is_bot": False})
        sessions.append({**session, "is_bot": True})
        seen = {"subject": f"u{number}", "decision_date": SEGMENT_DAY, "page": "home", "widget": "trending"}
        feedback += [
            {**seen, "is_seen": True, "reward": 3.0 if kind == 1 else 0.0},
            {**seen, "is_seen": False},
        ]
        if BEFORE[kind]:
            own = {"segmentation": "rfm", "segmentation_version": "rfm@old-k2", "as_of_date": EARLIER}
            segments.append({**own, "subject": f"u{number}", "name": BEFORE[kind]})
    return {"subject_daily": daily, "sessions": sessions, "feedback": feedback, "segments": segments}


def test_a_segment_s_profile_is_what_its_subjects_did(
    spark: SparkSession, subjects: DataFrame, fitted: list[dict[str, Any]]
) -> None:
    old = verdict(fitted[0], 1, version="rfm@old-k2", as_of_date=EARLIER)
    other = {"segmentation_version": "x-k2", "segment": 0, "request": "x", "as_of_date": SEGMENT_DAY}
    found = build(spark, subjects, fitted, releases=[old], segment_profiles=[other], **facts())
    assert [row["segmentation_version"][-2:] for row in found] == ["k2"] * 2 + ["k3"] * 3 + ["k4"] * 4 + [
        "k2"
    ]
    core, leaving, small = (row for row in found if row["segmentation_version"].endswith("k3"))
    assert (core["subjects"], core["share"], core["visits"], core["orders"]) == (150, 0.5, 300, 300)
    assert (core["revenue_cents"], core["session_orders"], core["basket_cents"]) == (300_000, 150, 1000.0)
    assert (core["basket_lines"], core["sessions"], core["page_views"]) == (4.0, 150, 450)
    assert core["revenue_share"] == pytest.approx(300 / 390)
    assert [row["retention"] for row in (core, leaving, small)] == [1.0, 1.0, 0.0]
    assert (small["revenue_cents"], small["basket_cents"], small["product_views"]) == (0, None, 120)
    assert leaving["widgets_seen"] == leaving["widgets_clicked"] == {"home/trending": 90}
    assert (core["widgets_seen"], core["widgets_clicked"]) == ({"home/trending": 150}, {"home/trending": 0})
    # Every fifth subject is a consultant.
    assert core["roles"] == {"consultant": 30, "customer": 120}
    assert [row["suggested_name"] for row in (core, leaving)] == ["regulars", "leaving"]
    assert [row["continues"] for row in (core, leaving, small)] == ["regulars", "leaving", None]
    assert small["suggested_name"] == "small, rare"
    assert (core["migration"], small["migration"]) == ({"regulars": 150}, {"new": 60})
    assert {row["against"] for row in (core, leaving, small)} == {"rfm@old-k2"}


def test_without_an_earlier_version_there_is_nothing_to_compare_with(
    spark: SparkSession, subjects: DataFrame, fitted: list[dict[str, Any]]
) -> None:
    found = build(spark, subjects, fitted)
    assert {(row["against"], row["continues"]) for row in found} == {(None, None)}
    assert all(row["migration"] == {} for row in found)
    assert [row["suggested_name"] for row in found[2:5]] == [
        "frequent, recent",
        "fading, large",
        "small, rare",
    ]
    assert {row["revenue_share"] for row in found} == {None}


def test_a_request_that_was_not_fitted_is_said(
    spark: SparkSession, subjects: DataFrame, fitted: list[dict[str, Any]]
) -> None:
    with pytest.raises(
        Stopped, match=r"^rfm@2017-10-12-\w{6} was not fitted: run segmentations for 2017-10-12"
    ):
        build(spark, subjects, fitted, k="5")
