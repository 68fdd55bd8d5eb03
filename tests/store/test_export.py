"""The export: what it writes, when it does not, and that nothing that befalls it reaches a reader."""

import hashlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from jobs.store import Store, live, open_live, status
from jobs.store.care import rollback
from jobs.store.content import TwoRows
from jobs.store.errors import StoreError
from jobs.store.export import ExportError, export
from jobs.store.heartbeat import Heartbeat
from jobs.store.on_lmdb import LOOK_SECONDS, LmdbBuilding, open_colour
from jobs.store.walks import Differences, Tally
from tests.store import crash
from tests.store import given as nights
from tests.store.forks import Forks
from tests.store.given import DAY, NOON, layout, subject

STEPS = ("begun", "filled", "finished", "verified", "installed", "flipped")


def content(folder):
    """Return all keys and values of the live generation."""
    return dict(open_live(Path(folder)).colour.pairs())


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def first_night(folder, rows=None, lists=None):
    return export(
        str(folder), nights.night(), nights.inputs(nights.layouts(range(30)) if rows is None else rows, lists)
    )


def test_a_generation_holds_what_was_given_and_nothing_else(tmp_path):
    done = first_night(tmp_path, lists=nights.lists(range(30)))
    keys = content(tmp_path)
    kinds = {}
    for key in keys:
        kind = key.decode().split(":")[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    assert kinds == {
        "default": 128, "layout": 60, "list": 6, "names": 1, "own": 31, "product": 400, "widget": 24,
    }  # fmt: skip
    assert (done.outcome, done.live.layouts, done.live.keys, done.live.changed) == ("exported", 60, 650, 650)
    assert done.live.size == sum(len(key) + len(value) for key, value in keys.items())
    assert list(keys) == sorted(keys)


def mean_rewards(subjects, epoch=0):
    """Return the mean expected reward of a layout, by page, as plainly as can be."""
    return {
        page: np.mean([np.float32(layout(subject(n), page, epoch)["scores"]).sum() for n in subjects])
        for page in ("home", "start")
    }


def test_exports_row_is_the_generation(tmp_path):
    done = export(
        str(tmp_path), replace(nights.night(), made_from="abc"), nights.inputs(nights.layouts(range(3)))
    )
    assert done.row() == {
        "generation": 1,
        "layout_date": DAY,
        "colour": "maize",
        "layouts": 6,
        "keys": done.live.keys,
        "bytes": done.live.size,
        "changed": done.live.keys,
        "digest": done.live.digest,
        "inputs": "abc",
        "verified": True,
        "flipped_at": datetime(2017, 12, 31, 8, tzinfo=UTC),
        "valid_until": datetime(2018, 1, 3, 5, tzinfo=UTC),
        "run_id": "run-1",
        "rewards": {page: pytest.approx(reward, abs=1e-6) for page, reward in mean_rewards(range(3)).items()},
        "moved": {
            f"{page} {what}": count
            for page in ("home", "start")
            for what, count in (("new", 3), ("changed", 0), ("gone", 0))
        },
        "why": "there is no generation before it to compare with",
    }


@pytest.mark.parametrize(
    ("day", "fresh", "valid"),
    [
        (date(2017, 3, 10), (date(2017, 3, 12), 5), (date(2017, 3, 14), 4)),
        (date(2017, 11, 3), (date(2017, 11, 5), 4), (date(2017, 11, 7), 5)),
    ],
    ids=["summer time begins", "summer time ends"],
)
def test_a_generation_ends_at_midnight_of_the_business_zone_also_when_clocks_change(day, fresh, valid):
    """Midnight in New York is 5 o'clock in UTC, and 4 in summer."""
    at = nights.night(day).pointer("maize", Heartbeat(1, day.isoformat(), "", 0, 0, 0), 0)
    wanted = [datetime(of.year, of.month, of.day, hour, tzinfo=UTC) for of, hour in (fresh, valid)]
    assert [at.fresh_until, at.valid_until] == wanted


def test_the_next_night_counts_what_differs_and_drops_who_left(tmp_path):
    first_night(tmp_path)
    rows = nights.layouts(range(2, 33), {5: 1, 9: 2})
    done = export(str(tmp_path), nights.night(DAY + timedelta(1)), nights.inputs(rows))
    # 2 left, 3 came, 2 changed, on two pages each; new policies changed the names.
    assert (done.live.generation, done.live.colour, done.live.changed) == (2, "blue", 14 + 1)
    keys = content(tmp_path)
    assert f"layout:home:{subject(0)}".encode() not in keys
    assert f"layout:home:{subject(32)}".encode() in keys


def test_an_unchanged_draw_is_an_unchanged_value(tmp_path):
    first_night(tmp_path)
    before = content(tmp_path)
    export(str(tmp_path), nights.night(DAY + timedelta(1)), nights.inputs(nights.layouts(range(30), {5: 1})))
    after = content(tmp_path)
    differing = {key for key in before if before[key] != after[key]}
    assert differing == {b"names", *(f"layout:{page}:{subject(5)}".encode() for page in ("home", "start"))}


def test_the_same_inputs_give_the_same_bytes_in_whatever_order(tmp_path):
    rows, lists = nights.layouts(range(300)), nights.lists(range(300))
    shuffle = np.random.default_rng(3).permutation
    for name, batch in (("one", 1000), ("other", 37)):
        given = nights.inputs(
            [rows[n] for n in shuffle(len(rows))], [lists[n] for n in shuffle(len(lists))], batch
        )
        export(str(tmp_path / name), nights.night(), given)
    assert digest(tmp_path / "one" / "maize.lmdb") == digest(tmp_path / "other" / "maize.lmdb")
    assert (tmp_path / "one" / "live.json").read_text() == (tmp_path / "other" / "live.json").read_text()


def test_the_live_night_again_confirms_it(tmp_path):
    done = first_night(tmp_path)
    before = {path.name: (path.stat().st_mtime_ns, digest(path)) for path in tmp_path.glob("*.[lj]*")}
    again = export(str(tmp_path), nights.night(run_id="run-2"), nights.inputs(nights.layouts(range(30))))
    assert (again.outcome, again.live) == ("unchanged", done.live)
    before.pop("export.lock", None)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == {
        name: changed for name, (changed, _) in before.items()
    }


@pytest.mark.parametrize(
    "rows", [nights.layouts(range(29)), nights.layouts(range(30), {7: 1}), nights.layouts(range(31))]
)
def test_the_live_night_with_other_inputs_exports_nothing(tmp_path, rows):
    done = first_night(tmp_path)
    again = export(str(tmp_path), nights.night(run_id="run-2"), nights.inputs(rows))
    assert (again.outcome, again.live) == ("other_inputs", done.live)
    assert "what was served stays" in again.message
    assert (live(tmp_path), (tmp_path / "blue.lmdb").exists()) == (done.live, False)


def test_an_older_night_exports_nothing_and_in_any_order_the_newest_ends_live(tmp_path):
    for days in (3, 1, 5, 0, 4, 5):
        rows = nights.layouts(range(5), dict.fromkeys(range(5), days))
        done = export(str(tmp_path), nights.night(DAY + timedelta(days)), nights.inputs(rows))
        assert (
            done.outcome == {3: "exported", 5: "exported"}.get(days, "older") or done.outcome == "unchanged"
        )
    assert (live(tmp_path).layout_date, live(tmp_path).generation) == (DAY + timedelta(5), 2)
    assert "2018-01-04" in done.message or done.outcome == "unchanged"


def test_numbers_go_on_after_a_store_is_lost(tmp_path):
    done = export(str(tmp_path), nights.night(), nights.inputs(nights.layouts(range(3))), numbered_after=41)
    assert done.live.generation == 42


def test_a_broken_live_colour_is_replaced_by_a_whole_one(tmp_path):
    first_night(tmp_path)
    (tmp_path / "maize.lmdb").write_bytes(b"\0" * 8192)
    done = first_night(tmp_path)
    assert (done.outcome, done.live.colour, done.live.generation) == ("exported", "blue", 2)
    assert Store.open(tmp_path, clock=lambda: NOON).get(subject(3), "home").freshness == "fresh"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "layouts has no live row of 2017-12-30"),
        ([layout(subject(1), "home")], "page home has no default variants"),
        ([layout(subject(1), "home"), layout("default:home:01", "home")], "not number 00"),
    ],
)
def test_what_is_not_fit_to_be_shown_stops_with_a_sentence(tmp_path, rows, says):
    with pytest.raises(ExportError, match=says):
        first_night(tmp_path, rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.lock"]


def test_two_rows_for_one_key_stop_the_export(tmp_path):
    with pytest.raises(TwoRows, match=f"Two rows are for the key layout:home:{subject(3)}"):
        first_night(tmp_path, [*nights.layouts(range(5)), layout(subject(3), "home", 1)])
    assert not list(tmp_path.glob("*.lmdb*"))


@pytest.mark.parametrize("damage", ["value", "key gone", "layout", "heartbeat"])
def test_verification_finds_what_is_not_as_wanted(tmp_path, monkeypatch, damage):
    first_night(tmp_path)
    before = live(tmp_path)
    fill, finish = LmdbBuilding.fill, LmdbBuilding.finish

    def bad_fill(self, pairs):
        for number, (key, value) in enumerate(pairs):
            if damage == "value" and number == 300:
                fill(self, [(key, value + b" ")])
            elif damage != "key gone" or number != 300:
                fill(self, [(key, value)])

    def bad_finish(self, heartbeat):
        wrong = Heartbeat(**{**heartbeat.__dict__, "generation": 9}) if damage == "heartbeat" else heartbeat
        finish(self, wrong)

    monkeypatch.setattr(LmdbBuilding, "fill", bad_fill)
    monkeypatch.setattr(LmdbBuilding, "finish", bad_finish)
    if damage == "layout":
        monkeypatch.setattr("jobs.store.encode._days", lambda column: np.full(len(column), 1))
    with pytest.raises(ExportError, match="Generation 2 is not shown, the one before stays"):
        export(str(tmp_path), nights.night(DAY + timedelta(1)), nights.inputs(nights.layouts(range(30))))
    assert live(tmp_path) == before
    assert not list(tmp_path.glob("*.building"))


def test_only_one_export_at_a_time(tmp_path):
    first_night(tmp_path)
    outcomes = []

    def meanwhile(step):
        if step == "filled":
            with pytest.raises(StoreError, match="Another export is writing"):
                first_night(tmp_path)
            outcomes.append(step)

    rows = nights.layouts(range(30))
    export(str(tmp_path), nights.night(DAY + timedelta(1)), nights.inputs(rows), step=meanwhile)
    assert outcomes == ["filled"]


@pytest.mark.parametrize("where", [*STEPS, "reading 0", "reading 5"])
def test_kill_9_anywhere_leaves_a_whole_generation_and_a_rerun_ends_the_same(
    tmp_path, where, finished, forks
):
    export(str(tmp_path), nights.night(), crash.first())
    store = Store.open(tmp_path, clock=lambda: NOON)
    store.get(subject(50), "home")
    step, _, batch = where.partition(" ")
    assert forks.wait(forks.start("write", str(tmp_path), step, int(batch or 0)))[0] == -signal.SIGKILL
    epoch = 1 if where == "flipped" else 0
    for reader in (store, Store.open(tmp_path, clock=lambda: NOON)):
        for number in range(10, crash.SUBJECTS):
            found = reader.get(subject(number), "home")
            assert (found.draw_id, found.generation) == (
                layout(subject(number), "home", epoch)["draw_id"],
                1 + epoch,
            )
    done = export(str(tmp_path), nights.night(DAY + timedelta(1), "run-2"), crash.second())
    assert done.outcome == ("unchanged" if where == "flipped" else "exported")
    assert (done.live, digest(tmp_path / "blue.lmdb")) == finished
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "blue.lmdb",
        "export.lock",
        "exporting",
        "live.json",
        "maize.lmdb",
    ]


@pytest.fixture(scope="module")
def forks():
    """Return what starts the processes that are to die, and those that read on."""
    with Forks() as started:
        yield started


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the pointer and the file's digest of the second night, exported without a mishap."""
    folder = tmp_path_factory.mktemp("finished")
    export(str(folder), nights.night(), crash.first())
    export(str(folder), nights.night(DAY + timedelta(1), "run-2"), crash.second())
    return live(folder), digest(folder / "blue.lmdb")


def appears(path):
    """Wait for a file that another process makes."""
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.001)


def test_readers_never_see_a_mixed_generation_while_exports_run(tmp_path, forks):
    """Read whole pages from threads and from another process while generations come and go."""
    count, nights_run, folder = 60, 12, str(tmp_path)
    over = threading.Event()
    export(folder, nights.night(), crash.rows_of(0, count))
    with ThreadPoolExecutor(2) as pool:
        process = forks.start("follow", folder, count)
        threads = [pool.submit(crash.follow, folder, count, over.is_set) for _ in range(2)]
        shared = Store.open(tmp_path, clock="generation")
        for epoch in range(1, nights_run):
            export(folder, nights.night(DAY + timedelta(epoch)), crash.rows_of(epoch, count))
            assert crash.epoch_shown(shared, epoch) == epoch
        time.sleep(2 * LOOK_SECONDS)  # a reader in another process looks for the last flip no sooner
        over.set()
    for epochs in (forks.stop(process)[1], *(thread.result() for thread in threads)):
        assert epochs == sorted(epochs)
        assert epochs[-1] == nights_run - 1
        assert len(set(epochs)) > 3


def test_kill_9_at_20_random_moments_under_a_reader_in_another_process(tmp_path, finished, forks):
    """Kill exports wherever they are; one that came as far as its flip is rolled back."""
    export(str(tmp_path), nights.night(), crash.first())
    reader = forks.start("keep_reading", str(tmp_path))
    appears(tmp_path / "reading")
    torn = 0
    for wait in np.random.default_rng(20).uniform(0, 0.2, 20):
        (tmp_path / "exporting").unlink(missing_ok=True)
        writer = forks.start("write", str(tmp_path), "never")
        appears(tmp_path / "exporting")
        time.sleep(wait)
        os.kill(writer, signal.SIGKILL)
        forks.wait(writer)
        assert status(tmp_path, NOON).problem == ""
        torn += (tmp_path / "scratch").exists()
        if live(tmp_path).generation == 2:
            rollback(tmp_path, "America/New_York", NOON)
    ended, reads = forks.stop(reader)
    assert (ended, reads > 100, torn > 0) == (0, True, True)
    export(str(tmp_path), nights.night(DAY + timedelta(1), "run-2"), crash.second())
    assert (live(tmp_path), digest(tmp_path / "blue.lmdb")) == finished


def test_memory_does_not_grow_with_subjects(tmp_path, forks):
    found = {}
    for count in (20_000, 200_000):
        ended, told = forks.wait(forks.start("peak", str(tmp_path / str(count)), count))
        assert (ended, told[0]) == (0, count)
        found[count] = told[1]
    # The sort may take its 128 MiB and batches some more; held as Python objects they would take 300.
    assert found[200_000] - found[20_000] < 180, found


def test_differences_are_new_changed_and_gone_keys():
    there = [(b"a", b"1"), (b"b", b"1"), (b"d", b"1"), (b"e", b"1")]
    wanted = [(b"b", b"1"), (b"c", b"1"), (b"d", b"2")]
    changes = Differences(there)
    assert list(changes.over(wanted)) == wanted
    assert (changes.count, changes.first) == (4, b"a")


def test_a_digest_does_not_depend_on_how_the_walk_was_cut():
    pairs = [(f"{n:05d}".encode(), b"x" * (n % 7)) for n in range(3000)]
    tally, other = Tally(), Tally()
    assert list(tally.over(pairs)) == pairs
    for start in range(0, 3000, 100):
        list(other.over(pairs[start : start + 100]))
    assert (tally.digest, tally.keys, tally.size) == (other.digest, 3000, other.size)
    swapped = Tally()
    list(swapped.over([(b"ab", b"c")]))
    joined = Tally()
    list(joined.over([(b"a", b"bc")]))
    assert swapped.digest != joined.digest


def test_an_unfinished_file_is_no_colour(tmp_path):
    building = LmdbBuilding(tmp_path / "maize.lmdb")
    building.fill([(b"a", b"1")])
    building.install()
    building._env.close()
    with pytest.raises(Exception, match="no finished generation"):
        open_colour(tmp_path / "maize.lmdb")
