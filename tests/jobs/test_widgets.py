"""widgets: what arrived about a widget on a day, with its labels."""

from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession

from jobs import widgets
from jobs.kinds import Kinds
from jobs.labels import Approval, Labels
from tests.jobs.sources.door import IDS, judged
from tests.jobs.sources.lake import DAY, file, listed, put

APPROVED = Approval(approved_by=("A. Person", "B. Other"), since=DAY)
KINDS = Kinds.model_validate({"carousel": {"buy again": {"browsing": False}}})
LISTED = Labels(theme={"popular": APPROVED}, core_theme={"personal": APPROVED}, intent={"inspire": APPROVED})


def test_widgets_are_taken_over_and_wrong_ones_told(spark: SparkSession, tmp_path: Path) -> None:
    good_row = {
        "widget_id": "bestsellers",
        "kind": "carousel",
        "pages": ["start", "home"],
        "category": None,
        "purpose": None,
        "theme": "popular",
        "core_theme": "personal",
        "intent": "inspire",
        "size": "medium",
        "page_context": "any",
        "created_date": "2016-12-01",
    }
    rows = [
        good_row,
        {**good_row, "widget_id": "a", "kind": "poster"},
        {**good_row, "widget_id": "b", "theme": None},
        {**good_row, "widget_id": "c", "pages": "home"},
        {**good_row, "widget_id": "d", "is_deleted": True, "category": "SOUP", "purpose": "buy again"},
        {key: value for key, value in good_row.items() if key != "kind"},
        {**good_row, "widget_id": "e", "theme": "poplar"},
        {**good_row, "widget_id": "f", "intent": "popular"},
        {**good_row, "widget_id": "g", "purpose": "bank offer"},
    ]
    arrived = listed(spark, file(put(tmp_path / "w.jsonl", rows), "widgets"))
    built = widgets.build(arrived, ids=IDS, labels=LISTED, kinds=KINDS)
    good, bad = judged("widgets", built, [DAY])
    taken = {key: value for key, value in good_row.items() if key != "widget_id"}
    assert good == [
        {
            **taken,
            "widget": "bestsellers",
            "changed_date": DAY,
            "created_date": date(2016, 12, 1),
            "is_deleted": False,
        },
        {
            **taken,
            "widget": "d",
            "category": "SOUP",
            "purpose": "buy again",
            "changed_date": DAY,
            "created_date": date(2016, 12, 1),
            "is_deleted": True,
        },
    ]
    assert [(row["offset"], row["reason"]) for row in bad] == [
        (2, "a widget needs a known kind"),
        (3, "a widget needs its labels"),
        (4, "column pages is not of type array<string>"),
        (6, "column kind is missing"),
        (7, "theme must be one that conf/labels.yaml lists"),
        (8, "intent must be one that conf/labels.yaml lists"),
        (9, "purpose must be one that conf/kinds.yaml lists for the kind"),
    ]
