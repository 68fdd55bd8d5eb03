"""What operators do by hand: diff, verify, rollback, gc."""

import json
import threading
import time
from datetime import timedelta

import lmdb
import pytest

from jobs.store import Store, StoreError, live, open_live
from jobs.store.care import collect, diff, rollback, verify
from jobs.store.export import export
from tests.store import given as nights
from tests.store.given import DAY, NOON, layout, subject

AT = NOON + timedelta(1)
ZONE = "America/New_York"


def second_night(folder):
    """Export two nights: on the second subject 3 moved, 0 left and 20 came."""
    for epoch, subjects in ((0, range(20)), (1, range(1, 21))):
        rows = nights.layouts(subjects, {3: epoch})
        export(str(folder), nights.night(DAY + timedelta(epoch), f"run-{epoch}"), nights.inputs(rows))


def test_diff_counts_new_changed_and_gone_keys_by_kind(tmp_path):
    second_night(tmp_path)
    told = diff(tmp_path)
    assert told[0] == f"{live(tmp_path).changed} keys differ between generation 1 and generation 2 (live)"
    assert told[1:] == ["           6 layout", "           1 names"]
    assert live(tmp_path).changed == 7


def test_rollback_moves_readers_to_the_night_before_for_as_long_as_the_withdrawn_one_had(tmp_path):
    second_night(tmp_path)
    store, withdrawn = Store.open(tmp_path, clock=lambda: AT), live(tmp_path)
    assert store.get(subject(3), "home").generation == 2
    assert rollback(tmp_path, ZONE, AT) == (
        f"Generation 1 of {DAY} is live again on maize; generation 2 is withdrawn."
    )
    found = store.get(subject(3), "home")
    assert (found.generation, found.draw_id) == (1, layout(subject(3), "home", 0)["draw_id"])
    assert found.freshness == "stale"
    now = live(tmp_path)
    assert (now.layout_date, now.valid_until, now.flipped_at) == (DAY, withdrawn.valid_until, AT)
    assert (now.changed, now.run_id) == (withdrawn.changed, "rollback")
    assert verify(tmp_path).startswith("Generation 1 on maize is whole")
    with pytest.raises(StoreError, match="nothing to roll back to"):
        rollback(tmp_path, ZONE, AT)


def test_the_night_after_a_rollback_is_exported_over_the_withdrawn_colour(tmp_path):
    second_night(tmp_path)
    rollback(tmp_path, ZONE, AT)
    rows = nights.layouts(range(20), {3: 2})
    done = export(str(tmp_path), nights.night(DAY + timedelta(2)), nights.inputs(rows), numbered_after=2)
    assert (done.outcome, done.live.generation, done.live.colour) == ("exported", 3, "blue")
    assert Store.open(tmp_path, clock=lambda: NOON).get(subject(3), "home").generation == 3


def test_a_rollback_under_readers_loses_no_read(tmp_path):
    second_night(tmp_path)
    store, seen, over = Store.open(tmp_path, clock=lambda: AT), set(), threading.Event()
    wrong = []

    def read():
        while True:
            last = over.is_set()
            found = store.get(subject(3), "home")
            seen.add(found.generation)
            if found.draw_id != layout(subject(3), "home", found.generation - 1)["draw_id"]:
                wrong.append(found)
            if last:
                return

    reader = threading.Thread(target=read)
    reader.start()
    while not seen:
        pass
    rollback(tmp_path, ZONE, AT)
    patience = time.monotonic() + 20
    while 1 not in seen and time.monotonic() < patience:
        time.sleep(0.005)
    over.set()
    reader.join()
    assert (seen, wrong) == ({1, 2}, [])


def test_a_damaged_generation_is_not_rolled_back_to(tmp_path):
    second_night(tmp_path)
    with lmdb.open(str(tmp_path / "maize.lmdb"), subdir=False, lock=False) as env, env.begin(write=True) as w:
        w.delete(f"layout:home:{subject(5)}".encode())
    before = (tmp_path / "live.json").read_bytes()
    with pytest.raises(StoreError, match=r"maize\.lmdb is damaged: its keys came out as"):
        rollback(tmp_path, ZONE, AT)
    assert (tmp_path / "live.json").read_bytes() == before


def test_a_live_colour_that_is_broken_is_rolled_back_from(tmp_path):
    second_night(tmp_path)
    (tmp_path / "blue.lmdb").write_bytes(b"\0" * 8192)
    with pytest.raises(StoreError, match="no colour"):
        verify(tmp_path)
    rollback(tmp_path, ZONE, AT)
    now = live(tmp_path)
    assert (now.generation, now.changed) == (1, now.keys)
    assert Store.open(tmp_path, clock=lambda: AT).get(subject(3), "home").generation == 1


def test_verify_finds_what_the_pointer_does_not_say(tmp_path):
    second_night(tmp_path)
    at = open_live(tmp_path).pointer
    assert verify(tmp_path) == (
        f"Generation 2 on blue is whole: {at.keys:,} keys, {40 + 128} draws, digest {at.digest}."
    )
    content = json.loads((tmp_path / "live.json").read_text())
    (tmp_path / "live.json").write_text(json.dumps({**content, "digest": "0" * 32}))
    with pytest.raises(StoreError, match="The pointer gives digest 0000"):
        verify(tmp_path)


def test_one_generation_alone_and_none_at_all_are_said_to_be_so(tmp_path):
    with pytest.raises(StoreError, match="run the export"):
        rollback(tmp_path / "nowhere", ZONE, AT)
    assert collect(tmp_path / "nowhere") == ["There is no store yet: nothing to remove."]
    export(str(tmp_path), nights.night(), nights.inputs(nights.layouts(range(2))))
    for ask in (lambda: rollback(tmp_path, ZONE, AT), lambda: diff(tmp_path)):
        with pytest.raises(StoreError, match="blue is empty: generation 1 is the only one"):
            ask()


def test_gc_removes_what_a_killed_export_left_and_nothing_else(tmp_path):
    second_night(tmp_path)
    kept = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "maize.lmdb.building").write_bytes(b"x" * 4096)
    (tmp_path / "live.json.new").write_bytes(b"")
    (tmp_path / "scratch").mkdir()
    assert collect(tmp_path) == ["live.json.new: 0 bytes removed", "maize.lmdb.building: 4,096 bytes removed"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    assert collect(tmp_path) == ["Nothing was left behind."]
