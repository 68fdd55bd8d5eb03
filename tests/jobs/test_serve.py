"""serve: plain data, layouts, and decisions in the form that the lake reads."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import requests
import uvicorn
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from jobs import decisions, events, feedback, outcomes
from jobs.config import Consent, load
from jobs.decision_spans import DecisionSpans, resource
from jobs.ids import pseudonym
from jobs.serve import SERVICE, SPAN, application, asked
from jobs.serving import Connection
from jobs.shell import Ask, run_job
from jobs.store import StoreGone
from jobs.store.export import export
from jobs.store.flags import read_flags, share
from jobs.tables import Tables
from tests.jobs.sources.lake import message, put, span, tag
from tests.jobs.test_metrics import parsed as prometheus
from tests.jobs.test_on_request import ABOUT, steered
from tests.store import given as nights

KEY, KEY_ID = b"a key of tests", "k1"


def subject(kind, raw):
    return pseudonym(kind, raw, key=KEY, key_id=KEY_ID)


class Served:
    """The application on a folder, and the spans that it left."""

    def __init__(self, folder, key=KEY, key_id=KEY_ID):
        self.posted = []
        self.decisions = DecisionSpans(self._post, resource(SERVICE), SPAN)
        self.application = application(f"lmdb:{folder}", "generation", key, key_id, self.decisions.log)

    def _post(self, body):
        self.posted.append(ExportTraceServiceRequest.FromString(body))
        return True

    def spans(self):
        """Return what was posted: the time of each span, and its attributes."""
        self.decisions.flush()
        spans = [span for one in self.posted for span in one.resource_spans[0].scope_spans[0].spans]
        return [
            SimpleNamespace(
                start_time=span.start_time_unix_nano,
                attributes={one.key: plain(one.value) for one in span.attributes},
            )
            for span in spans
        ]

    def get(self, address, method="GET", headers=()):
        path, _, query = address.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": headers,
        }
        sent = []

        async def send(message):
            sent.append(message)

        asyncio.run(self.application(scope, None, send))
        return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.fixture
def served(tmp_path):
    rows = [nights.layout(subject(kind, raw), "home") for kind, raw in (("user", "h1"), ("device", "d1"))]
    inputs = nights.inputs([*rows, *nights.layouts([], pages=("home",))], nights.lists())
    export(str(tmp_path), nights.night(), nights.on_home(inputs))
    return Served(tmp_path)


def test_plain_data_takes_no_context(served):
    assert served.get("/v1/lists/bestsellers") == (200, {"products": [str(n) for n in range(12)]})
    assert served.get("/v1/lists/category%3ACHEESE")[1]["products"][0] == "100"
    assert served.get("/v1/lists/nothing") == (404, {"error": "There is no list nothing."})
    assert served.get("/v1/widgets/category:1") == (
        200,
        {"labels": {"kind": "carousel", "category": "CHEESE", "pages": ["home"]}},
    )
    assert served.get("/v1/widgets/none")[0] == 404
    assert served.get("/health") == (200, {"generation": 1, "serves_date": "2017-12-31"})
    assert served.get("/v2/lists/bestsellers")[0] == 404
    assert served.get("/v1/lists/bestsellers", method="POST")[0] == 405
    assert not served.spans()


@pytest.mark.parametrize(
    ("query", "who"), [("user=h1", ("user", "h1")), ("device=d1&session=s", ("device", "d1"))]
)
def test_a_layout_is_the_subjects_own(served, query, who):
    status, told = served.get(f"/v1/layouts/home?{query}")
    row = nights.layout(subject(*who), "home")
    assert (status, told["freshness"], told["why"]) == (200, "fresh", "")
    for name in ("draw_id", "policy_version", "widgets", "reasons"):
        assert told[name] == row[name]
    assert subject(*who) not in json.dumps(told)


def test_who_has_none_gets_a_default_and_who_is_nobody_a_sentence(served):
    status, told = served.get("/v1/layouts/home?user=stranger")
    assert (status, told["freshness"]) == (200, "fallback")
    assert served.get("/v1/layouts/home") == (400, {"error": "Whose layout? Give user=ID or device=ID."})
    assert served.get(f"/v1/layouts/home?user={'x' * 300}")[0] == 400


def test_a_store_that_is_gone_is_503_with_a_page_to_show(tmp_path):
    status, told = Served(tmp_path / "nowhere").get("/v1/layouts/home?user=h1")
    assert (status, told["error"], told["widgets"]) == (
        503,
        "The store is gone.",
        ["bestsellers", "trending"],
    )


@pytest.mark.parametrize("value", [b"{broken", b"\xff", b"null", b"[1]"])
def test_what_is_said_of_a_page_and_cannot_be_read_costs_no_layout(served, monkeypatch, value):
    colour = served.application.store.generation().colour
    known = type(colour).get
    broken = {b"page:home": value}
    monkeypatch.setattr(type(colour), "get", lambda self, key: broken.get(key) or known(self, key))
    status, told = served.get("/v1/layouts/home?user=h1")
    assert (status, told["freshness"]) == (200, "fresh")
    assert "variant" not in told
    assert served.spans()[-1].attributes["vitrine.candidates"] == sorted(told["widgets"])


def test_a_store_that_goes_on_the_way_still_leaves_a_page_to_show(served, monkeypatch):
    def gone(*_, **__):
        raise StoreGone("nobody answers")

    monkeypatch.setattr(served.application.flags, "all", gone)
    status, told = served.get("/v1/layouts/home?user=h1")
    assert (status, told["error"]) == (503, "The store is gone.")
    assert told["widgets"] == nights.layout(subject("user", "h1"), "home")["widgets"]
    assert not served.spans()


def test_what_is_longer_than_any_key_is_not_there(served):
    for kind in ("lists", "widgets"):
        assert served.get(f"/v1/{kind}/{'x' * 600}")[0] == 404
    status, told = served.get(f"/v1/layouts/{'x' * 600}?user=h1")
    assert (status, told["freshness"], told["widgets"]) == (200, "fallback", ["bestsellers", "trending"])


def test_a_decision_is_logged_as_the_lake_reads_it(served):
    """What the SDK exports, written as a collector's file exporter writes it, is read without a complaint."""
    from jobs.sources import otlp, spans

    _, told = served.get(
        "/v1/layouts/home?user=h1&device=d7&session=s1", headers=[(b"user-agent", b"Firefox")]
    )
    line = json.dumps(as_collector_writes(served))
    span = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert spans.EVENT_NAMES[span["name"]] == "layout_served"
    found = {}
    for attribute in span["attributes"]:
        place, read, _ = otlp.SLOTS[attribute["key"]]
        found[attribute["key"]] = read(attribute["value"])
        assert place >= 0
    row = nights.layout(subject("user", "h1"), "home")
    assert found == {
        "user.id": "h1",
        "device.id": "d7",
        "session.id": "s1",
        "user_agent.original": "Firefox",
        "vitrine.page": "home",
        "vitrine.decision_id": told["decision_id"],
        "vitrine.draw_id": row["draw_id"],
        "vitrine.widgets": row["widgets"],
        "vitrine.candidates": sorted(f"category:{n}" for n in range(20)),
        "vitrine.propensities": pytest.approx(row["propensities"]),
        "vitrine.policy_version": row["policy_version"],
        "vitrine.freshness": "fresh",
    }
    assert (len(span["spanId"]), len(span["traceId"]), span["kind"]) == (16, 32, "SPAN_KIND_SERVER")


def test_what_was_served_becomes_feedback(home, spark):
    """Serve a layout, and a ranking on request to who has none; let a page report what was seen and opened,
    and run the lake's jobs over it."""
    config = load().model_copy(update={"consent": Consent(purpose="personalisation", by_default=True)})
    key, key_id = config.ids.key, config.ids.key_id
    who = pseudonym("user", "u1", key=key, key_id=key_id)
    rows = [nights.layout(who, "home"), *nights.layouts([], pages=("home",))]
    inputs = replace(nights.inputs(rows, nights.lists()), policies={"home": steered(pins={"2": "trending"})})
    export(config.store_url, nights.night(), inputs)
    served = Served(config.store_url.removeprefix("lmdb:"), key, key_id)
    _, told = served.get("/v1/layouts/home?user=u1&device=d1&session=s1")
    _, ranked = served.get("/v1/layouts/home?user=new&device=d2&session=s2&recent=CHEESE")

    product = {"product_id": "p1", "category": "TEA", "type": "TEA|TEA", "is_merchandise": True}
    tables = Tables(config.tables)
    known = {"changed_date": date(2017, 1, 1), "is_deleted": False}
    tables.append("products", [{**product, **known}])
    widgets = [*(f"category:{n}" for n in range(20)), "trending"]
    tables.append("widgets", [{"widget": widget, **known} for widget in widgets])

    decision = served.spans()[0]
    at = datetime.fromtimestamp(decision.start_time / 1e9, UTC)
    day = at.astimezone(ZoneInfo(config.business_time_zone)).date()
    first = {"decision_id": told["decision_id"], "page": "home", "widget": told["widgets"][0], "position": 0}
    reports = [
        span("page.view", "00000000000000a1", at, page="home"),
        span("widget.seen", "00000000000000a2", at + timedelta(milliseconds=5), **first),
        span("product.view", "00000000000000a3", at + timedelta(milliseconds=9), **first, product_id="p1"),
    ]
    hit = tag("view_item", "00000000000000a3", at)
    spans = json.dumps(as_collector_writes(served))
    for source, lines in {
        "telemetry": [spans, message(*reports)],
        "tags": [hit],
    }.items():
        put(home / "lake" / source / f"date={day}" / f"{source}.jsonl", lines)
    for job in (events, decisions, outcomes, feedback):
        run_job(job.JOB, Ask(day, day + timedelta(1), "night"), config, spark)

    rows = sorted(tables.read("feedback").to_pylist(), key=lambda row: row["position"])
    found = [one for one in rows if one["decision_id"] == told["decision_id"]]
    on_request = [one for one in rows if one["decision_id"] == ranked["decision_id"]]
    assert [one["widget"] for one in on_request] == ranked["widgets"]
    assert [one["propensity"] for one in on_request] == pytest.approx(ranked["propensities"])
    assert {(one["draw_id"], one["policy_version"]) for one in on_request} == {
        (ranked["draw_id"], "request:linucb-home@2017-12-30")
    }
    told_of = {one["decision_id"]: one for one in tables.read("decisions").to_pylist()}
    own, other = told_of[told["decision_id"]], told_of[ranked["decision_id"]]
    assert (own["freshness"], own["rules"], other["freshness"]) == ("fresh", None, "degraded")
    assert json.loads(other["rules"])["pins"] == [-1, ABOUT["candidates"].index("trending")]
    row = nights.layout(who, "home")
    assert [(one["subject"], one["decision_id"], one["draw_id"]) for one in found] == 2 * [
        (who, told["decision_id"], row["draw_id"])
    ]
    assert [one["widget"] for one in found] == row["widgets"]
    assert [one["propensity"] for one in found] == pytest.approx(np.float32(row["propensities"]).tolist())
    assert [(one["is_seen"], one["reward"]) for one in found] == [(True, 1.0), (False, 0.0)]


def plain(value):
    """Return an attribute's value."""
    if value.HasField("array_value"):
        return [plain(one) for one in value.array_value.values]
    return getattr(value, value.WhichOneof("value"))


def as_collector_writes(served):
    """Return what was posted in OTLP's JSON: protobuf's own, but for ids in hex."""
    served.spans()
    content = {
        "resourceSpans": [one for body in served.posted for one in MessageToDict(body)["resourceSpans"]]
    }
    for of_resource in content["resourceSpans"]:
        for scope in of_resource["scopeSpans"]:
            for one in scope["spans"]:
                for name in ("traceId", "spanId"):
                    one[name] = base64.b64decode(one[name]).hex()
    return content


@contextmanager
def running(application) -> Iterator[str]:
    """Serve an application on a port of its own, and give its address."""
    server = uvicorn.Server(uvicorn.Config(application, port=0, http=Connection, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def test_a_server_answers_over_http(served):
    with running(served.application) as address:
        found = requests.get(f"{address}/v1/layouts/home?user=h1", timeout=10)
        assert found.headers["content-type"] == "application/json"
        assert found.json()["draw_id"] == nights.layout(subject("user", "h1"), "home")["draw_id"]


def test_who_has_none_is_ranked_by_the_request_and_the_draw_is_logged(tmp_path):
    """Its candidates, propensities and name are those of the draw, so it becomes feedback as any other."""
    inputs = nights.inputs(nights.layouts([1], pages=("home",)), nights.lists())
    export(str(tmp_path), nights.night(), replace(inputs, policies={"home": ABOUT}))
    served = Served(tmp_path)
    address = "/v1/layouts/home?user=new&device=d9&role=consultant&region=North&recent=CHEESE&recent=TEA"
    status, told = served.get(address)
    assert (status, told["freshness"], told["policy_version"]) == (
        200, "degraded", "request:linucb-home@2017-12-30",
    )  # fmt: skip
    logged = served.spans()[0].attributes
    assert list(logged["vitrine.candidates"]) == ABOUT["candidates"]
    for name in ("draw_id", "decision_id", "policy_version"):
        assert logged[f"vitrine.{name}"] == told[name]
    assert list(logged["vitrine.propensities"]) == told["propensities"]
    assert list(logged["vitrine.widgets"]) == told["widgets"]
    assert (logged["user.id"], logged["device.id"]) == ("new", "d9")
    columns = np.array([[ABOUT["candidates"].index(widget) for widget in told["widgets"]]])
    assert len(set(columns[0])) == ABOUT["positions"]
    served.application.misses.behind.done()
    assert served.get(address)[1]["freshness"] == "ranked"
    assert served.get(address.replace("CHEESE", "SOAP"))[1]["freshness"] == "degraded"


def test_a_decision_tells_the_variant_and_the_rules_that_it_was_drawn_under(tmp_path):
    about = steered(main="desktop", variants=["device"], eligible={"category:0": {"devices": ["phone"]}})
    inputs = nights.inputs(nights.layouts([1], pages=("home", "home@phone")), nights.lists())
    asked = {"home": {"device": ["desktop", "phone"]}}
    export(
        str(tmp_path),
        nights.night(),
        replace(nights.on_home(inputs), policies={"home": about}, variants=asked),
    )
    served = Served(tmp_path)
    for kind, can_see in (("phone", ABOUT["candidates"]), ("desktop", ABOUT["candidates"][1:])):
        told = served.get(f"/v1/layouts/home?user=new&device_kind={kind}")[1]
        logged = served.spans()[-1].attributes
        assert (told["freshness"], told["variant"], logged["vitrine.variant"]) == ("degraded", kind, kind)
        assert (logged["vitrine.candidates"], logged["vitrine.freshness"]) == (can_see, "degraded")
        assert len(json.loads(logged["vitrine.rules"])["themes"]) == len(can_see)


def test_a_layout_comes_with_the_versions_of_flags(tmp_path, monkeypatch):
    """Flags of a later format are left out, and the layout is there all the same."""
    rule = {"shares": [["moving", 0.5]]}
    flags = {"format": 1, "seed": 1, "flags": {
        "hero": {"versions": {"still": 0, "moving": 1}, "default": "still", "rules": [rule]},
    }}  # fmt: skip
    inputs = nights.inputs(nights.layouts([1], pages=("home",)), nights.lists())
    export(str(tmp_path), nights.night(), replace(inputs, flags=flags))
    served = Served(tmp_path)
    for number in range(10):
        at = share(1, "hero", subject("user", f"u{number}"))
        told = served.get(f"/v1/layouts/home?user=u{number}")[1]
        assert told["versions"] == {"hero": "moving" if at < 0.5 else "still"}
        logged = served.spans()[-1].attributes["vitrine.versions"]
        assert logged == [f"hero={told['versions']['hero']}"]
    inputs = nights.inputs(nights.layouts([1], pages=("home",)), nights.lists())
    later = nights.night(nights.DAY.replace(day=31))
    monkeypatch.setattr("jobs.store.flags.read_flags", lambda _: read_flags(b'{"format": 2}'))
    export(str(tmp_path), later, replace(inputs, flags=flags))
    status, told = served.get("/v1/layouts/home?user=u1")
    assert (status, "versions" in told, len(told["widgets"])) == (200, False, 2)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab=&%+20é", max_size=30).map(str.encode))
def test_a_query_is_read_as_the_library_reads_it(query):
    assert asked(query) == {name: values[0] for name, values in parse_qs(query.decode()).items()}


def test_reads_are_told_to_prometheus(served):
    for user in ("h1", "h1", "stranger"):
        served.get(f"/v1/layouts/home?user={user}")
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "headers": ()}
    asyncio.run(served.application(scope, None, send))
    assert dict(sent[0]["headers"])[b"content-type"].startswith(b"text/plain; version=0.0.4")
    assert prometheus(sent[1]["body"].decode()) == {
        "vitrine_reads_total": {
            (("page", "home"), ("outcome", "fallback")): 1,
            (("page", "home"), ("outcome", "fresh")): 2,
        }
    }
