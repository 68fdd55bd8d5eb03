"""The backend on Redis: what it writes, for how long, and what may happen to it on the way."""

import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.store import Store, StoreError, StoreGone, live
from jobs.store.care import verify
from jobs.store.errors import Busy
from jobs.store.export import Refused
from jobs.store.on_redis import RedisBackend
from jobs.store.polled import REFRESH_SECONDS
from jobs.store.redis_export import RedisBuilding
from jobs.store.terms import DAY_SECONDS
from tests.store import crash
from tests.store import given as nights
from tests.store.conftest import Place
from tests.store.forks import Forks
from tests.store.given import DAY, layout, subject
from tests.store.kills import survive
from tests.store.servers import HOST, Cluster, Server, certified, free_ports, until

ZONE = "America/New_York"


def night(days=0, run="run-1"):
    return nights.night(DAY + timedelta(days), run)


def export_nights(place, count, subjects=40):
    """Export nights on which subject number N moves in night N."""
    for epoch in range(count):
        rows = nights.layouts(range(subjects), dict.fromkeys(range(1, epoch + 1), 1))
        done = place.export(night(epoch), nights.inputs(rows))
    return done


def calls(server):
    """Return how often each command was asked for."""
    told = server.client().info("commandstats")
    return {name.removeprefix("cmdstat_"): about["calls"] for name, about in told.items()}


def client_of(place):
    return RedisBackend(place.url).client


@pytest.fixture
def single(server, tmp_path) -> Place:
    """Return an empty store on the server alone."""
    from tests.store.conftest import _place

    class Asked:
        def getfixturevalue(self, _):
            return server

    return _place(Asked(), tmp_path, "redis")


def test_only_what_differs_is_written_who_left_is_deleted_and_a_part_is_renewed(single, server):
    export_nights(single, 3)
    before = calls(server)
    rows = nights.layouts(range(1, 40), {1: 1, 2: 1, 3: 1})
    done = single.export(night(3), nights.inputs(rows))
    after = calls(server)
    new = {name: after[name] - before.get(name, 0) for name in after}
    # Blue holds night 1: 2 and 3 moved since, on two pages each. Beside them: heartbeat, lock, pointer.
    assert 4 <= new["set"] <= 4 + 4
    assert new["unlink"] == 2
    keys = done.live.keys
    assert 0.15 * keys < new["expire"] < 0.55 * keys
    # Everything is read back, once.
    assert keys <= new["get"] < keys + 300


def test_keys_after_the_last_one_that_is_wanted_are_deleted(single):
    export_nights(single, 2)
    rows = nights.inputs(nights.layouts(range(40)))
    single.export(night(2), replace(rows, widgets=rows.widgets.slice(0, len(rows.widgets) - 1)))
    held = single.content()
    assert (b"widget:trending" in held, max(held)) == (False, b"widget:category:9")
    assert verify(single.url).startswith("Generation 3 on maize is whole")


def test_a_lost_folder_of_work_costs_reads_and_no_writes(single, server):
    export_nights(single, 2)
    for path in single.terms.work.iterdir():
        if path.is_file():
            path.unlink()
    before = calls(server)
    done = single.export(night(2), nights.inputs(nights.layouts(range(40), {1: 1, 2: 1})))
    assert done.live.changed == 2 + 0
    assert calls(server)["set"] - before["set"] < 12
    assert verify(single.url).startswith("Generation 3 on maize is whole")


def test_parts_come_round_before_their_time_is_up(single):
    """Set every key's time to live far down: a round of nights later all of them are up again."""
    export_nights(single, 2)
    client, pattern = client_of(single), f"{RedisBackend(single.url).prefix}:*"
    for key in client.scan_iter(match=pattern):
        assert 0 < client.ttl(key) <= single.terms.life_seconds == 13 * DAY_SECONDS
        client.expire(key, 1000)
    for epoch in range(2, 2 + 2 * 3):
        single.export(night(epoch), nights.inputs(nights.layouts(range(40), {1: 1})))
    assert min(client.ttl(key) for key in client.scan_iter(match=pattern)) > 2 * 3 * DAY_SECONDS


@pytest.mark.parametrize("damage", ["value", "key", "left over", "heartbeat"])
def test_what_the_server_lost_or_changed_is_found_before_readers_move(remote, damage):
    remote.export(night(), crash.first())
    remote.export(night(1), crash.second())
    before, client, prefix = remote.live(), client_of(remote), RedisBackend(remote.url).prefix
    who = f"{prefix}:maize:layout:home:{subject(50)}"

    def harm(step):
        if step == "finished":
            if damage == "value":
                client.set(who, b"x" * 52)
            elif damage == "key":
                client.delete(who)
            elif damage == "left over":
                client.set(f"{prefix}:maize:layout:home:{subject(0)}", b"x")
            else:
                client.set(f"{prefix}:maize:~generation", b"{}")

    rows = nights.layouts(range(20, 160), dict.fromkeys(range(20, 160), 2))
    with pytest.raises(Refused, match="Generation 3 is not shown, the one before stays"):
        remote.export(night(2), nights.inputs(rows), step=harm)
    assert (remote.live(), crash.epochs_of(remote.store())) == (before, {1})
    done = remote.export(night(2), nights.inputs(rows), numbered_after=3)
    assert (done.outcome, done.live.generation) == ("exported", 4)
    assert verify(remote.url).startswith("Generation 4 on maize is whole")


def test_readers_are_led_by_the_pointer_within_a_second_and_the_colour_they_left_stays(single, monkeypatch):
    monkeypatch.setattr("jobs.store.polled.REFRESH_SECONDS", 1000)
    patient = Place(single.url, replace(single.terms, grace_seconds=1.5))
    patient.export(night(), crash.first())
    store = patient.store()
    assert crash.epochs_of(store) == {0}
    patient.export(night(1), crash.second())
    flipped = time.monotonic()
    assert store.get(subject(50), "home").generation == 1  # still on the colour that was left, and whole
    store._backend._look_at = 0.0
    assert crash.epochs_of(store) == {1}
    patient.export(night(2), nights.inputs(nights.layouts(range(5))))
    assert time.monotonic() - flipped > 1.5


def test_a_pointer_that_another_export_moved_is_not_moved(single):
    single.export(night(), crash.first())

    def meanwhile(step):
        if step == "installed":
            client = client_of(single)
            key = RedisBackend(single.url).key("live")
            client.set(key, client.get(key) + b" ")

    with pytest.raises(StoreError, match="another generation went live meanwhile"):
        single.export(night(1), crash.second(), step=meanwhile)
    assert single.live().generation == 1


def test_a_lost_lock_moves_nothing_and_a_held_one_keeps_others_out(single, tmp_path):
    single.export(night(), crash.first())
    other = Place(single.url, replace(single.terms, work=tmp_path / "elsewhere"))
    client, lock = client_of(single), RedisBackend(single.url).key("lock")

    def meanwhile(step):
        if step == "filled":
            with pytest.raises(Busy, match="Another export is writing"):
                other.export(night(1), crash.second())
            with pytest.raises(Busy, match="Another export is writing"):
                single.export(night(1), crash.second())
        if step == "installed":
            client.set(lock, "somebody else's")

    with pytest.raises(StoreError, match="its lock was lost"):
        single.export(night(1), crash.second(), step=meanwhile)
    assert (single.live().generation, client.get(lock)) == (1, b"somebody else's")
    client.delete(lock)
    assert single.export(night(1), crash.second()).outcome == "exported"


def test_an_export_that_slept_past_its_lock_writes_nothing_more(single):
    single = replace(single, terms=replace(single.terms, lock_seconds=1))
    single.export(night(), crash.first())
    single.export(night(1), crash.second())
    before, client, lock = single.content(), client_of(single), RedisBackend(single.url).key("lock")

    def sleep(step):
        if step == "filled":
            client.set(lock, "somebody else's")
            time.sleep(1.2 * single.terms.lock_seconds)

    with pytest.raises(StoreError, match="was lost on the way"):
        single.export(night(2), crash.first(), step=sleep)
    assert (single.live().generation, single.content()) == (2, before)
    assert RedisBackend(single.url).colour("maize").heartbeat.generation == 1  # as it was


def test_connections_that_break_are_made_anew_and_nothing_is_lost(single, server):
    single.export(night(), crash.first())
    killed = []

    def cut(step):
        killed.append(server.client().client_kill_filter(_type="normal", skipme=True))

    done = single.export(night(1), crash.second(), step=cut)
    assert (done.outcome, len(killed), max(killed) > 0) == ("exported", 6, True)
    assert verify(single.url).startswith("Generation 2 on blue is whole")


def test_a_full_server_stops_with_its_words_and_leaves_the_night_before(tmp_path):
    server = Server(tmp_path / "server", free_ports(1)[0], ["--maxmemory-policy", "noeviction"]).wait()
    place = Place(f"redis://{HOST}:{server.port}", terms(tmp_path))
    try:
        place.export(night(), crash.first())

        def fill(step):
            if step == "filled":
                server.client().config_set("maxmemory", "1mb")

        with pytest.raises(StoreError, match="refused: OOM command not allowed"):
            place.export(night(1), crash.second(), step=fill)
        assert crash.epochs_of(place.store()) == {0}
        server.client().config_set("maxmemory", 0)
        assert place.export(night(1), crash.second()).outcome == "exported"
        server.client().config_set("min-replicas-to-write", 1)
        with pytest.raises(StoreError, match="NOREPLICAS"):
            place.export(night(2), nights.inputs(nights.layouts(range(9))))
        assert crash.epochs_of(place.store()) == {1}
    finally:
        server.stop()


def test_a_reader_says_that_the_store_is_gone_with_a_page_to_show_and_finds_it_again(tmp_path, monkeypatch):
    port = free_ports(1)[0]
    server = Server(tmp_path / "server", port).wait()
    place = Place(f"redis://{HOST}:{port}", terms(tmp_path))
    try:
        place.export(night(), crash.first())
        store = place.store()
        assert store.get(subject(20), "home").freshness == "fresh"
        server.stop()
        for ask in (store.get, store.page, Store.open(place.url).get):
            with pytest.raises(StoreGone, match="does not answer") as gone:
                ask(subject(20), "home")
            assert gone.value.layout.policy_version == "built-in"
        server = Server(tmp_path / "server", port).wait()
        place.export(night(1), crash.second())
        time.sleep(REFRESH_SECONDS)
        assert store.get(subject(20), "home").draw_id == layout(subject(20), "home", 1)["draw_id"]
    finally:
        server.stop()


def test_tls_user_and_password_are_taken_and_never_told(tmp_path, monkeypatch):
    key, certificate = certified(tmp_path)
    plain, port = free_ports(2)
    options = ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    options += ["--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"]
    server = Server(tmp_path / "server", plain, options).wait()
    server.client().execute_command("ACL", "SETUSER", "shop", "on", ">sesame", "~*", "&*", "+@all")
    server.client().execute_command("ACL", "SETUSER", "default", "off")
    place = Place(f"rediss://localhost:{port}?ssl_ca_certs={certificate}", terms(tmp_path))
    try:
        monkeypatch.setenv("VITRINE_STORE_USER", "shop")
        monkeypatch.setenv("VITRINE_STORE_PASSWORD", "sesame")
        place.export(night(), crash.first())
        assert crash.epochs_of(place.store()) == {0}
        monkeypatch.setenv("VITRINE_STORE_PASSWORD", "open it")
        with pytest.raises(StoreError, match="takes no such user or password") as told:
            live(place.url)
        assert "open it" not in str(told.value)
        with_login = f"rediss://shop:open-it@localhost:{port}?ssl_ca_certs={certificate}"
        assert "open-it" not in RedisBackend(with_login).where
    finally:
        server.stop()


def terms(folder: Path) -> Any:
    from jobs.store.terms import Terms

    return Terms(folder / "work", renewal_nights=3, grace_seconds=0, lock_seconds=2)


@pytest.fixture(scope="module")
def forks():
    with Forks() as started:
        yield started


def test_kill_9_at_random_moments_under_a_reader_in_another_process(remote, forks, tmp_path):
    # One in each third of half a second, which is about what an export takes.
    waits = (np.arange(3) + np.random.default_rng(8).uniform(size=3)) / 6
    seconds = iter([crash.LOCK_SECONDS, 0, 0])  # the first killed export's lock ends by itself

    def unlock() -> None:
        time.sleep(next(seconds))
        client_of(remote).delete(RedisBackend(remote.url).key("lock"))

    survive(remote, forks, tmp_path, waits, unlock)


@pytest.mark.parametrize("replicas", [0, 1])
def test_a_master_killed_on_the_way_leaves_yesterday_live_or_the_export_whole(tmp_path, replicas):
    with on_cluster(tmp_path, replicas) as (cluster, place, victim):

        def kill(step):
            if step == "filled":
                cluster.servers[victim].stop()

        first = place.content()
        try:
            done = place.export(night(1), crash.second(), step=kill)
        except StoreError:
            assert place.live().generation == 1
        else:
            assert done.live.generation == 2
            assert verify(place.url).startswith("Generation 2 on blue is whole")
        if replicas:
            until(lambda: place.live().generation == 2 or place.content() == first)


@pytest.mark.slow
def test_writes_that_a_killed_master_acknowledged_and_its_replica_never_got_are_found(tmp_path, monkeypatch):
    with on_cluster(tmp_path, 1) as (cluster, place, victim):
        master, replica = cluster.servers[victim], cluster.servers[victim + 3]
        first, lost = place.content(), []

        def fall_behind(step):
            if step == "filled":  # the replica is kept off by a login that its master does not know
                replica.client().config_set("masteruser", "nobody")
                replica.client().config_set("masterauth", "none")
                master.client().client_kill_filter(_type="replica")

        def answered(building):
            drained(building)
            if not lost:
                lost.append(master.client().dbsize() - replica.client().dbsize())
                master.stop()
                until(lambda: replica.client().info("replication")["role"] == "master")

        drained = RedisBuilding._drained
        with monkeypatch.context() as patch:
            patch.setattr(RedisBuilding, "_drained", answered)
            with pytest.raises(Refused, match="what was written did not come back"):
                place.export(night(1), crash.second(), step=fall_behind)
        assert lost[0] > 0
        until(lambda: place.content() == first)
        assert place.live().generation == 1
        done = place.export(night(1), crash.second())
        assert (done.live.generation, place.live().generation) == (2, 2)
        assert verify(place.url).startswith("Generation 2 on blue is whole")


@contextmanager
def on_cluster(folder, replicas):
    """Give a cluster, a store with a first night on it, and which master does not hold its pointer.

    Where the pointer's is gone alone, nobody can say what is live.
    """
    cluster = Cluster(folder / "cluster", replicas=replicas)
    place = Place(cluster.url, terms(folder))
    try:
        place.export(night(), crash.first())
        own = RedisBackend(place.url)
        pointers = own.client.get_node_from_key(own.key("live")).port
        yield cluster, place, next(n for n in range(3) if cluster.servers[n].port != pointers)
    finally:
        cluster.stop()
