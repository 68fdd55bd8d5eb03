"""misses: an answer at once, a fuller one from the next request on, and bounds on both."""

import json
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from jobs.misses import Behind, Misses
from jobs.misses import _read as made
from jobs.on_request import Known, Ranker
from jobs.store import Store
from jobs.store.export import export
from jobs.store.pages import bought_list, own_categories
from tests.jobs.test_on_request import ABOUT, CATEGORIES, STATIC, WIDGETS, steered
from tests.store import given as nights
from tests.store.given import DAY, subject

SERVES = nights.NOON.date()


def policy(**other):
    return {**ABOUT, **other}


def exported(folder, **other):
    """Export a night in which subject 1 has a layout and own products, 2 own products alone."""
    rows = nights.layouts([1], pages=("home",))
    inputs = nights.inputs(rows, nights.lists([1, 2]))
    export(str(folder), nights.night(), replace(inputs, policies={"home": policy(**other)}))
    return Store.open(f"lmdb:{folder}", clock="generation")


@pytest.fixture
def misses(tmp_path):
    return Misses(exported(tmp_path))


def plain(known, who="k1-new"):
    """What the ranker says of its own; categories of the store's widgets are other ones."""
    shown = {"category:0": nights.CATEGORIES[0], "category:1": nights.CATEGORIES[1]}
    return Ranker(json.dumps(ABOUT, separators=(",", ":")).encode(), shown).rank(who, SERVES, known)


def test_at_once_by_the_request_then_with_what_the_store_knows(misses):
    who = subject(2)  # bought CHEESE and BREAD most: nights.own_lists; category:1 shows CHEESE
    known = Known("consultant", recent=("SOFT DRINKS",))
    first = misses.answer(who, "home", known)
    assert (first.layout.freshness, first.candidates) == ("degraded", WIDGETS)
    wanted = plain(known, who)
    assert (first.layout.widgets, first.layout.propensities) == (wanted.widgets, wanted.propensities)
    assert (first.layout.draw_id, first.layout.generation) == (wanted.draw_id, 1)
    misses.behind.done()
    second = misses.answer(who, "home", known)
    own = tuple(sorted({row["category"] for row in nights.own_lists(2)}, key=nights.CATEGORIES.index))
    fuller = plain(Known("consultant", recent=("SOFT DRINKS", *own), has_orders=True), who)
    assert second.layout.freshness == "ranked"
    assert dict(zip(second.layout.widgets, second.layout.scores, strict=True)) == pytest.approx(
        dict(zip(fuller.widgets, fuller.scores, strict=True))
    )
    assert second.layout.propensities == pytest.approx(fuller.propensities)
    assert misses.answer(who, "home", Known("customer")).layout.freshness == "degraded"


def test_pages_are_ranked_once_before_anybody_asks(tmp_path, misses, monkeypatch):
    ranked, rank = [], Ranker.rank
    monkeypatch.setattr(Ranker, "rank", lambda self, *asked: ranked.append(self.page) or rank(self, *asked))
    misses.warm()
    assert ranked == ["home"]
    assert misses.behind._thread is None
    Misses(Store.open(tmp_path / "nowhere")).warm()


def test_a_users_device_tells_what_it_bought(misses):
    misses.answer("k1-new", "home", Known(), [subject(2)])
    misses.answer("k1-new", "home", Known())
    misses.behind.done()
    with_device = misses.answer("k1-new", "home", Known(), [subject(2)]).layout
    alone = misses.answer("k1-new", "home", Known()).layout
    assert with_device.freshness == alone.freshness == "ranked"
    assert with_device.draw_id != alone.draw_id
    assert alone.draw_id == plain(Known()).draw_id


def test_the_next_generation_ranks_anew(tmp_path, misses):
    misses.answer("k1-new", "home", Known())
    misses.behind.done()
    inputs = nights.inputs(nights.layouts([1], pages=("home",)), nights.lists())
    other = replace(inputs, policies={"home": policy(policy_version="linucb-home@2017-12-31")})
    export(str(tmp_path), nights.night(DAY.replace(day=31)), other)
    found = misses.answer("k1-new", "home", Known()).layout
    assert (found.freshness, found.generation) == ("degraded", 2)
    assert found.policy_version == "request:linucb-home@2017-12-31"


@pytest.mark.parametrize("page", ["start", "nowhere"])
def test_a_page_without_a_policy_is_the_readers(misses, page):
    assert misses.answer("k1-new", page, Known()) is None


def test_a_policy_of_a_later_format_is_the_readers(tmp_path):
    assert Misses(exported(tmp_path, format=3)).answer("k1-new", "home", Known()) is None


def test_a_page_under_rules_is_ranked_for_whom_they_leave_something(tmp_path):
    of_the_north = {widget: {"regions": ["North"]} for widget in WIDGETS}
    misses = Misses(exported(tmp_path, **steered(pins={"1": "trending"}, eligible=of_the_north)))
    assert misses.answer("k1-new", "home", Known("consultant")) is None
    assert misses.behind._thread is None  # nothing to rank more fully
    found = misses.answer("k1-new", "home", Known(region="North", variant="phone"))
    assert (found.layout.widgets[0], found.layout.propensities[0]) == ("trending", 1.0)
    assert (found.layout.freshness, found.layout.variant) == ("degraded", "phone")
    assert json.loads(found.rules)["pins"] == [2, -1]
    misses.behind.done()
    assert misses.answer("k1-new", "home", Known(region="North")).layout.freshness == "degraded"
    ranked = misses.answer("k1-new", "home", Known(region="North", variant="phone"))
    assert (ranked.layout.freshness, ranked.rules) == ("ranked", found.rules)


def test_what_waits_and_what_is_kept_are_bounded():
    behind, go, made = Behind(kept=2, waiting=2), threading.Event(), []

    def make(number):
        go.wait()
        made.append(number)
        return number

    begun = threading.Event()
    behind.ask("first", lambda: (begun.set(), make("first"))[1])
    assert begun.wait(10)
    for number in range(5):
        behind.ask(number, lambda number=number: make(number))
        behind.ask(number, lambda number=number: make(number))
    go.set()
    behind.done()
    assert made == ["first", 0, 1]
    assert [behind.kept(key) for key in ("first", 0, 1, 2)] == [None, 0, 1, None]
    behind.kept(0)
    behind.ask(9, lambda: make(9))
    behind.done()
    assert [behind.kept(key) for key in (0, 1, 9)] == [0, None, 9]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_foresaw_stops_only_the_answer_that_had_it():
    behind = Behind()

    def broken():
        raise ZeroDivisionError

    behind.ask("broken", broken)
    behind.done()
    behind._thread.join(10)
    behind.ask("next", lambda: "made")
    behind.done()
    assert [behind.kept(key) for key in ("broken", "next")] == [None, "made"]
    behind.ask("broken", lambda: "made now")
    behind.done()
    assert behind.kept("broken") == "made now"


def test_static_numbers_are_of_the_widgets_that_the_tests_rank():
    assert {name.removeprefix("share/") for name in STATIC} == set(CATEGORIES)


def test_lists_that_are_of_no_category_are_taken_for_none():
    own = {
        "category1": "CHEESE",
        "CHEESE": ["1"],
        "MILK": ["2"],
        "buy again": ["1"],
        bought_list(7): ["1", "2"],
    }
    assert own_categories(own) == ["CHEESE", "CHEESE", "MILK"]
    assert own_categories({"recently viewed": ["3"]}) == []


def test_requests_of_two_generations_at_a_flip_keep_a_ranker_each(tmp_path, monkeypatch):
    store, read = exported(tmp_path), []
    monkeypatch.setattr(
        "jobs.misses._read", lambda of, page: read.append(of.pointer.generation) or made(of, page)
    )
    before = store.generation()
    export(
        str(tmp_path), nights.night(DAY + timedelta(1)), nights.inputs(nights.layouts([1], pages=("home",)))
    )
    after, misses = Store.open(tmp_path, clock="generation").generation(), Misses(store)
    for generation in (before, after) * 3:
        found = misses.answer("k1-new", "home", Known(), of=generation)
        assert (found is not None) == (generation is before)  # the second night has no policy
    assert read == [1, 2]
