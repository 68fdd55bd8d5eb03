"""Hits without ids count once with the span of their event, and apart where it cannot be told."""

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import events
from jobs.config import Source, load
from tests.jobs.given import table
from tests.jobs.sources.door import judged
from tests.jobs.sources.lake import DAY, NOON, file, listed, message, put, span, tag
from tests.jobs.test_events import ARGUMENTS

SECOND = timedelta(seconds=1)
MIDNIGHT = datetime.fromisoformat("2017-08-22T00:00:00-04:00")
DAYS = [DAY, DAY + timedelta(1)]


def hit(number: int, at: datetime = NOON, name: str = "page_view", **more: Any) -> dict[str, Any]:
    denied = {"user_id": None, "user_pseudo_id": None, "privacy_info": {"analytics_storage": "No"}}
    return tag(name, f"{number:016x}", at, **denied, **more)


def view(number: int, at: datetime = NOON, **more: Any) -> dict[str, Any]:
    return span(
        "page.view", f"{number:016x}", at, **{"device": f"d{number}", "user": None, "page": "home", **more}
    )


def order(number: int, order_id: str) -> dict[str, Any]:
    return span("order.placed", f"{number:016x}", device=f"d{number}", user=None, order_id=order_id)


SPANS = [
    view(1), view(2, MIDNIGHT - SECOND), view(3, MIDNIGHT + SECOND), view(5), view(5, device="other"),
    view(6), view(7, page="start"), order(8, "o1"), order(10, "o2"), order(11, "o2"),
]  # fmt: skip
HITS = [
    hit(1, NOON + SECOND),  # the same event
    hit(2, MIDNIGHT + SECOND),  # the same, by a clock that says tomorrow
    hit(3, MIDNIGHT - SECOND),  # the same, by a clock that says yesterday
    hit(4),  # its span was lost
    hit(5),  # two spans have its id: whose is it?
    hit(6, NOON + timedelta(minutes=61)),  # too late to be a copy
    hit(7, name="view_item"),  # another thing
    hit(20, name="purchase", ecommerce={"transaction_id": "o1"}),  # the order is the same
    hit(21, name="purchase", ecommerce={"transaction_id": "o2"}),  # two spans have placed it
    hit(22),  # another view of the same page within the same second: no one's copy
]


@pytest.mark.parametrize("without_ids", [True, False])
def test_what_is_the_same_event_is_counted_once(
    spark: SparkSession, tmp_path: Path, *, without_ids: bool
) -> None:
    put(tmp_path / "a.jsonl", [message(*SPANS)])
    put(tmp_path / "b.jsonl", HITS)
    tags = Source(form="ga4", path="tags", table="events", without_ids=without_ids)
    good, bad = [], []
    for day in DAYS:
        on_time = [DAYS[1]]
        built = events.build(
            listed(spark, *[file(tmp_path / "a.jsonl", "telemetry", arrival) for arrival in on_time]),
            listed(spark, *[file(tmp_path / "b.jsonl", "tags", arrival) for arrival in on_time]),
            table(spark, "widgets", []),
            table(spark, "consents", []),
            days=[day],
            **{**ARGUMENTS, "sources": {**load().sources, "tags": tags}},
        )
        found, refused = judged("events", built, [day])
        good, bad = good + found, bad + refused
    assert not bad
    told = Counter("+".join(sorted(row["sources"])) for row in good)
    if not without_ids:
        assert told == {"telemetry": 10, "tags": 10}
        return
    # Four of the hits are copies; of those across midnight what came on the earlier day stands alone.
    assert told == {
        "tags+telemetry": 2,
        "telemetry": 7,
        "tags": 7,
    }
    assert len(good) == 16
    once = [row for row in good if len(row["sources"]) == 2]
    assert sorted(row["event_name"] for row in once) == ["order_placed", "page_view"]
    assert all(row["device"] for row in once)
    nobodys = [row for row in good if row["sources"] == ["tags"]]
    assert {(row["subject"], row["device"], row["user"]) for row in nobodys} == {("nobody", None, None)}


def test_only_tags_come_without_ids() -> None:
    with pytest.raises(ValueError, match="form 'otlp' has no hits without ids: only ga4 has"):
        Source(form="otlp", path="telemetry", table="events", without_ids=True)
