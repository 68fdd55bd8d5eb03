"""The store over HTTP, as an ASGI application: plain data for all, and personalised layouts on top.

| GET | answer |
|---|---|
| /v1/lists/KEY | products of a list, as `bestsellers` or `category:CHEESE` |
| /v1/widgets/NAME | what is known of a widget |
| /v1/layouts/PAGE?user=ID or ?device=ID | that subject's layout of a page, and flags; also &session=ID |
| …&device_kind=KIND | which of the page's variants, if it has any; else the browser tells |
| …&role=, &region=, &recent=CATEGORY, … | what ranks a page at once for who has no layout (jobs/misses.py) |
| /health | which generation is live |

Ids are the shop's own: they become pseudonyms here, as everywhere. Each layout that is given is a decision:
it gets an id, and a span `layout.served` with all that the lake reads of one (ids of the shop included, as
the lake's door expects them). A subject without a layout gets a ranking on request, or a default variant of
the page; where the store is gone, the answer is 503 with a page to show.

Reads   the store (by its reader only)
Writes  spans
"""

import asyncio
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from opentelemetry.trace import SpanKind, Tracer

from jobs.config import Config
from jobs.ids import pseudonym
from jobs.misses import Misses
from jobs.on_request import Known
from jobs.store import Layout, Store, StoreError, StoreGone
from jobs.store.flags import Flags
from jobs.store.keys import page_key
from jobs.store.reader import NO_SUBJECT

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Answer = tuple[int, Mapping[str, Any]]

SERVICE = "layout"
SPAN = "layout.served"
MOST_ID = 200
MOST_RECENT = 20


class Application:
    """The ASGI application. `pseudonym_of` turns a kind of id (user, device) and an id into a subject."""

    def __init__(self, store: Store, pseudonym_of: Callable[[str, str], str], tracer: Tracer) -> None:
        self.store = store
        self.pseudonym_of = pseudonym_of
        self.tracer = tracer
        self.misses = Misses(store)
        self.flags = Flags(store)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        # A remote store may make this wait; the others must not wait with it.
        status, content = await asyncio.to_thread(self.answer, scope)
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def answer(self, scope: Mapping[str, Any]) -> Answer:
        """Return status and content of the answer to a request."""
        if scope["method"] not in ("GET", "HEAD"):
            return 405, {"error": "Only GET is answered here."}
        path = [unquote(part) for part in scope["path"].strip("/").split("/")]
        try:
            match path:
                case ["v1", "lists", key]:
                    return _found("products", list(self.store.products(key)[key]), f"list {key}")
                case ["v1", "widgets", name]:
                    value = self.store.generation().colour.get(f"widget:{name}".encode())
                    return _found("labels", json.loads(value or b"{}"), f"widget {name}")
                case ["v1", "layouts", page]:
                    return self._layout(page, parse_qs(scope["query_string"].decode(errors="replace")), scope)
                case ["health"]:
                    pointer = self.store.generation().pointer
                    return 200, {"generation": pointer.generation, "serves_date": str(pointer.serves_date)}
        except StoreGone as gone:
            return 503, {"error": "The store is gone."} | (_told(gone.layout) if gone.layout else {})
        except StoreError:
            return 503, {"error": "The store cannot be read."}
        return 404, {"error": "There is no such address; see vitrine serve --help."}

    def _layout(self, page: str, query: Mapping[str, list[str]], scope: Mapping[str, Any]) -> Answer:
        user, device, session = (query.get(name, [""])[0] for name in ("user", "device", "session"))
        if not (user or device) or max(map(len, (user, device, session))) > MOST_ID:
            return 400, {"error": "Whose layout? Give user=ID or device=ID."}
        subjects = [self.pseudonym_of(kind, raw) for kind, raw in (("user", user), ("device", device)) if raw]
        device_kind = query.get("device_kind", [""])[0] or _kind_of(_header(scope, b"user-agent"))
        layout = self.store.get(subjects[0], page, self._variant(page, device_kind))
        candidates = None
        try:
            if layout.why == NO_SUBJECT and (answer := self.misses.answer(*_asked(subjects, page, query))):
                layout, candidates = answer
            versions, candidates = self._versions(subjects[0]), candidates or self._candidates(page)
        except StoreGone as gone:
            gone.layout = layout
            raise
        decision_id = secrets.token_hex(16)
        of = {"user.id": user, "device.id": device, "session.id": session}
        of["user_agent.original"] = _header(scope, b"user-agent")
        self._log(layout, decision_id, candidates, of)
        return 200, {"decision_id": decision_id, **_told(layout), **versions}

    def _variant(self, page: str, device_kind: str) -> str:
        """Return the variant to ask for; none where the store cannot tell: `get` then says what to show."""
        try:
            return self.store.variant(page, device=device_kind)
        except StoreError:
            return ""

    def _versions(self, subject: str) -> dict[str, Any]:
        """Return the versions of flags that a subject sees, where there are flags that can be read."""
        try:
            versions = self.flags.all(subject)
        except StoreGone:
            raise
        except StoreError:
            versions = {}
        return {"versions": versions} if versions else {}

    def _candidates(self, page: str) -> list[str]:
        """Return the widgets that a page chooses from."""
        value = self.store.generation().colour.get(page_key(page))
        return json.loads(value)["candidates"] if value else []

    def _log(self, layout: Layout, decision_id: str, candidates: list[str], of: Mapping[str, str]) -> None:
        """Log a decision as the lake reads it; who looks at it follows in spans of the page's own."""
        attributes: dict[str, Any] = {name: value for name, value in of.items() if value}
        attributes |= {
            "vitrine.page": layout.page,
            "vitrine.decision_id": decision_id,
            # A built-in page was drawn by nobody: its draw is this decision's own.
            "vitrine.draw_id": layout.draw_id or decision_id,
            "vitrine.widgets": list(layout.widgets),
            "vitrine.candidates": candidates or sorted(layout.widgets),
            "vitrine.propensities": list(layout.propensities),
            "vitrine.policy_version": layout.policy_version,
        }
        attributes |= {"vitrine.variant": layout.variant} if layout.variant else {}
        self.tracer.start_span(SPAN, kind=SpanKind.SERVER, attributes=attributes).end()


def application(url: str, clock: Any, key: bytes, key_id: str, tracer: Tracer) -> Application:
    """Return the application on a store, with the key that makes pseudonyms."""
    store = Store.open(url, clock=clock)
    return Application(store, lambda kind, raw: pseudonym(kind, raw, key=key, key_id=key_id), tracer)


def run(config: Config, host: str, port: int) -> None:
    """Serve until it is told to end; spans go where OTEL_EXPORTER_OTLP_ENDPOINT says, if it does."""
    import uvicorn
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    ids, tracer = config.ids, provider.get_tracer("vitrine")
    made = application(config.store_url, config.store.clock, ids.key, ids.key_id, tracer)
    try:
        uvicorn.run(made, host=host, port=port, log_level="warning")
    finally:
        provider.shutdown()


def _asked(
    subjects: list[str], page: str, query: Mapping[str, list[str]]
) -> tuple[str, str, Known, list[str]]:
    """Return what a request tells of a subject without a layout."""
    role, region = (query.get(name, [""])[0][:MOST_ID] for name in ("role", "region"))
    recent = tuple(category[:MOST_ID] for category in query.get("recent", [])[:MOST_RECENT])
    return subjects[0], page, Known(role, region, recent), subjects[1:]


def _told(layout: Layout) -> dict[str, Any]:
    """Return a layout as an answer; whose it is stays here."""
    return {
        "page": layout.page,
        "widgets": layout.widgets,
        "propensities": layout.propensities,
        "reasons": layout.reasons,
        "draw_id": layout.draw_id,
        "policy_version": layout.policy_version,
        "freshness": layout.freshness,
        "why": layout.why,
        "generation": layout.generation,
    } | ({"variant": layout.variant} if layout.variant else {})


def _kind_of(agent: str) -> str:
    """Return the kind of device as its browser names itself."""
    return "phone" if "Mobi" in agent else ""


def _found(name: str, content: Any, what: str) -> Answer:
    return (200, {name: content}) if content else (404, {"error": f"There is no {what}."})


def _header(scope: Mapping[str, Any], wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")[:MOST_ID]


async def _lifespan(receive: Receive, send: Send) -> None:
    for _ in range(2):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
