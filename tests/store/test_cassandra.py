"""The backend on Cassandra: what it writes, for how long, and what may happen to it on the way."""

import subprocess
import time
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from cassandra import OperationTimedOut

from jobs.config import home
from jobs.store import Store, StoreError, StoreGone, cassandra_export, live
from jobs.store.backends import backend_of
from jobs.store.care import verify
from jobs.store.cassandra_export import BATCH_BYTES, BATCH_ROWS, Rows
from jobs.store.errors import Busy
from jobs.store.export import Refused
from jobs.store.keys import NAMES
from jobs.store.on_cassandra import READING, SELECT, WRITING, CassandraBackend, bucket
from jobs.store.reader import BUILT_IN
from jobs.store.terms import DAY_SECONDS, Terms
from tests.store import crash
from tests.store import given as nights
from tests.store.cassandra_server import Cassandra
from tests.store.conftest import Place, _place
from tests.store.forks import Forks
from tests.store.given import DAY, subject
from tests.store.kills import survive
from tests.store.servers import HOST, certified, free_ports, until

ZONE = "America/New_York"
slow = pytest.mark.slow


def night(days=0, run="run-1"):
    return nights.night(DAY + timedelta(days), run)


def ask(place, query, values=()):
    return CassandraBackend(place.url).client.ask(query.replace(" FROM ", " FROM {keyspace}."), values)


@pytest.fixture
def single(request, tmp_path) -> Place:
    """Return an empty store on the server."""
    return _place(request, tmp_path, "cassandra")


@pytest.fixture
def sent(monkeypatch):
    """Note what is sent: (key, whether it is written), by the batch."""
    batches, real = [], Rows._send

    def noting(rows, place):
        batches.append([(key, value is not None) for key, value in rows._gathered[place]])
        real(rows, place)

    monkeypatch.setattr(cassandra_export.Rows, "_send", noting)
    return batches


@slow
def test_only_what_differs_is_written_who_left_is_deleted_and_a_part_is_renewed(single, sent):
    for epoch in range(3):
        rows = nights.layouts(range(40), dict.fromkeys(range(1, epoch + 1), 1))
        single.export(night(epoch), nights.inputs(rows))
    sent.clear()
    done = single.export(night(3), nights.inputs(nights.layouts(range(1, 40), {1: 1, 2: 1, 3: 1})))
    written = [key for batch in sent for key, is_written in batch if is_written]
    gone = {key for batch in sent for key, is_written in batch if not is_written}
    left = {f"layout:{page}:{subject(0)}".encode() for page in ("home", "start")}
    assert gone == left | {b"~generation"}
    moved = {f"layout:{page}:{subject(n)}".encode() for page in ("home", "start") for n in (2, 3)}
    assert moved <= set(written)
    assert 0.15 * done.live.keys < len(written) < 0.6 * done.live.keys
    lives = [row.life for row in ask(single, "SELECT ttl(value) AS life FROM blue")]
    assert len(lives) == done.live.keys + 1
    assert 0 < min(lives) <= max(lives) <= single.terms.life_seconds == 13 * DAY_SECONDS


@slow
def test_a_lost_folder_of_work_costs_reads_and_one_renewal_of_everything(single, sent):
    """Who does not know when rows got their time to live writes them anew, as they are."""
    for epoch in range(2):
        single.export(night(epoch), nights.inputs(nights.layouts(range(40))))
    for path in single.terms.work.iterdir():
        if path.is_file():
            path.unlink()
    sent.clear()
    done = single.export(night(2), nights.inputs(nights.layouts(range(1, 40), {1: 1})))
    assert done.live.changed == 2 + 2 + 1  # who moved, who left, and the names: a policy is new
    rows = [row for batch in sent for row in batch]
    assert [sum(is_written for _, is_written in rows), len(rows)] == [
        done.live.keys + 1,
        done.live.keys + 1 + 3,
    ]
    assert verify(single.url).startswith("Generation 3 on maize is whole")


@slow
@pytest.mark.parametrize("damage", ["value", "key", "left over", "heartbeat"])
def test_what_the_server_lost_or_changed_is_found_before_readers_move(single, damage):
    single.export(night(), crash.first())
    single.export(night(1), crash.second())
    before = single.live()

    def harm(step):
        if step != "finished":
            return
        client, who = CassandraBackend(single.url).client, f"layout:home:{subject(50)}".encode()
        insert = "INSERT INTO {keyspace}.maize (bucket, key, value) VALUES (?, ?, ?)"
        if damage == "value":
            client.ask(insert, (bucket(who), who, b"x" * 52))
        elif damage == "key":
            client.ask("DELETE FROM {keyspace}.maize WHERE bucket = ? AND key = ?", (bucket(who), who))
        elif damage == "left over":
            other = f"layout:home:{subject(0)}".encode()
            client.ask(insert, (bucket(other), other, b"x"))
        else:
            client.ask(insert, (bucket(b"~generation"), b"~generation", b"{}"))

    rows = nights.layouts(range(20, 160), dict.fromkeys(range(20, 160), 2))
    with pytest.raises(Refused, match="Generation 3 is not shown, the one before stays"):
        single.export(night(2), nights.inputs(rows), step=harm)
    assert (single.live(), crash.epochs_of(single.store())) == (before, {1})
    done = single.export(night(2), nights.inputs(rows), numbered_after=3)
    assert (done.outcome, done.live.generation) == ("exported", 4)


@slow
def test_a_pointer_or_lock_that_another_took_is_not_moved_and_a_held_one_keeps_others_out(single, tmp_path):
    single.export(night(), crash.first())
    other = Place(single.url, replace(single.terms, work=tmp_path / "elsewhere"))
    client = CassandraBackend(single.url).client
    taken = "UPDATE {keyspace}.state SET value = ? WHERE store = 'vitrine' AND id = ?"
    live = CassandraBackend(single.url).raw_pointer()

    def moved(step):
        if step == "filled":
            with pytest.raises(Busy, match="Another export is writing"):
                other.export(night(1), crash.second())
        if step == "installed":
            client.ask(taken, (live + b" ", "live"))

    with pytest.raises(StoreError, match="another generation went live meanwhile"):
        single.export(night(1), crash.second(), step=moved)
    client.ask(taken, (live, "live"))

    def lost(step):
        if step == "installed":
            client.ask(taken, (b"somebody else's", "lock"))

    with pytest.raises(StoreError, match="its lock was lost"):
        single.export(night(1), crash.second(), step=lost)
    assert (single.live().generation, CassandraBackend(single.url).raw_pointer()) == (1, live)
    client.ask("DELETE FROM {keyspace}.state WHERE store = 'vitrine' AND id = 'lock'")
    assert single.export(night(1), crash.second()).outcome == "exported"


@slow
def test_an_answer_that_does_not_come_is_asked_for_again_and_the_flip_was_heard_once(single, monkeypatch):
    """Each hundredth batch times out, and so does the flip, after the server heard it."""
    single.export(night(), crash.first())
    session = CassandraBackend(single.url).client.session
    real_async, real, failures = session.execute_async, session.execute, []

    class Late:
        def result(self):
            failures.append("batch")
            raise OperationTimedOut("late")

    counted = iter(range(10**9))

    def execute_async(batch, *more, **named):
        future = real_async(batch, *more, **named)
        return Late() if next(counted) % 100 == 1 else future

    def execute(query, *more, **named):
        found = real(query, *more, **named)
        if getattr(query, "batch_type", None) is not None and "flip" not in failures and "finished" in steps:
            failures.append("flip")
            raise OperationTimedOut("late")
        return found

    steps = []
    monkeypatch.setattr(session, "execute_async", execute_async)
    monkeypatch.setattr(session, "execute", execute)
    done = single.export(night(1), crash.second(), step=steps.append)
    assert (done.live.generation, "batch" in failures, "flip" in failures) == (2, True, True)
    assert crash.epochs_of(single.store()) == {1}


@slow
def test_rows_go_in_batches_of_one_bucket(single, sent):
    single.export(night(), crash.first())
    client = CassandraBackend(single.url)
    rows = Rows(client.writing(), "blue", 100)
    sent.clear()
    for number in range(150_000):
        rows.put(b"many:%d" % number, b"v")
    rows.put(b"large", b"x" * BATCH_BYTES)
    assert sent[-1][-1] == (b"large", True)
    rows.drain()
    assert all(len({bucket(key) for key, _ in batch}) == 1 and len(batch) <= BATCH_ROWS for batch in sent)
    assert sum(map(len, sent)) == 150_001
    assert max(map(len, sent)) == BATCH_ROWS
    found = dict(client.pairs_of("blue"))
    assert (len(found), found[b"many:149999"], len(found[b"large"])) == (150_001, b"v", BATCH_BYTES)
    assert client.colour("maize").heartbeat.generation == 1
    assert len(ask(single, "SELECT key FROM blue WHERE bucket = ?", (bucket(b"many:7"),))) > 100


@slow
def test_kill_9_at_random_moments_under_a_reader_in_another_process(single, tmp_path):
    waits = np.random.default_rng(8).uniform(0.5, 3.5, 4)
    with Forks() as forks:
        # A killed export's lock ends by itself.
        survive(single, forks, tmp_path, waits, lambda: time.sleep(2))


@slow
def test_a_keyspace_that_is_not_there_is_told_to_be_made(single):
    elsewhere = replace(single, url=single.url.replace("/vitrine", "/nowhere"))
    with pytest.raises(StoreGone, match="run the export"):
        Store.open(elsewhere.url).get("k1-a", "home")
    with pytest.raises(StoreError, match=r"There is no keyspace for cassandra://.*/nowhere: make it"):
        elsewhere.export(night(), crash.first())


@slow
def test_tls_login_and_a_node_that_is_lost_on_the_way(tmp_path, monkeypatch):
    key, certificate = certified(tmp_path)
    server = secured(tmp_path, key, certificate)
    url = f"{server.url}?ssl_ca_certs={certificate}"
    place = Place(url, Terms(tmp_path / "work", renewal_nights=3, grace_seconds=0, lock_seconds=5))
    monkeypatch.setenv("VITRINE_STORE_USER", "cassandra")
    monkeypatch.setenv("VITRINE_STORE_PASSWORD", "cassandra")
    try:
        client, copies = (
            CassandraBackend(url).client,
            "{{'class': 'SimpleStrategy', 'replication_factor': 1}}",
        )
        make = client.plain(f"CREATE KEYSPACE IF NOT EXISTS {{keyspace}} WITH replication = {copies}")
        until(lambda: client.ask(make) == [], seconds=120)
        place.export(night(), crash.first())
        first, store = place.content(), place.store()
        assert (crash.epochs_of(store), len(first) > 100) == ({0}, True)

        with monkeypatch.context() as patch:
            patch.setenv("VITRINE_STORE_PASSWORD", "open it")
            with pytest.raises(StoreError, match="takes no such user or password") as told:
                live(url)
            assert "open it" not in str(told.value)

        def lose(step):
            if step == "filled":
                server.stop()

        with pytest.raises(StoreGone, match="does not answer"):
            place.export(night(1), crash.second(), step=lose)
        with pytest.raises(StoreGone) as gone:
            store.get(subject(20), "home")
        assert gone.value.layout.widgets == BUILT_IN
        server.start()
        server.wait()
        until(lambda: place.content() == first)
        until(lambda: crash.epochs_of(store) == {0})
        until(lambda: place.export(night(1), crash.second()).live.generation == 2)
        assert verify(url).startswith("Generation 2 on blue is whole")
    finally:
        server.stop()


def secured(folder, key, certificate):
    """Start a node that asks for a login over TLS, and keeps what it acknowledged."""
    keys = folder / "keys.p12"
    subprocess.run(
        ["openssl", "pkcs12", "-export", "-inkey", str(key), "-in", str(certificate), "-out", str(keys),
         "-passout", "pass:sesame"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = {"enabled": True, "optional": False, "keystore": str(keys), "keystore_password": "sesame"}
    settings = {
        "authenticator": "PasswordAuthenticator",
        "client_encryption_options": {**tls, "store_type": "PKCS12"},
        "commitlog_sync": "batch",
        "commitlog_sync_period": None,
    }
    return Cassandra(home(), folder / "node", settings).wait()


@slow
def test_requests_together_have_the_patience_of_each(single, monkeypatch):
    """A bulk request that is not answered in time is asked again, as often as one alone."""
    single.export(night(), crash.first())
    client = CassandraBackend(single.url).client
    session, seen = client.session, []
    real = session.execute_async

    def execute_async(query, *more, **named):
        seen.append(named.get("timeout") or named["execution_profile"].request_timeout)
        return real(query, *more, **named)

    monkeypatch.setattr(session, "execute_async", execute_async)
    assert client.ask_all(SELECT["maize"], [(bucket(NAMES), NAMES)])[0]
    rows = Rows(CassandraBackend(single.url).writing(), "blue", 100)
    rows.put(b"a", b"b")
    rows.drain()
    assert seen == [READING[0], WRITING[0]]


def test_where_nobody_answers_there_is_a_page_to_show():
    store = Store.open(f"cassandra://{HOST}:{free_ports(1)[0]}/vitrine")
    with pytest.raises(StoreGone, match="does not answer") as gone:
        store.get("k1-a", "home")
    assert gone.value.layout.widgets == BUILT_IN


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("cassandra://one:9042", "names no keyspace: write cassandra://HOST:PORT/KEYSPACE"),
        ("cassandra://one:9042/Shop-1", "names no keyspace"),
        ("cassandra:///shop", "names no keyspace"),
        ("cassandra://one/shop?prefix=a", "has no setting 'prefix'"),
        ("cassandra://one,two:native/shop", "names the port 'native', which is no number"),
    ],
)
def test_an_address_that_cannot_be_is_told_in_a_sentence(url, said):
    with pytest.raises(StoreError, match=said):
        backend_of(url)


def test_user_and_password_are_not_told():
    assert backend_of("cassandra://me:secret@one,two:9043/shop").where == "cassandra://one,two:9043/shop"
