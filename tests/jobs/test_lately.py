"""lately: what speaks against showing a widget again, counted in windows that end with each day."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.config import Feature, FeatureSet, Page
from jobs.lately import Asked, with_lately
from jobs.subject_features import feature_columns
from tests.jobs.given import rows, table

FIRST = date(2017, 9, 1)
PAGE = Page.model_validate(
    {"page": "home", "positions": 1, "policy": "p", "temperature": 1, "floor": 0,
     "rules": {"already_bought": {"days": 20}, "seen_too_often": {"times": 2, "days": 3}}}
)  # fmt: skip


def on(day: int) -> date:
    return FIRST + timedelta(day)


def test_pages_and_sets_say_what_is_asked() -> None:
    named = FeatureSet.model_validate(
        {"name": "f", "page": "start", "context": [{"name": "intercept"}],
         "action": [{"name": "missing/lately/unclicked/7/start/{widget}"}]}
    )  # fmt: skip
    assert Asked.of({"home": PAGE}, {"f": named}) == Asked(True, frozenset({("home", 3), ("start", 7)}))
    looked = named.model_copy(update={"action": [], "context": [Feature(name="lately/after_days")]})
    assert Asked.of({}, {"f": looked}) == Asked(False, frozenset(), True)
    assert Asked.of({}, {"f": named}) == Asked(False, frozenset({("start", 7)}))
    assert Asked.of({}, {}) == Asked(False, frozenset())


def test_a_feature_set_reads_them_by_their_names() -> None:
    kind = pa.map_(pa.string(), pa.float64())
    rows = pa.table({"lately": pa.array([[("lately/after/soup", 0.25)], None], kind)})
    (values,) = feature_columns(rows, ["lately/after/soup"]).values()
    assert np.array_equal(values, [0.25, np.nan], equal_nan=True)


def test_purchases_sights_and_looks_count_from_the_day_that_is_served(spark: SparkSession) -> None:
    days = [on(10), on(11)]
    features = [
        {"subject": subject, "feature_date": day, "category1": "SOUP" if subject == "a" else None}
        for subject in ("a", "b", "c", "d")
        for day in days
    ]
    past = spark.createDataFrame(
        [("a", on(11), {"SOUP": 1}), ("a", on(9), {"SOUP": 2, "MILK": 1}), ("a", on(-74), {"TEA": 1}),
         ("b", on(12), {"MILK": 1}), ("c", on(4), {"BREAD": 1})],
        "subject string, day date, category_visits map<string,int>",
    )  # fmt: skip
    changes: list[dict[str, Any]] = [
        {"widget": "dairy", "changed_date": on(0), "category": "MILK", "is_deleted": False},
        {"widget": "dairy", "changed_date": on(11), "category": "BREAD", "is_deleted": False},
        {"widget": "tea", "changed_date": on(0), "category": "TEA", "is_deleted": False},
        {"widget": "gone", "changed_date": on(0), "category": "MILK", "is_deleted": True},
    ]

    def seen(
        subject: str, day: int, widget: str, seen: int, clicks: int = 0, page: str = "home"
    ) -> dict[str, Any]:
        return {"subject": subject, "stat_date": on(day), "page": page, "widget": widget, "seen": seen,
                "clicks": clicks}  # fmt: skip

    shown = [
        seen("a", 10, "top", 2), seen("a", 8, "top", 1), seen("a", 7, "top", 9), seen("a", 12, "top", 5),
        seen("b", 9, "top", 3, clicks=1), seen("b", 11, "top", 4), seen("b", 10, "top", 4, page="start"),
        seen("c", 8, "top", 3, clicks=1), seen("c", 10, "top", 0), seen("c", 11, "top", 1),
    ]  # fmt: skip

    def look(
        subject: str, day: int, minute: float, category: str | None, kind: str = "detail"
    ) -> dict[str, Any]:
        at = datetime(on(day).year, on(day).month, on(day).day, tzinfo=UTC) + timedelta(minutes=minute)
        return {"outcome_id": f"{subject}{day}{minute}", "outcome_date": on(day), "happened_at": at,
                "subject": subject, "kind": kind, "category": category}  # fmt: skip

    done = [
        look("a", 9, 0, "TEA"), look("a", 9, 31, "MILK"), look("a", 9, 40, "SOUP"), look("a", 9, 41, "MILK"),
        look("a", 9, 60, "SOUP", "basket"), look("a", 9, 70, "JAM"), look("a", 9, 71, None),
        look("a", 9, 90, "TEA", "order"), look("a", 12, 0, "TEA"), look("b", 11, 5, "BREAD"),
    ]  # fmt: skip
    # Who looked ten thousand times is told by the last fifty looks.
    done += [look("d", 10, n / 60, ("MILK", "SOUP")[n % 2]) for n in range(10_000)]
    found = rows(
        with_lately(
            table(spark, "subject_features", features), past, table(spark, "subject_widgets", shown),
            table(spark, "outcomes", done), changes, days=days, gap_minutes=30,
            asked=Asked(True, frozenset({("home", 3)}), True),
        ),
        "subject", "feature_date",
    )  # fmt: skip
    top = "lately/unclicked/3/home/top"
    # From the end: JAM, SOUP, MILK, SOUP, MILK; before them was a pause of more than 30 minutes.
    total = sum(0.8**j for j in range(5))
    soup, milk = ((0.8 + 0.8**3) / total, (0.8**2 + 0.8**4) / total)
    near = pytest.approx
    many = sum(0.8**j for j in range(0, 50, 2)) / sum(0.8**j for j in range(50))
    assert [row["lately"] for row in found] == [
        # Nothing of later days counts, nor what is older than a window: tea was bought 85 days before.
        {"lately/bought/category1": 2.0, "lately/bought/dairy": 2.0, top: 3.0, "lately/after_days": 2.0,
         "lately/after/category1": near(soup), "lately/after/dairy": near(milk),
         "lately/after_most/category1": 1.0},
        {"lately/bought/category1": 1.0, top: 2.0, "lately/after_days": 3.0,
         "lately/after/category1": near(soup), "lately/after_most/category1": 1.0},
        None,  # a click within the window
        {"lately/after/dairy": 1.0, "lately/after_last/dairy": 1.0, "lately/after_most/dairy": 1.0,
         "lately/after_days": 1.0},
        None,
        {"lately/bought/dairy": 8.0, top: 1.0},
        {"lately/after/dairy": near(1 - many), "lately/after_days": 1.0},
        {"lately/after_days": 2.0},
    ]  # fmt: skip
