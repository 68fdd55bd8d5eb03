"""What every backend must do, whatever it keeps its keys in."""

from datetime import timedelta

import numpy as np
import pytest

from jobs.store import Store, StoreError, StoreGone, status
from jobs.store.care import collect, diff, rollback, verify
from jobs.store.export import ExportError
from jobs.store.reader import BUILT_IN, NO_SUBJECT
from tests.store import crash
from tests.store import given as nights
from tests.store.given import DAY, NOON, layout, subject

ZONE = "America/New_York"


def night(days=0, run="run-1"):
    return nights.night(DAY + timedelta(days), run)


def two_nights(place):
    """Export two nights: on the second subject 3 moved, 0 left and 20 came."""
    for epoch, subjects in ((0, range(20)), (1, range(1, 21))):
        done = place.export(
            night(epoch), nights.inputs(nights.layouts(subjects, {3: epoch}), nights.lists(range(9)))
        )
    return done


def test_a_layout_and_its_products_are_what_the_tables_hold(place):
    done = place.export(night(), nights.inputs(nights.layouts(range(5)), nights.lists(range(5))))
    assert (done.outcome, done.live.colour, done.live.layouts, done.live.changed) == (
        "exported",
        "maize",
        10,
        done.live.keys,
    )
    store = place.store()
    for number in range(5):
        row, page = layout(subject(number), "home"), store.page(subject(number), "home")
        assert (page.layout.freshness, page.layout.why, page.layout.generation) == ("fresh", "", 1)
        assert (page.layout.draw_id, list(page.layout.widgets)) == (row["draw_id"], row["widgets"])
        assert page.layout.propensities == tuple(np.float32(row["propensities"]).tolist())
        assert page == place.store().page(subject(number), "home")
        assert all(slot.tiles for slot in page.slots)
    assert store.products("bestsellers", "nothing") == {
        "bestsellers": tuple(str(n) for n in range(12)),
        "nothing": (),
    }
    assert (store.get("nobody", "home").freshness, store.get("nobody", "home").why) == (
        "fallback",
        NO_SUBJECT,
    )


def test_all_backends_hold_the_same_generation(place, tmp_path_factory):
    done = two_nights(place)
    plain = type(place)(f"lmdb:{tmp_path_factory.mktemp('plain')}", place.terms)
    assert two_nights(plain).live == done.live
    assert plain.content() == place.content()


def test_the_next_night_moves_readers_and_deletes_who_left(place):
    store = place.store()
    two_nights(place)
    assert (place.live().generation, place.live().colour) == (2, "blue")
    third = {3: 1, 4: 2}
    done = place.export(night(2), nights.inputs(nights.layouts(range(2, 22), third), nights.lists(range(9))))
    assert (done.live.colour, done.live.changed) == ("maize", 2 * 3 + 1)
    keys = place.content()
    gone = [f"layout:{page}:{subject(n)}".encode() for page in ("home", "start") for n in (0, 1)]
    assert not keys.keys() & set(gone)
    assert store.get(subject(4), "home").draw_id == layout(subject(4), "home", 2)["draw_id"]
    assert store.get(subject(0), "home").why == NO_SUBJECT
    assert verify(place.url).startswith("Generation 3 on maize is whole")


def test_the_live_night_again_older_nights_and_other_inputs_export_nothing(place):
    rows = nights.layouts(range(5))
    first = place.export(night(1), nights.inputs(rows))
    again = place.export(night(1, "run-2"), nights.inputs(rows))
    other = place.export(night(1, "run-3"), nights.inputs(nights.layouts(range(5), {2: 1})))
    older = place.export(night(0, "run-4"), nights.inputs(rows))
    assert [one.outcome for one in (again, other, older)] == ["unchanged", "other_inputs", "older"]
    assert again.live == other.live == older.live == first.live == place.live()


def test_operators_diff_verify_roll_back_and_clear_up(place):
    two_nights(place)
    assert diff(place.url)[0] == "7 keys differ between generation 1 and generation 2 (live)"
    told = status(place.url, NOON + timedelta(1))
    assert (told.state, told.dormant_generation, told.defaults) == ("fresh", 1, {"home": 64, "start": 64})
    store = place.store()
    assert store.get(subject(3), "home").generation == 2
    assert rollback(place.url, ZONE, NOON, place.terms) == (
        f"Generation 1 of {DAY} is live again on maize; generation 2 is withdrawn."
    )
    assert place.store().get(subject(3), "home").draw_id == layout(subject(3), "home", 0)["draw_id"]
    assert collect(place.url, place.terms) == ["Nothing was left behind."]
    done = place.export(night(3), nights.inputs(nights.layouts(range(20), {3: 3})), numbered_after=2)
    assert (done.live.generation, done.live.colour) == (3, "blue")


def test_a_store_that_is_not_there_is_a_typed_error_with_a_page_to_show(place):
    store = Store.open(place.url)
    for ask in (store.get, store.page):
        with pytest.raises(StoreGone, match="run the export") as gone:
            ask("k1-a", "home")
        assert gone.value.layout.widgets == BUILT_IN
    assert status(place.url, NOON).state == "empty"
    assert collect(place.url, place.terms) == ["There is no store yet: nothing to remove."]


def test_what_is_not_fit_to_be_shown_leaves_the_night_before(place):
    two_nights(place)
    before = place.live()
    with pytest.raises(ExportError, match="no default variants"):
        place.export(night(2), nights.inputs([layout(subject(1), "home")]))
    with pytest.raises(StoreError, match="Two rows are for the key"):
        place.export(night(2), nights.inputs([*nights.layouts(range(5)), layout(subject(3), "home", 1)]))
    assert place.live() == before
    assert place.store().get(subject(3), "home").generation == 2
    done = place.export(night(2), nights.inputs(nights.layouts(range(20), {3: 2})))
    assert (done.outcome, place.store().get(subject(3), "home").generation) == ("exported", 3)


@pytest.mark.parametrize("where", ["begun", "filled", "finished", "verified", "installed", "flipped"])
def test_what_fails_at_any_step_leaves_a_whole_generation_and_a_rerun_mends_it(place, where):
    place.export(night(), crash.first())

    def fail(step):
        if step == where:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.export(night(1, "run-2"), crash.second(), step=fail)
    epoch = 1 if where == "flipped" else 0
    assert crash.epochs_of(place.store()) == {epoch}
    done = place.export(night(1, "run-2"), crash.second())
    assert (done.outcome, done.live.generation) == ("unchanged" if epoch else "exported", 2)
    assert crash.epochs_of(place.store()) == {1}
    assert verify(place.url).startswith("Generation 2 on blue is whole")
