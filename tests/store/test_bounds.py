"""Bounds: what is too far from the night before is not shown, unless there is a reason for it."""

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from jobs.store import Store, live
from jobs.store.bounds import Bounds, Moves, PageFigures, aged, judge
from jobs.store.export import Refused, export
from jobs.store.heartbeat import Heartbeat, read_heartbeat
from tests.store import given as nights
from tests.store.given import DAY, NOON, subject

BOUNDS = Bounds(changed=0.5, gone=0.25, reward=2.0)
TERMS = {"policy": "linucb-home", "rules": "2 positions", "choice of widgets": "20"}
BEFORE = {"home": PageFigures(100, 1.0, TERMS)}
OFF = {"changed": Moves(changed=60), "gone": Moves(gone=30)}


@pytest.mark.parametrize(
    ("figures", "moves", "says"),
    [
        ((100, 1.0), Moves(), ""),
        ((100, 1.0), Moves(changed=50), ""),
        ((100, 1.0), Moves(changed=51), "51 of 100 layouts are others than the night before, more than 50%"),
        ((90, 1.0), Moves(changed=46, gone=10), "46 of 90 layouts are others"),
        ((175, 1.0), Moves(new=100, gone=25), ""),
        ((74, 1.0), Moves(gone=26), "26 of 100 subjects have no layout any more, more than 25%"),
        ((100, 2.0), Moves(), ""),
        ((100, 2.1), Moves(), "reward of a layout went from 1 to 2.1, more than by the factor 2"),
        ((100, 0.49), Moves(), "went from 1 to 0.49"),
        ((100, 0.0), Moves(), "went from 1 to 0"),
        ((100, -1.0), Moves(), "went from 1 to -1"),
    ],
)
def test_figures_and_moves_are_held_to_their_bounds(figures, moves, says):
    verdict = judge(BEFORE, {"home": PageFigures(*figures, TERMS)}, {"home": moves}, 1, BOUNDS)
    assert (bool(verdict.problem), verdict.off) == (bool(says), "")
    assert says in verdict.problem


@pytest.mark.parametrize("term", sorted(TERMS))
def test_a_page_with_other_terms_may_be_wholly_other_and_only_it(term):
    now = {"home": PageFigures(10, 9.0, {**TERMS, term: "another"})}
    moves = {"home": Moves(changed=10, gone=90)}
    verdict = judge(BEFORE, now, moves, 1, BOUNDS)
    assert (verdict.problem, verdict.off) == (
        "",
        f"page home has another {term}: another instead of {TERMS[term]}",
    )
    both = judge(
        {**BEFORE, "start": BEFORE["home"]},
        {**now, "start": PageFigures(100, 1.0, TERMS)},
        {**moves, "start": Moves(changed=99)},
        1,
        BOUNDS,
    )
    assert both.problem.startswith("on page start 99 of 100 layouts are others")


def test_pages_come_and_go_and_learn_their_first():
    now = {"start": PageFigures(5, 1.0, TERMS)}
    assert judge(BEFORE, now, {}, 1, BOUNDS).off == "page home is no more; page start is new"
    nothing = {"home": PageFigures(100, 0.0, TERMS)}
    assert judge(nothing, BEFORE, {}, 1, BOUNDS).problem == ""
    assert judge({}, BEFORE, {}, 0, BOUNDS).off == "there is no generation before it to compare with"


def test_after_several_nights_any_layout_may_have_changed_but_not_left():
    moves = Moves(changed=100)
    verdict = judge(BEFORE, BEFORE, {"home": moves}, 3, BOUNDS)
    assert (verdict.problem, "3 nights older" in verdict.off) == ("", True)
    assert "no layout any more" in judge(BEFORE, BEFORE, {"home": Moves(gone=26)}, 3, BOUNDS).problem


def test_the_default_bounds_nothing():
    far = {"home": PageFigures(1, -5.0, TERMS)}
    assert judge(BEFORE, far, {"home": Moves(changed=1, gone=99)}, 1, Bounds()).problem == ""


@pytest.mark.parametrize(("age", "is_held"), [(0, False), (1, False), (3, False), (4, True), (None, True)])
def test_how_many_are_others_is_bound_once_a_page_is_older_than_what_late_data_rebuilds(age, is_held):
    bounds = replace(BOUNDS, late_days=3)
    ages = {} if age is None else {"home": age}
    verdict = judge(BEFORE, BEFORE, {"home": Moves(changed=100)}, 1, bounds, ages=ages)
    told = "on page home 100 of 100 layouts are others than the night before, more than 50%"
    assert verdict.problem == (told if is_held else "")
    if not is_held:
        nights = "1 night" if age == 1 else f"{age} nights"
        assert verdict.off == (
            f"{told}, as they may: it has been drawn by its terms for {nights} only, and late data rebuilds"
            " the last 3 days"
        )
    # What was not too much needs no word, and neither gone nor the reward has an age.
    assert judge(BEFORE, BEFORE, {"home": Moves(changed=50)}, 1, bounds, ages=ages).off == ""
    now = {"home": PageFigures(74, 2.1, TERMS)}
    few = judge(BEFORE, now, {"home": Moves(gone=26)}, 1, bounds, ages=ages)
    assert ("26 of 100 subjects" in few.problem, "from 1 to 2.1" in few.problem) == (True, True)


def test_a_page_ages_by_nights_until_its_terms_are_others():
    before = dict.fromkeys(("home", "start", "untold", "gone"), PageFigures(100, 1.0, TERMS))
    ages = {"home": 5, "start": 5, "gone": 5}
    now = {
        "home": PageFigures(90, 2.0, TERMS),
        "start": PageFigures(90, 2.0, {**TERMS, "policy": "lints-start"}),
        "untold": PageFigures(90, 2.0, TERMS),
        "new": PageFigures(90, 2.0, TERMS),
    }
    assert aged(ages, before, now, 2) == {"home": 7, "start": 0, "new": 0}
    assert aged({}, {}, {"home": now["home"]}, 0) == {"home": 0}


def rows(subjects, epochs=None, spec="linucb-{}@1"):
    return [
        {**row, "policy_version": spec.format(row["page"])} for row in nights.layouts(subjects, epochs or {})
    ]


def night(days=0, **more):
    return replace(nights.night(DAY + timedelta(days)), bounds=BOUNDS, **more)


def test_a_night_beyond_its_bounds_leaves_the_one_before_until_a_person_accepts_it(tmp_path):
    folder, moved = str(tmp_path), dict.fromkeys(range(6), 1)
    export(folder, night(), nights.inputs(rows(range(10))))
    before = (live(tmp_path), sorted(path.name for path in tmp_path.iterdir()))
    with pytest.raises(
        Refused, match=r"on page home 6 of 10 layouts are others.*page start 6 of 10.*--with accept"
    ) as no:
        export(folder, night(1), nights.inputs(rows(range(10), moved)))
    assert (live(tmp_path), sorted(path.name for path in tmp_path.iterdir())) == before
    assert Store.open(tmp_path, clock=lambda: NOON).get(subject(3), "home").generation == 1
    row = no.value.row
    assert (row["generation"], row["verified"], row["flipped_at"], row["valid_until"]) == (
        2,
        False,
        None,
        None,
    )
    assert row["why"].startswith(
        "on page home 6 of 10 layouts are others than the night before, more than 50%"
    )

    done = export(folder, night(1, accepted="a week of sales"), nights.inputs(rows(range(10), moved)))
    assert (done.outcome, done.row()["verified"]) == ("exported", True)
    assert done.row()["why"].startswith("accepted: a week of sales; on page home 6 of 10")
    assert "Bounds did not hold: accepted: a week of sales" in done.message
    again = export(folder, night(1), nights.inputs(rows(range(10), moved)))
    # What moved is kept by the run that moved it.
    assert (again.outcome, again.row()) == ("unchanged", {**done.row(), "moved": {}})


def test_a_new_live_policy_and_other_rules_are_reasons_by_themselves(tmp_path):
    folder, moved = str(tmp_path), dict.fromkeys(range(10), 1)
    export(folder, night(rules={"home": "2 positions"}), nights.inputs(rows(range(10))))
    new = rows(range(10), moved, "lints-{}@2")
    done = export(folder, night(1, rules={"home": "2 positions"}), nights.inputs(new))
    assert done.row()["why"] == (
        "page home has another policy: lints-home instead of linucb-home;"
        " page start has another policy: lints-start instead of linucb-start"
    )
    # A refit of the same policy is no reason.
    with pytest.raises(Refused, match="10 of 10 layouts"):
        export(folder, night(2), nights.inputs(rows(range(10), dict.fromkeys(range(10), 2), "lints-{}@3")))
    other = night(2, rules={"home": "3 positions"})
    with pytest.raises(Refused, match=r"on page start 10 of 10 layouts") as no:
        export(folder, other, nights.inputs(rows(range(10), dict.fromkeys(range(10), 2), "lints-{}@3")))
    assert "page home" not in no.value.row["why"]


def test_a_night_on_which_many_left_is_refused(tmp_path):
    export(str(tmp_path), night(), nights.inputs(rows(range(10))))
    with pytest.raises(Refused, match="3 of 10 subjects have no layout any more, more than 25%"):
        export(str(tmp_path), night(1), nights.inputs(rows(range(3, 10))))


def test_a_fresh_shops_nights_may_be_wholly_others_until_some_of_their_days_stand(tmp_path):
    folder, bounds = str(tmp_path), replace(BOUNDS, late_days=2)
    for days in range(4):
        drawn = nights.inputs(rows(range(10), dict.fromkeys(range(10), days)))
        tonight = replace(nights.night(DAY + timedelta(days)), bounds=bounds)
        if days == 3:
            with pytest.raises(Refused, match="on page home 10 of 10 layouts are others"):
                export(folder, tonight, drawn)
            continue
        done = export(folder, tonight, drawn)
        assert (done.outcome, done.heartbeat.ages) == ("exported", {"home": days, "start": days})
        assert ("10 of 10 layouts are others" in done.message) == (days > 0)


@dataclass
class FiguresBefore:
    """What a page's figures are in the release that knows no ages, and nothing else."""

    layouts: int = 0
    reward: float = 0.0
    terms: dict[str, str] = field(default_factory=dict)


FIELDS_BEFORE = {
    "generation", "layout_date", "digest", "keys", "size", "layouts", "defaults", "pages", "why",
}  # fmt: skip
"""Of a heartbeat, there."""


def read_before(value):
    """Read a heartbeat as that release does."""
    content = json.loads(value)
    content["pages"] = {page: FiguresBefore(**of) for page, of in content.get("pages", {}).items()}
    return {name: content[name] for name in FIELDS_BEFORE}


def without_ages(value):
    """Return a heartbeat as that release writes it."""
    content = json.loads(value)
    assert content.keys() - FIELDS_BEFORE == {"ages"}
    return json.dumps({name: content[name] for name in FIELDS_BEFORE}).encode()


def a_heartbeat(**more):
    return Heartbeat(7, DAY.isoformat(), "d1", 30, 900, 20, {"home": 2}, dict(BEFORE), "why", **more)


def test_the_release_before_reads_a_heartbeat_with_ages():
    found = read_before(a_heartbeat(ages={"home": 4}).value())
    assert found["pages"] == {"home": FiguresBefore(100, 1.0, TERMS)}
    assert (found["generation"], found["digest"], found["why"]) == (7, "d1", "why")


def test_a_heartbeat_reads_back_whatever_release_wrote_it():
    told = a_heartbeat(ages={"home": 4})
    assert read_heartbeat(told.value(), "blue") == told
    assert read_heartbeat(without_ages(told.value()), "blue") == a_heartbeat()
    later = json.loads(told.value())
    later["pages"]["home"]["age"] = 4
    assert read_heartbeat(json.dumps({**later, "more": 1}).encode(), "blue") == told


def test_the_bound_holds_at_once_after_an_upgrade(tmp_path, monkeypatch):
    """The live generation is of the release before: nobody knows its age, so it is old enough."""
    folder, bounds = str(tmp_path), replace(BOUNDS, late_days=2)
    tonight = [replace(nights.night(DAY + timedelta(days)), bounds=bounds) for days in range(3)]
    with monkeypatch.context() as of_before:
        value = Heartbeat.value
        of_before.setattr(Heartbeat, "value", lambda self: without_ages(value(self)))
        of_before.setattr("jobs.store.export.aged", lambda *_: {})
        export(folder, tonight[0], nights.inputs(rows(range(10))))
    with pytest.raises(Refused, match="on page home 10 of 10 layouts are others"):
        export(folder, tonight[1], nights.inputs(rows(range(10), dict.fromkeys(range(10), 1))))
    few = export(folder, tonight[1], nights.inputs(rows(range(10), dict.fromkeys(range(5), 1))))
    assert (few.outcome, few.heartbeat.ages, few.heartbeat.why) == ("exported", {}, "")
    # Other terms begin to count anew.
    new = rows(range(10), dict.fromkeys(range(10), 2), "lints-{}@2")
    assert export(folder, tonight[2], nights.inputs(new)).heartbeat.ages == {"home": 0, "start": 0}
