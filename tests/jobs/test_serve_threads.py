"""The application on a store that may make it wait: threads answer requests, each of one generation."""

import asyncio
import json
import threading
import time
from dataclasses import replace
from datetime import timedelta

from jobs.ids import pseudonyms
from jobs.serve import Application
from jobs.store import Store
from jobs.store.export import export
from jobs.store.on_lmdb import LmdbBackend
from jobs.store.polled import Polled
from tests.store import given as nights

KEY = b"a key of tests"
USERS, NIGHTS, ASKED = 20, 4, 60
SUBJECT = pseudonyms(KEY, "k1")


class Remote(Polled):
    """A folder's store, as on a server: the pointer is asked for by its bytes, and it takes a while."""

    where = pointer_name = "elsewhere"

    def __init__(self, folder):
        super().__init__()
        self._folder, self._local = folder, LmdbBackend(folder)

    def live(self):
        time.sleep(0.0005)
        return (self._folder / "live.json").read_bytes()

    def colour(self, name):
        return self._local.colour(name)


def put_night(folder, number):
    """Export a night whose layouts, flag and variants all tell its number."""
    rows = [nights.layout(SUBJECT("user", f"u{n}"), "home", number) for n in range(USERS)]
    inputs = nights.on_home(nights.inputs([*rows, *nights.layouts([], pages=("home",))], nights.lists()))
    flag = {"versions": {f"v{number}": number}, "default": f"v{number}", "rules": []}
    flags = {"format": 1, "seed": 1, "flags": {"hero": flag}}
    export(str(folder), nights.night(nights.DAY + timedelta(number)), replace(inputs, flags=flags))


def test_what_a_request_reads_is_of_one_generation_though_nights_come_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.store.polled.REFRESH_SECONDS", 0.0)
    put_night(tmp_path, 0)
    application = Application(Store.open(Remote(tmp_path), clock="generation"), SUBJECT, None)
    over = threading.Event()

    def export_nights():
        for number in range(1, NIGHTS):
            time.sleep(0.05)
            put_night(tmp_path, number)
        over.set()

    async def asked(user):
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/v1/layouts/home", "headers": ()}
        await application(scope | {"query_string": f"user=u{user}".encode()}, None, send)
        assert sent[0]["status"] == 200
        return user, json.loads(sent[1]["body"])

    async def ask_on():
        told = []
        while not over.is_set():
            told += await asyncio.gather(*(asked(n % USERS) for n in range(ASKED)))
        return [*told, await asked(0)]

    exporting = threading.Thread(target=export_nights)
    exporting.start()
    told = asyncio.run(ask_on())
    exporting.join()
    for user, answer in told:
        number = answer["generation"] - 1
        wanted = nights.layout(SUBJECT("user", f"u{user}"), "home", number)
        assert (answer["draw_id"], answer["freshness"]) == (wanted["draw_id"], "fresh")
        assert answer["versions"] == {"hero": f"v{number}"}
    assert {answer["generation"] for _, answer in told} == set(range(1, NIGHTS + 1))
    assert len({answer["decision_id"] for _, answer in told}) == len(told)


def test_of_many_first_requests_none_is_told_that_there_is_no_store(tmp_path):
    put_night(tmp_path, 0)
    remote = Remote(tmp_path)
    store, start = Store.open(remote, clock="generation"), threading.Barrier(8)
    found = []

    def read():
        start.wait()
        found.append(store.get(SUBJECT("user", "u1"), "home").freshness)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["fresh"] * 8
