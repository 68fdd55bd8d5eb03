"""The reader: what it answers when all is well, and whatever is not."""

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.store import BrokenValue, Store, StoreError, StoreGone, live, open_live, status
from jobs.store.export import export
from jobs.store.keys import default_key, variant
from jobs.store.pages import OWN_TILES, TILES
from jobs.store.reader import BUILT_IN, EXPIRED, NO_SUBJECT, STALE
from tests.store import given as nights
from tests.store.given import DAY, NOON, layout, subject

FRESH_UNTIL = datetime(2018, 1, 1, 5, tzinfo=UTC)  # midnight in New York after the day it is made for
VALID_UNTIL = datetime(2018, 1, 3, 5, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path):
    """Return a store of twenty subjects."""
    export(str(tmp_path), nights.night(), nights.inputs(nights.layouts(range(20)), nights.lists(range(20))))
    return tmp_path


def at(instant):
    return lambda: instant


def test_a_layout_is_what_the_table_holds(folder):
    for number in range(20):
        for page in ("home", "start"):
            row = layout(subject(number), page)
            found = Store.open(f"lmdb:{folder}", clock=at(NOON)).get(subject(number), page)
            assert (found.freshness, found.why, found.generation) == ("fresh", "", 1)
            assert (found.subject, found.page) == (subject(number), page)
            for name in ("draw_id", "drawn_date", "policy_version"):
                assert getattr(found, name) == row[name]
            assert (list(found.widgets), list(found.reasons)) == (row["widgets"], row["reasons"])
            assert found.propensities == tuple(np.float32(row["propensities"]).tolist())
            assert found.scores == tuple(np.float32(row["scores"]).tolist())


@pytest.mark.parametrize(
    ("instant", "freshness", "why"),
    [
        (NOON, "fresh", ""),
        (FRESH_UNTIL - timedelta(microseconds=1), "fresh", ""),
        (FRESH_UNTIL, "stale", STALE),
        (VALID_UNTIL - timedelta(microseconds=1), "stale", STALE),
        (VALID_UNTIL, "fallback", EXPIRED),
    ],
)
def test_time_turns_fresh_to_stale_to_fallback(folder, instant, freshness, why):
    found = Store.open(folder, clock=at(instant)).get(subject(1), "home")
    assert (found.freshness, found.why) == (freshness, why)
    number = variant(subject(1), "home", 64)
    drawn_for = f"default:home:{number:02d}" if freshness == "fallback" else subject(1)
    assert found.draw_id == layout(drawn_for, "home")["draw_id"]


def test_the_clock_can_stand_at_the_generation(folder):
    assert Store.open(folder, clock="generation").get(subject(1), "home").freshness == "fresh"
    assert Store.open(folder).get(subject(1), "home").why == EXPIRED


def test_a_miss_is_one_of_the_default_variants_always_the_same(folder):
    store = Store.open(folder, clock=at(NOON))
    found = {}
    for number in range(2000):
        answer = store.get(f"nobody-{number}", "home")
        assert (answer.freshness, answer.why, answer.subject) == ("fallback", NO_SUBJECT, f"nobody-{number}")
        assert store.get(f"nobody-{number}", "home") == answer
        found[answer.draw_id] = found.get(answer.draw_id, 0) + 1
    assert set(found) == {layout(f"default:home:{n:02d}", "home")["draw_id"] for n in range(64)}
    assert max(found.values()) < 60  # 31 each on average


def test_a_page_that_nobody_knows_is_the_built_in_one(folder):
    found = Store.open(folder, clock=at(NOON)).get(subject(1), "checkout")
    assert (found.widgets, found.freshness, found.policy_version) == (BUILT_IN, "fallback", "built-in")
    assert found.why.startswith(NO_SUBJECT)


def test_an_absent_store_is_a_typed_error_with_a_page_to_show(tmp_path):
    store = Store.open(tmp_path / "nowhere")
    for ask in (store.get, store.page):
        with pytest.raises(StoreGone, match="run the export") as gone:
            ask("k1-a", "home")
        assert (gone.value.layout.widgets, gone.value.layout.subject) == (BUILT_IN, "k1-a")
    assert (live(tmp_path), status(tmp_path, NOON).state) == (None, "empty")


def test_a_store_that_comes_later_is_found(tmp_path):
    store = Store.open(tmp_path, clock=at(NOON))
    with pytest.raises(StoreGone):
        store.get(subject(1), "home")
    export(str(tmp_path), nights.night(), nights.inputs(nights.layouts(range(2))))
    assert store.get(subject(1), "home").freshness == "fresh"


def test_readers_move_with_the_pointer(folder):
    store = Store.open(folder, clock=at(NOON))
    before = store.get(subject(3), "home")
    rows = nights.layouts(range(1, 21), {3: 1})
    export(str(folder), nights.night(DAY + timedelta(1)), nights.inputs(rows))
    after = store.get(subject(3), "home")
    assert (before.generation, after.generation) == (1, 2)
    assert after.draw_id == layout(subject(3), "home", 1)["draw_id"] != before.draw_id
    assert (store.get(subject(0), "home").why, store.get(subject(20), "home").freshness) == (
        NO_SUBJECT,
        "fresh",
    )


def test_reads_that_follow_each_other_look_at_the_pointer_once(folder, monkeypatch):
    store = Store.open(folder, clock=at(NOON))
    monkeypatch.setattr("jobs.store.on_lmdb.LOOK_SECONDS", 3600.0)
    assert store.get(subject(3), "home").generation == 1
    export(str(folder), nights.night(DAY + timedelta(1)), nights.inputs(nights.layouts(range(1, 21))))
    assert store.get(subject(3), "home").generation == 1
    store._backend._look_at = 0.0
    assert store.get(subject(3), "home").generation == 2


@pytest.mark.parametrize(
    "damage", ["gone", "not json", "unknown colour", "missing file", "wrong generation", "newer"]
)
def test_a_broken_pointer_leaves_open_readers_where_they_are(folder, damage):
    store = Store.open(folder, clock=at(NOON))
    whole = store.get(subject(3), "home")
    pointer = json.loads((folder / "live.json").read_text())
    if damage == "gone":
        (folder / "live.json").unlink()
    elif damage == "not json":
        (folder / "live.json").write_text("{")
    else:
        change = {
            "unknown colour": {"colour": "mauve"},
            "missing file": {"colour": "blue"},
            "wrong generation": {"generation": 7},
            "newer": {"needs": 9},
        }[damage]
        (folder / "live.json").write_text(json.dumps({**pointer, **change}))
    assert store.get(subject(3), "home") == whole
    with pytest.raises(StoreGone):
        Store.open(folder).get(subject(3), "home")
    assert damage == "gone" or status(folder, NOON).state == "broken"


def test_a_file_that_is_no_colour_is_said_to_be_none(folder):
    (folder / "maize.lmdb").write_bytes(b"\0" * 8192)
    with pytest.raises(BrokenValue, match="no colour"):
        open_live(folder)


def test_a_value_of_a_newer_schema_gives_the_default(folder, monkeypatch):
    monkeypatch.setattr("jobs.store.codec.SCHEMA", 0)
    monkeypatch.setattr("jobs.store.codec._forms", {})
    found = Store.open(folder, clock=at(NOON)).get(subject(1), "home")
    assert (found.widgets, found.freshness) == (BUILT_IN, "fallback")
    assert found.why.startswith("A value needs a reader of schema 1")


def test_an_address_of_another_backend_is_refused():
    with pytest.raises(StoreError, match="not one of lmdb:"):
        Store.open("memcached://localhost")


def test_lists_hold_products_in_order(folder):
    store = Store.open(folder, clock=at(NOON))
    found = store.products("bestsellers", "category:CHEESE", "category:NOTHING")
    assert found["bestsellers"] == tuple(str(n) for n in range(12))
    assert found["category:CHEESE"] == tuple(str(100 + n) for n in range(12))
    assert found["category:NOTHING"] == ()


def test_a_category_shows_own_products_first_then_the_list_without_repeats(folder):
    page = Store.open(folder, clock=at(NOON)).page(subject(3), "home")
    for slot in page.slots:
        place = nights.CATEGORIES.index(slot.category)
        ids = [tile.product_id for tile in slot.tiles]
        own = [str(100 * place + n) for n in (5, 53, 7)] if place in (3, 0) else []
        shared = [str(100 * place + n) for n in range(12)]
        assert ids == [*own, *(key for key in shared if key not in own)][:TILES]
        assert [tile.is_own for tile in slot.tiles] == [key in own for key in ids]
        assert slot.labels["category"] == slot.category
    assert page.layout.widgets == tuple(slot.widget for slot in page.slots)


def test_personal_widgets_show_the_subjects_two_strongest_categories(tmp_path):
    rows = nights.layouts(range(2), pages=("home",))
    rows[0] = {**rows[0], "widgets": ["category2", "bestsellers"]}
    rows[1] = {**rows[1], "widgets": ["category1", "trending"]}
    export(str(tmp_path), nights.night(), nights.inputs(rows, nights.lists([0])))
    store = Store.open(tmp_path, clock=at(NOON))
    mine, best = store.page(subject(0), "home").slots
    assert (mine.category, [tile.product_id for tile in mine.tiles][:4]) == (
        "CHEESE",
        ["105", "150", "107", "100"],
    )
    assert (best.category, best.tiles[0].product_id, len(best.tiles)) == ("", "0", TILES)
    strangers, _ = store.page(subject(1), "home").slots
    assert (strangers.category, strangers.tiles[0]) == (
        "SOFT DRINKS",
        best.tiles[0],
    )  # that of the best seller


def test_at_most_six_own_products_and_none_that_left_the_catalogue(tmp_path):
    rows = [{**row, "widgets": ["category:1", "trending"]} for row in nights.layouts([0], pages=("home",))]
    products = [*(str(100 + n) for n in range(20, 28)), "no longer there"]
    own = {
        "list_key": f"own:{subject(0)}:CHEESE",
        "kind": "own",
        "subject": subject(0),
        "category": "CHEESE",
        "products": ["no longer there", *products],
    }
    export(str(tmp_path), nights.night(), nights.inputs(rows, [*nights.lists(), own]))
    tiles = Store.open(tmp_path, clock=at(NOON)).page(subject(0), "home").slots[0].tiles
    assert sum(tile.is_own for tile in tiles) == OWN_TILES - 1
    assert [tile.product_id for tile in tiles][:6] == ["120", "121", "122", "123", "124", "100"]


def test_what_was_bought_lately_stands_last_where_the_page_says_so_but_not_to_buy_again(tmp_path):
    shown_on = ["category:1", "bestsellers", "again"]
    rows = [
        {**layout, **{name: layout[name][:1] * 3 for name in ("scores", "propensities", "reasons")}}
        for layout in nights.layouts([0, 1])
    ]
    rows = [{**row, "widgets": shown_on} for row in rows]
    lists = {"CHEESE": ["105", "107"], "buy again": ["2", "105"], "bought in 7 days": ["105", "2", "101"]}
    own = [
        {"list_key": f"own:{subject(0)}:{name}", "kind": "own", "subject": subject(0), "category": name,
         "products": products}
        for name, products in lists.items()
    ]  # fmt: skip
    given = nights.inputs(rows, [*nights.lists(), *own])
    again = {"widget": "again", "kind": "carousel", "purpose": "buy again"}
    widgets = [{**row, "pages": ["home", "start"]} for row in (*given.widgets.to_pylist(), again)]
    of_pages = pa.Table.from_pylist(widgets, schema=given.widgets.schema)
    export(str(tmp_path), nights.night(), replace(given, widgets=of_pages, bought={"home": 7}))
    store = Store.open(tmp_path, clock=at(NOON))

    def shown(who, page):
        return [[tile.product_id for tile in slot.tiles] for slot in store.page(who, page).slots]

    cheese, best, bought = shown(subject(0), "home")
    # What was bought has the last places, in the order in which it would have stood.
    assert cheese == ["107", "100", "102", "103", "104", "106", "108", "109", "110", "111", "105", "101"]
    assert best == ["0", "1", *(str(n) for n in range(3, 12)), "2"]
    assert bought == ["2", "105"]
    cheese, best, _ = shown(subject(0), "start")
    assert (cheese[:3], best[:3]) == (["105", "107", "100"], ["0", "1", "2"])
    assert shown(subject(1), "home")[1][:3] == ["0", "1", "2"]


def test_many_threads_share_a_store(folder):
    store = Store.open(folder, clock=at(NOON))
    start = threading.Barrier(8)

    def read(worker):
        start.wait()
        return [store.get(subject((worker + n) % 20), "home").draw_id for n in range(500)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, range(8)))
    for worker, ids in enumerate(found):
        assert ids == [layout(subject((worker + n) % 20), "home")["draw_id"] for n in range(500)]


def test_threads_at_two_generations_get_the_variants_of_their_own(folder):
    store = Store.open(folder, clock=at(NOON))
    before = store.generation()
    rows = nights.layouts(range(20), pages=("home", "home@phone", "start"))
    night = nights.night(DAY + timedelta(1))
    export(
        str(folder),
        night,
        replace(nights.on_home(nights.inputs(rows)), variants={"home": {"device": ["desktop", "phone"]}}),
    )
    after = Store.open(folder, clock=at(NOON)).generation()
    wanted = {before.pointer.generation: "", after.pointer.generation: "phone"}

    def ask(worker):
        mine = (before, after)[worker % 2]
        told = {store.variant("home", device="phone", of=mine) for _ in range(3_000)}
        return mine.pointer.generation, told

    assert len(wanted) == 2
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for generation, told in pool.map(ask, range(4)):
                assert told == {wanted[generation]}
    finally:
        sys.setswitchinterval(usual)


def test_a_forked_process_reads_what_its_parent_opened_and_what_comes_after(folder):
    store = Store.open(folder, clock=at(NOON))
    assert store.get(subject(3), "home").generation == 1
    context = get_context("fork")
    ours, theirs = context.Pipe()

    def child():
        theirs.send(
            (store.get(subject(3), "home"), Store.open(folder, clock=at(NOON)).get(subject(4), "home"))
        )
        theirs.recv()
        theirs.send(store.get(subject(3), "home"))

    process = context.Process(target=child)
    process.start()
    assert [found.generation for found in ours.recv()] == [1, 1]
    export(str(folder), nights.night(DAY + timedelta(1)), nights.inputs(nights.layouts(range(20), {3: 1})))
    ours.send("go on")
    assert ours.recv().draw_id == layout(subject(3), "home", 1)["draw_id"]
    process.join()
    assert process.exitcode == 0


def test_old_generations_are_let_go(folder):
    store = Store.open(folder, clock=at(NOON))
    for night in range(1, 5):
        rows = nights.layouts(range(20), {3: night})
        export(str(folder), nights.night(DAY + timedelta(night)), nights.inputs(rows))
        assert store.get(subject(3), "home").generation == night + 1
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    mapped = [line for line in maps if str(folder) in line]
    assert len({line.split()[4] for line in mapped}) == 1, os.linesep.join(mapped)


def test_status_tells_what_is_live_and_what_stands_behind(folder):
    export(str(folder), nights.night(DAY + timedelta(1)), nights.inputs(nights.layouts(range(5))))
    told = status(folder, FRESH_UNTIL)
    assert (told.state, told.live.generation, told.live.colour, told.dormant_generation) == (
        "fresh",
        2,
        "blue",
        1,
    )
    assert told.lines()[0] == "generation 2 on blue, fresh"
    assert told.defaults == {"home": 64, "start": 64}
    assert status(folder, VALID_UNTIL + timedelta(1)).state == "past its validity"
    assert default_key("home", 3) == b"default:home:03"
