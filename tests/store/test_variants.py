"""Variants of a page: how a front end chooses one, and that a reader gives it."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from jobs.store import Store
from jobs.store.export import export
from jobs.store.variants import choose, page_of
from tests.store import given as nights
from tests.store.given import NOON, layout, subject

ASKED = {"device": ["desktop", "phone"], "daypart": [["day", 6], ["evening", 18]], "zone": "America/New_York"}


@pytest.mark.parametrize(
    ("device", "hour", "variant"),
    [
        ("phone", 11, "phone.day"),  # 06:00 in New York
        ("desktop", 22, "desktop.day"),
        ("desktop", 23, "desktop.evening"),
        ("fridge", 10, "desktop.evening"),  # before the first hour it is still last night
        ("", 4, "desktop.evening"),
    ],
)
def test_a_front_end_chooses_by_device_and_local_hour(device, hour, variant) -> None:
    assert choose(ASKED, device, datetime(2017, 7, 1, hour - 1, 30, tzinfo=UTC)) == variant
    assert choose(ASKED, device, datetime(2017, 12, 1, hour, 30, tzinfo=UTC)) == variant


def test_pages_ask_for_what_they_vary_by() -> None:
    assert choose({"device": ["desktop", "phone"]}, "phone", NOON) == "phone"
    assert choose({}, "phone", NOON) == ""
    assert page_of("home", "") == "home"


def test_a_reader_gives_the_variant_and_the_main_one_to_who_asks_none(tmp_path) -> None:
    pages = ("home", "start", "home@phone")
    inputs = replace(
        nights.inputs(nights.layouts(range(3), pages=pages)), variants={"home": {"device": ASKED["device"]}}
    )
    named = inputs.widgets.set_column(
        inputs.widgets.schema.get_field_index("pages"), "pages",
        pa.array([["home"]] * inputs.widgets.num_rows, pa.list_(pa.string())),
    )  # fmt: skip
    export(str(tmp_path), nights.night(), replace(inputs, widgets=named))
    store = Store.open(f"lmdb:{tmp_path}", clock="generation")
    assert [store.variant("home", device=kind) for kind in ("phone", "tablet", "")] == [
        "phone",
        *["desktop"] * 2,
    ]
    assert [store.variant(page, device="phone") for page in ("start", "nowhere")] == ["", ""]
    phone = store.get(subject(1), "home", "phone")
    assert (phone.page, phone.variant, phone.freshness) == ("home", "phone", "fresh")
    assert phone.draw_id == layout(subject(1), "home@phone")["draw_id"]
    for asked in ("", "desktop", "watch"):
        main = store.get(subject(1), "home", asked)
        assert (main.variant, main.draw_id) == ("", layout(subject(1), "home")["draw_id"])
    assert store.get(subject(1), "start", "phone") == store.get(subject(1), "start")
    stranger = store.get("nobody", "home", "phone")
    drawn = {layout(f"default:home@phone:{n:02d}", "home@phone")["draw_id"] for n in range(64)}
    assert stranger.freshness == "fallback"
    assert stranger.draw_id in drawn
    assert json.loads(store.generation().colour.get(b"page:home") or b"")["variants"] == {
        "device": ["desktop", "phone"]
    }
