"""Tag hits become hits, value by value, and share their id with the span that saw the same."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.sources import days_in, ga4, hits, otlp
from tests.jobs.sources.lake import DAY, DOOR, NOON, file, message, put, span, tag
from tests.jobs.sources.test_otlp import DEVICE, ID, USER


def read(path: Path) -> list[dict[str, Any]]:
    return [row for batch in ga4.read(iter([file(path, "tags")]), DOOR) for row in batch.to_pylist()]


def test_a_hit_keeps_every_value(tmp_path: Path) -> None:
    path = put(tmp_path / "tags-0.jsonl.gz", [tag("view_item", ID, items=[{"item_id": "17", "price": 2.5}])])
    assert read(path) == [
        {
            **dict.fromkeys(hits.FIELDS),
            "event_id": f"{ID}-{DEVICE[-16:]}",
            "event_name": "product_view",
            "event_at": NOON,
            "arrival_date": DAY,
            "subject": USER,
            "device": DEVICE,
            "user": USER,
            "source": "tags",
            "visit": "1503331200",
            "page": "home",
            "product_id": "17",
            "is_bot": False,
            "_file": str(path),
            "_offset": 1,
        }
    ]


def test_the_other_hits_keep_their_values(tmp_path: Path) -> None:
    bought = tag("purchase", ID, ecommerce={"transaction_id": "o1", "purchase_revenue": 19.95}, items=[])
    path = put(tmp_path / "x.jsonl", [tag("page_view", ID, user_id=None), tag("add_to_cart", ID), bought])
    viewed, added, placed = read(path)
    assert (viewed["event_name"], viewed["subject"], viewed["user"]) == ("page_view", DEVICE, None)
    assert (added["event_name"], added["product_id"]) == ("basket_add", None)
    assert (placed["event_name"], placed["order_id"], placed["value_cents"]) == ("order_placed", "o1", 1995)


def test_span_and_hit_share_their_id(tmp_path: Path) -> None:
    spans = otlp.read(iter([file(put(tmp_path / "s", [message(span("page.view", ID))]), "telemetry")]), DOOR)
    (hit,) = read(put(tmp_path / "t.jsonl", [tag("page_view", ID.upper())]))
    assert [hit["event_id"]] == [row["event_id"] for batch in spans for row in batch.to_pylist()]


def test_a_hit_without_a_shared_id_is_named_by_its_content(tmp_path: Path) -> None:
    bare = tag("page_view", ID, event_params=[])
    other = {**bare, "event_timestamp": str(int(bare["event_timestamp"]) + 1)}
    first, second, third = read(put(tmp_path / "t.jsonl", [bare, dict(reversed(bare.items())), other]))
    assert first["event_id"] == second["event_id"] != third["event_id"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"event_timestamp": None}, "event_timestamp is missing or out of range"),
        ({"event_timestamp": "noon"}, "event_timestamp is not an integer"),
        ({"event_timestamp": 1.5}, "event_timestamp is not an integer"),
        ({"event_timestamp": "-1"}, "event_timestamp is missing or out of range"),
        ({"event_name": None}, "event_name is missing"),
        ({"event_name": 3}, "event_name is not a string"),
        ({"user_id": None, "user_pseudo_id": None}, "an event needs a subject"),
        ({"user_pseudo_id": 4711}, "user_pseudo_id is not a string"),
        ({"event_params": {"a": 1}}, "event_params are malformed"),
        ({"event_params": [{"key": "a"}]}, "event_params are malformed"),
        (
            {"event_params": [{"key": "event_id", "value": {"int_value": 7}}]},
            "event_params.event_id is not a string",
        ),
        (
            {"event_params": [{"key": "page_location", "value": {"string_value": "http://[x/"}}]},
            "event_params.page_location is not an address",
        ),
        ({"items": "17"}, "items is not a list of objects"),
        ({"items": [{"item_id": 17}]}, "items.item_id is not a string"),
        ({"ecommerce": [1]}, "ecommerce is not an object"),
        ({"ecommerce": {"transaction_id": 5}}, "ecommerce.transaction_id is not a string"),
        ({"ecommerce": {"purchase_revenue": "much"}}, "ecommerce.purchase_revenue is not a number"),
        ({"ecommerce": {"purchase_revenue": 1e300}}, "ecommerce.purchase_revenue is out of range"),
    ],
)
def test_a_wrong_hit_is_told_alone(tmp_path: Path, wrong: dict[str, Any], reason: str) -> None:
    good = tag("page_view", ID)
    before, told, after = read(put(tmp_path / "t.jsonl", [good, {**good, **wrong}, good]))
    assert (told["_reason"], told["_offset"]) == (reason, 2)
    assert before["_reason"] is after["_reason"] is None


@pytest.mark.parametrize(("line", "reason"), [("{", "line is not JSON"), ("[1]", "row is not an object")])
def test_a_line_that_is_no_row_is_told(tmp_path: Path, line: str, reason: str) -> None:
    (told,) = read(put(tmp_path / "t.jsonl", [line]))
    assert told["_reason"] == reason


def test_what_quarantine_keeps_of_a_hit_names_nobody(tmp_path: Path) -> None:
    secret = tag("page_view", ID, user_id="anna", user_pseudo_id="4711", user_properties=[{"key": "anna"}])
    secret["items"] = "none"
    secret["event_params"].append({"key": "email", "value": {"string_value": "anna@example.org"}})
    (told,) = read(put(tmp_path / "t.jsonl", [secret]))
    assert "anna" not in told["_raw"]
    assert "4711" not in told["_raw"]
    assert json.loads(told["_raw"])["event_name"] == "page_view"


def test_hits_of_other_events_are_skipped_and_counted(tmp_path: Path) -> None:
    hits = [tag("scroll", ID), tag("page_view", ID), tag("session_start", ID)]
    good, skipped = read(put(tmp_path / "t.jsonl", hits))
    assert (good["_reason"], good["_skipped"]) == (None, None)
    assert (skipped["_reason"], skipped["_skipped"]) == ("hits of source tags are no events of ours", 2)


def test_a_hit_in_consent_mode_is_nobodys(tmp_path: Path) -> None:
    denied = {"user_id": None, "user_pseudo_id": None, "privacy_info": {"analytics_storage": "No"}}
    (counted,) = read(put(tmp_path / "t.jsonl", [tag("page_view", ID, **denied)]))
    assert (counted["_reason"], counted["subject"], counted["device"]) == (None, "nobody", None)


def value(kind: str, content: Any) -> dict[str, Any]:
    kinds = ("string_value", "int_value", "float_value", "double_value")
    return dict.fromkeys(kinds) | {kind: content}


def test_parquet_as_bigquery_exports_it_gives_the_rows_of_json(tmp_path: Path) -> None:
    """Nested and repeated columns, INT64 times; columns that are not ours are left unread."""
    shared = {"user_id": "u1", "user_pseudo_id": "d1", "platform": "WEB"}
    at = int(NOON.timestamp() * 10**6)
    parameters = [
        {"key": "page_location", "value": value("string_value", "https://shop.example/home?a=1")},
        {"key": "ga_session_id", "value": value("int_value", 1503331200)},
        {"key": "event_id", "value": value("string_value", ID)},
    ]
    item = {"item_id": "17", "item_name": "Milk", "price": 2.5, "quantity": 1}
    rows = [
        {"event_name": "add_to_cart", "items": [item], "ecommerce": None},
        {
            "event_name": "purchase",
            "ecommerce": {"transaction_id": "o1", "purchase_revenue": 3.0},
            "items": [],
        },
        {"event_name": "scroll", "items": [], "ecommerce": None},
    ]
    whole = [
        {**row, **shared, "event_timestamp": at + n, "event_params": parameters} for n, row in enumerate(rows)
    ]
    path = tmp_path / "tags.parquet"
    pq.write_table(pa.Table.from_pylist(whole), path)
    as_json = put(
        tmp_path / "tags.jsonl",
        [
            tag(str(row["event_name"]), ID, NOON, **row, event_timestamp=f"{at + n}")
            for n, row in enumerate(rows)
        ],
    )

    def plain(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        own = ("_file", "event_id")
        return [{key: content for key, content in row.items() if key not in own} for row in found]

    added, bought, skipped = read(path)
    assert (added["product_id"], added["visit"], added["page"]) == ("17", "1503331200", "home")
    assert (bought["order_id"], bought["value_cents"]) == ("o1", 300)
    assert skipped["_skipped"] == 1
    assert plain(read(path)) == plain(read(as_json))
    (batch,) = ga4.read(iter([file(path, "tags")]), DOOR, {DAY: (at + 1, at + 2)})
    assert [row["event_name"] for row in batch.to_pylist()] == ["order_placed"]
    assert days_in._quarters(str(path), ga4.TIME) == {at // (15 * 60 * 10**6)}
    path.write_bytes(path.read_bytes()[:-9])
    (told,) = read(path)
    assert told["_reason"].startswith("file is not whole Parquet")
