"""Epochs: on which day a draw begins, from what was known by then and nothing else."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.config import Page
from jobs.epochs import Epochs
from jobs.kinds import Kinds

FIRST = date(2017, 9, 1)


def on(day: int) -> date:
    return FIRST + timedelta(day)


def change(
    widget: str, day: int, pages: list[str] | None = None, *, is_deleted: bool = False
) -> dict[str, Any]:
    return {"widget": widget, "changed_date": on(day), "pages": pages or ["home"], "is_deleted": is_deleted}


def epochs(**more: Any) -> Epochs:
    page = Page(page="home", positions=2, policy="p", temperature=0.1, floor=0.0)
    known = {
        "known": [on(day) for day in range(30)],
        "fitted": [on(day) for day in range(30)],
        "changes": [change("bakery", -50), change("trending", -50)],
        "length": 7,
    }
    return Epochs(page, **{**known, **more})


def test_at_the_last_call_only_those_are_candidates_that_do_not_send_the_buyer_back() -> None:
    kinds = Kinds.model_validate(
        {"banner": {"any": {"browsing": False}}, "carousel": {"any": {"browsing": True}}}
    )
    changes = [{**change("bakery", -50), "kind": "carousel"}, {**change("bank", -50), "kind": "banner"}]
    page = epochs().page.model_copy(update={"moment": "last call"})
    at_checkout = replace(epochs(changes=changes, kinds=kinds), page=page)
    assert at_checkout.candidates(on(20)) == ["bank"]
    assert at_checkout.out_of_place(on(20)) == ["bakery"]
    assert epochs(changes=changes, kinds=kinds).out_of_place(on(20)) == []


@pytest.mark.parametrize(
    ("more", "own", "begins"),
    [
        ({}, 14, 14),
        ({}, 20, 20),
        ({"changes": [change("bakery", -50), change("dairy", 25)]}, 15, 15),  # a change to come
        ({"changes": [change("bakery", -50), change("dairy", 16)]}, 15, 16),
        (
            {"changes": [change("bakery", -50), change("dairy", -50), change("dairy", 19, is_deleted=True)]},
            15,
            19,
        ),
        ({"changes": [change("bakery", -50), change("dairy", 16, ["start"])]}, 15, 15),
        ({"known": [on(17), on(18), on(20)]}, 15, 17),
        ({"known": [on(17), on(18), on(20)]}, 19, 20),
        ({"known": [on(16), on(17)]}, 19, 17),
        ({"known": [on(2)]}, 19, 20),  # only defaults can be drawn: by the day itself
        ({"fitted": [on(18), on(20)]}, 15, 18),  # the live spec began on day 18
        ({"fitted": [on(3)]}, 15, 15),  # no refit since, but the policy stays
        ({"fitted": [on(25)]}, 15, 15),  # not yet as of day 20
        ({"fitted": []}, 15, 15),
    ],
)
def test_a_draw_begins_with_the_latest_of_what_begins_one(
    more: dict[str, Any], own: int, begins: int
) -> None:
    assert epochs(**more).begins(on(20), on(own)) == on(begins)


@given(
    day=st.integers(6, 29),
    number=st.integers(0, 6),
    known=st.sets(st.integers(0, 29)),
    fitted=st.sets(st.integers(0, 29)),
)
def test_what_comes_later_changes_no_draw(day: int, number: int, known: set[int], fitted: set[int]) -> None:
    whole = epochs(known=[on(d) for d in sorted(known)], fitted=[on(d) for d in sorted(fitted)])
    cut = epochs(
        known=[on(d) for d in sorted(known) if d <= day], fitted=[on(d) for d in sorted(fitted) if d <= day]
    )
    own = whole.hash_day(on(day), number)
    assert whole.begins(on(day), own) == cut.begins(on(day), own) <= on(day)
    drawn = whole.begins(on(day), own)
    assert whole.policy_day(drawn) == cut.policy_day(drawn)


def test_a_quiet_subject_is_drawn_anew_every_seventh_day() -> None:
    drawn = [epochs().hash_day(on(day), 3) for day in range(28)]
    assert len(set(drawn)) == 5
    assert all(0 <= (on(day) - then).days < 7 for day, then in enumerate(drawn))
    assert {epochs().hash_day(on(20), number) for number in range(7)} == set(epochs().own_days(on(20)))


def test_the_policy_of_a_draw_is_the_newest_as_of_its_day() -> None:
    of = epochs(fitted=[on(3), on(9)])
    assert [of.policy_day(on(day)) for day in (2, 3, 8, 9, 20)] == [None, on(3), on(3), on(9), on(9)]


def test_candidates_are_the_pages_widgets_as_of_the_day() -> None:
    changes = [
        change("trending", 0),
        change("bakery", 0),
        change("dairy", 5),
        change("bakery", 7, ["start"]),
        change("trending", 9, is_deleted=True),
        change("trending", 11),
    ]
    of = epochs(changes=changes)
    assert of.candidates(on(-1)) == []
    assert of.candidates(on(0)) == ["bakery", "trending"]
    assert of.candidates(on(6)) == ["bakery", "dairy", "trending"]
    assert of.candidates(on(8)) == ["dairy", "trending"]
    assert of.candidates(on(10)) == ["dairy"]
    assert of.candidates(on(11)) == ["dairy", "trending"]
