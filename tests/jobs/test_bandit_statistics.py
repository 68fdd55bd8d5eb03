"""bandit_statistics: sums equal the formula over seen positions, whatever the split; odd rows are named."""

from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import bandit_statistics
from jobs.config import FeatureSet
from jobs.contracts import contract
from tests.jobs.given import rows, split, table

DAY, NEXT = date(2017, 9, 1), date(2017, 9, 2)
HOME = FeatureSet.model_validate(
    {
        "name": "home-1",
        "page": "home",
        "context": [{"name": "intercept"}, {"name": "recency"}],
        "action": [{"name": "share/{widget}"}],
    }
)
START = FeatureSet.model_validate(
    {"name": "start-1", "page": "start", "context": [{"name": "intercept"}], "action": []}
)
SETS = {"home-1": HOME, "start-1": START}
WIDGETS = ["bakery", "bestsellers", "trending"]


def served(
    number: int, *, page: str = "home", day: date = DAY, widgets: list[str], **more: Any
) -> list[dict[str, Any]]:
    """Feedback of one serving: a row for each widget."""
    return [
        {
            "decision_id": f"d{number:03d}",
            "position": position,
            "decision_date": day,
            "subject": f"s{number % 7}",
            "subject_bucket": number % 7 % 2,
            "draw_id": f"draw{number}",
            "page": page,
            "widget": widget,
            "is_seen": position < 2,
            # In tenths: sums of whole rewards would be exact in any order.
            "reward": (number + position) % 4 % 3 + number / 10,
            "reward_version": "r1",
            **more,
        }
        for position, widget in enumerate(widgets)
    ]


def context(number: int, *, day: date = DAY, feature_set: FeatureSet = HOME, **more: Any) -> dict[str, Any]:
    """Return the context of one serving."""
    own = len(feature_set.action) * len(WIDGETS)
    return {
        "draw_id": f"draw{number}",
        "decision_date": day,
        "page": feature_set.page,
        "feature_set": feature_set.name,
        "candidates": WIDGETS,
        "context": [1.0, number / 8][: len(feature_set.context)],
        "action_context": [number / 16 + place for place in range(own)],
        **more,
    }


FEEDBACK = [
    row
    for number in range(60)
    for row in served(
        number, day=DAY if number % 3 else NEXT, widgets=WIDGETS[number % 3 :] + WIDGETS[: number % 3]
    )
]
CONTEXTS = [context(number, day=DAY if number % 3 else NEXT) for number in range(60)]


def build(spark: SparkSession, feedback: list[dict[str, Any]], contexts: list[dict[str, Any]]) -> DataFrame:
    return bandit_statistics.build(
        table(spark, "feedback", feedback),
        table(spark, "contexts", contexts),
        days=[DAY, NEXT],
        feature_sets=SETS,
    )


@pytest.fixture(scope="module")
def sums(spark: SparkSession) -> list[dict[str, Any]]:
    return rows(build(spark, FEEDBACK, CONTEXTS), "decision_date", "widget", "subject_bucket")


def test_sums_are_those_of_the_formula(sums: list[dict[str, Any]]) -> None:
    by_draw = {row["draw_id"]: row for row in CONTEXTS}
    assert len(sums) == 10  # on the second day nobody sees `trending`
    for row in sums:
        seen = [
            shown
            for shown in FEEDBACK
            if shown["is_seen"]
            and all(shown[name] == row[name] for name in ("decision_date", "widget", "subject_bucket"))
        ]
        of_draws = [by_draw[shown["draw_id"]] for shown in seen]
        place = WIDGETS.index(row["widget"])
        x = np.array([[*of["context"], of["action_context"][place]] for of in of_draws])
        r = np.array([shown["reward"] for shown in seen])
        assert (row["page"], row["feature_set"], row["reward_version"]) == ("home", "home-1", "r1")
        assert row["n"] == len(seen)
        assert np.allclose(row["xx"], (x.T @ x)[np.triu_indices(3)], rtol=1e-12)
        assert np.allclose(row["rx"], x.T @ r, rtol=1e-12)
        assert np.isclose(row["rr"], (r**2).sum(), rtol=1e-12)
    assert sum(row["n"] for row in sums) == 120


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_no_split_changes_a_bit(spark: SparkSession, sums: list[dict[str, Any]], partitions: int) -> None:
    with split(spark, partitions):
        frame = build(spark, FEEDBACK[::-1], CONTEXTS)
        assert rows(frame, "decision_date", "widget", "subject_bucket") == sums


def test_a_page_has_sums_for_each_of_its_feature_sets_and_none_for_unknown_ones(spark: SparkSession) -> None:
    feedback = served(1, page="start", widgets=["bakery"]) + served(2, widgets=["trending"])
    contexts = [
        context(1, feature_set=START),
        context(2),
        context(2, feature_set=START.model_copy(update={"name": "old"})),
    ]
    found = rows(build(spark, feedback, contexts), "page")
    assert [(row["page"], row["feature_set"], row["widget"], row["n"]) for row in found] == [
        ("home", "home-1", "trending", 1),
        ("start", "start-1", "bakery", 1),
    ]
    assert found[1]["xx"] == [1.0]
    assert found[1]["rx"] == [1.1]
    assert found[0]["xx"] == [1.0, 0.25, 2.125, 0.0625, 0.53125, 2.125**2]


def test_rows_that_cannot_be_learned_from_say_why(spark: SparkSession) -> None:
    feedback = [row for number in (1, 2, 3, 4) for row in served(number, widgets=["bakery"])]
    contexts = [
        context(1),
        context(2, candidates=["bestsellers", "other", "trending"]),
        context(3, context=[1.0, 2.0, 3.0]),
    ]
    found = rows(build(spark, feedback, contexts), "_reason")
    assert [(row["_reason"], row["n"]) for row in found] == [
        (None, 1),
        ("its context has another width than its feature set", None),
        ("its widget is no candidate of its draw", None),
        ("no context is known for its draw", None),
    ]
    assert '"decision_id":"d004"' in found[3]["_raw"]
    assert found[3]["decision_date"] == DAY


def test_nothing_seen_gives_no_sums(spark: SparkSession) -> None:
    unseen = served(1, widgets=["bakery"], is_seen=False)
    assert rows(build(spark, unseen, [context(1)])) == []


def test_a_group_goes_on_over_batches_and_new_arms_may_turn_up() -> None:
    about = contract("bandit_statistics")
    schema = pa.schema([*about.arrow_schema, pa.field("_reason", pa.string()), pa.field("_raw", pa.string())])
    sum_up = partial(bandit_statistics.sum_in_order, schema=schema)

    def batches(sizes: list[int]) -> Iterator[pa.RecordBatch]:
        every = pa.RecordBatch.from_pylist(
            [
                {
                    "decision_date": DAY, "page": "home", "feature_set": "home-1", "reward_version": "r1",
                    "subject_bucket": number // 30, "widget": WIDGETS[min(number % 30 // 8, 2)],
                    "reward": 1.0 + number, "x": [1.0, 0.1 * number], "_reason": None, "_raw": None,
                }
                for number in range(60)
            ]
        )  # fmt: skip
        start = 0
        for size in sizes:
            yield every.slice(start, size)
            start += size

    whole = pa.Table.from_batches(sum_up(batches([60]))).to_pylist()
    assert pa.Table.from_batches(sum_up(batches([1, 0, 9, 25, 24, 1]))).to_pylist() == whole
    assert [(row["subject_bucket"], row["widget"], row["n"]) for row in whole][:3] == [
        (0, "bakery", 8),
        (0, "bestsellers", 8),
        (0, "trending", 14),
    ]
