"""The store over HTTP, as an ASGI application: plain data for all, and personalised layouts on top.

| GET | answer |
|---|---|
| /v1/lists/KEY | products of a list, as `bestsellers` or `category:CHEESE` |
| /v1/widgets/NAME | what is known of a widget |
| /v1/layouts/PAGE?user=ID or ?device=ID | that subject's layout of a page, and flags; also &session=ID |
| …&device_kind=KIND | which of the page's variants, if it has any; else the browser tells |
| …&role=, &region=, &recent=CATEGORY, … | what ranks a page at once for who has no layout (jobs/misses.py) |
| /health | which generation is live |
| /metrics | reads by page and outcome, as Prometheus reads them |

Ids are the shop's own: they become pseudonyms here, as everywhere. Each layout that is given is a decision:
it gets an id, and a span `layout.served` with all that the lake reads of one (ids of the shop included, as
the lake's door expects them). A subject without a layout gets a ranking on request, or a default variant of
the page; where the store is gone, the answer is 503 with a page to show.

Reads   the store (by its reader only)
Writes  spans
"""

import asyncio
import json
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

from jobs.config import Config
from jobs.decision_spans import Value, to_collector
from jobs.ids import pseudonyms
from jobs.metrics import CONTENT_TYPE, OF_SERVE, as_text, pushed
from jobs.misses import Answer, Misses
from jobs.on_request import Known
from jobs.reads import Reads
from jobs.store import Layout, Store, StoreError, StoreGone
from jobs.store.flags import Flags
from jobs.store.keys import page_key
from jobs.store.reader import NO_SUBJECT

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Reply = tuple[int, Mapping[str, Any]]
Log = Callable[[Mapping[str, Value]], None]

SERVICE = "layout"
SPAN = "layout.served"
METRICS = "metrics"  # the only answer that is no JSON
MOST_ID = 200
MOST_RECENT = 20
# How long a thread behind (rankings, spans) may keep requests waiting; Python's own is ten times as long.
SWITCH_SECONDS = 0.0005


class Application:
    """The ASGI application.

    `pseudonym_of` makes a subject of a kind of id (user, device) and an id; without `log`
    nothing is logged.
    """

    def __init__(self, store: Store, pseudonym_of: Callable[[str, str], str], log: Log | None) -> None:
        self.store = store
        self.pseudonym_of = pseudonym_of
        self.log = log
        self.misses = Misses(store)
        self.flags = Flags(store)
        self.reads = Reads()
        self._pages: tuple[int, dict[str, list[str]]] = (0, {})

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        # A remote store may make this wait, and others must not wait with it; a thread costs more than all
        # that is done on a local one.
        remote = self.store.is_remote
        status, content = await asyncio.to_thread(self.answer, scope) if remote else self.answer(scope)
        self.reads.note(status, content)
        text = content.get(METRICS)
        body = orjson.dumps(content) if text is None else text.encode()
        kind = b"application/json" if text is None else CONTENT_TYPE.encode()
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.to_thread(self.misses.warm)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def answer(self, scope: Mapping[str, Any]) -> Reply:
        """Return status and content of the answer to a request."""
        if scope["method"] not in ("GET", "HEAD"):
            return 405, {"error": "Only GET is answered here."}
        path = scope["path"].strip("/").split("/")
        if "%" in scope["path"]:
            path = list(map(unquote, path))
        try:
            match path:
                case ["v1", "layouts", page]:
                    return self._layout(page, asked(scope["query_string"]), scope)
                case ["v1", "lists", key]:
                    return _found("products", list(self.store.products(key)[key]), f"list {key}")
                case ["v1", "widgets", name]:
                    value = self.store.generation().colour.get(f"widget:{name}".encode())
                    return _found("labels", json.loads(value or b"{}"), f"widget {name}")
                case ["health"]:
                    pointer = self.store.generation().pointer
                    return 200, {"generation": pointer.generation, "serves_date": str(pointer.serves_date)}
                case ["metrics"]:
                    return 200, {METRICS: as_text(self.reads.samples())}
        except StoreGone as gone:
            return 503, {"error": "The store is gone."} | (_told(gone.layout) if gone.layout else {})
        except StoreError:
            return 503, {"error": "The store cannot be read."}
        return 404, {"error": "There is no such address; see vitrine serve --help."}

    def _layout(self, page: str, query: Mapping[str, list[str]], scope: Mapping[str, Any]) -> Reply:
        user, device, session = _first(query, "user"), _first(query, "device"), _first(query, "session")
        if not (user or device) or max(len(user), len(device), len(session)) > MOST_ID:
            return 400, {"error": "Whose layout? Give user=ID or device=ID."}
        subject = self.pseudonym_of("user", user) if user else self.pseudonym_of("device", device)
        device_kind = _first(query, "device_kind") or _kind_of(_header(scope, b"user-agent"))
        variant = self._variant(page, device_kind)
        answer: Answer | None = None
        layout = self.store.get(subject, page, variant)
        try:
            if layout.why == NO_SUBJECT:
                beside = [self.pseudonym_of("device", device)] if user and device else []
                answer = self.misses.answer(subject, page, _known(query, variant), beside)
            answer = answer or Answer(layout, self._candidates(page) if self.log else [])
            versions = self._versions(subject)
        except StoreGone as gone:
            gone.layout = layout
            raise
        decision_id, layout = secrets.token_hex(16), answer.layout
        if self.log is not None:
            of = {"user.id": user, "device.id": device, "session.id": session}
            of["user_agent.original"] = _header(scope, b"user-agent")
            self.log(_decision(answer, decision_id, of, variant, versions))
        told = {"decision_id": decision_id, **_told(layout)}
        if versions:
            told["versions"] = versions
        return 200, told

    def _variant(self, page: str, device_kind: str) -> str:
        """Return the variant to ask for; none where the store cannot tell: `get` then says what to show."""
        try:
            return self.store.variant(page, device=device_kind)
        except StoreError:
            return ""

    def _versions(self, subject: str) -> dict[str, str]:
        """Return the versions of flags that a subject sees, none where they cannot be read."""
        try:
            return self.flags.all(subject)
        except StoreGone:
            raise
        except StoreError:
            return {}

    def _candidates(self, page: str) -> list[str]:
        """Return the widgets that a page chooses from; read once a generation."""
        generation = self.store.generation()
        number, pages = self._pages
        if number != generation.pointer.generation:
            number, pages = generation.pointer.generation, {}
            self._pages = number, pages
        if page not in pages:
            value = generation.colour.get(page_key(page))
            if value is None:
                return []
            pages[page] = json.loads(value)["candidates"]
        return pages[page]


def application(url: str, clock: Any, key: bytes, key_id: str, log: Log | None) -> Application:
    """Return the application on a store, with the key that makes pseudonyms."""
    store = Store.open(url, clock=clock)
    return Application(store, pseudonyms(key, key_id), log)


def run(config: Config, host: str, port: int) -> None:
    """Serve until told to end; spans and counts go where OTEL_EXPORTER_OTLP_ENDPOINT says, if it does."""
    ids = config.ids
    with to_collector(SERVICE, SPAN) as log:
        made = application(config.store_url, config.store.clock, ids.key, ids.key_id, log)
        with pushed(OF_SERVE, made.reads.samples):
            serve(made, host, port)


def serve(made: Any, host: str, port: int) -> None:
    """Serve an ASGI application, in one process."""
    import uvicorn

    sys.setswitchinterval(SWITCH_SECONDS)
    uvicorn.run(made, host=host, port=port, log_level="warning", access_log=False)


def _decision(
    answer: Answer,
    decision_id: str,
    of: Mapping[str, str],
    variant: str,
    versions: Mapping[str, str],
) -> dict[str, Value]:
    """Return a decision's attributes, as the lake reads them; what was seen follows in others.

    variant : the one that was asked for; a page's main one has the page's own layouts, which do not name it.
    """
    layout = answer.layout
    attributes: dict[str, Value] = {name: value for name, value in of.items() if value}
    attributes |= {
        "vitrine.page": layout.page,
        "vitrine.decision_id": decision_id,
        # A built-in page was drawn by nobody: its draw is this decision's own.
        "vitrine.draw_id": layout.draw_id or decision_id,
        "vitrine.widgets": layout.widgets,
        "vitrine.candidates": answer.candidates or sorted(layout.widgets),
        "vitrine.propensities": layout.propensities,
        "vitrine.policy_version": layout.policy_version,
        "vitrine.freshness": layout.freshness,
    }
    if layout.draw_id and (variant := layout.variant or variant):
        attributes["vitrine.variant"] = variant
    if answer.rules:
        attributes["vitrine.rules"] = answer.rules
    if versions:
        attributes["vitrine.versions"] = [f"{flag}={version}" for flag, version in versions.items()]
    return attributes


def asked(query: bytes) -> Mapping[str, list[str]]:
    """Return what a query string asks, as `parse_qs`, which takes thrice the time where nothing is quoted."""
    text = query.decode(errors="replace")
    if "%" in text or "+" in text:
        return parse_qs(text)
    found: dict[str, list[str]] = {}
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if value:
            found.setdefault(name, []).append(value)
    return found


def _first(query: Mapping[str, list[str]], name: str) -> str:
    return query[name][0] if name in query else ""


def _known(query: Mapping[str, list[str]], variant: str) -> Known:
    """Return what a request tells of a subject without a layout."""
    role, region = _first(query, "role")[:MOST_ID], _first(query, "region")[:MOST_ID]
    recent = tuple(category[:MOST_ID] for category in query.get("recent", [])[:MOST_RECENT])
    return Known(role, region, recent, variant=variant)


def _told(layout: Layout) -> dict[str, Any]:
    """Return a layout as an answer; whose it is stays here."""
    answer = {
        "page": layout.page,
        "widgets": layout.widgets,
        "propensities": layout.propensities,
        "reasons": layout.reasons,
        "draw_id": layout.draw_id,
        "policy_version": layout.policy_version,
        "freshness": layout.freshness,
        "why": layout.why,
        "generation": layout.generation,
    }
    if layout.variant:
        answer["variant"] = layout.variant
    return answer


def _kind_of(agent: str) -> str:
    """Return the kind of device as its browser names itself."""
    return "phone" if "Mobi" in agent else ""


def _found(name: str, content: Any, what: str) -> Reply:
    return (200, {name: content}) if content else (404, {"error": f"There is no {what}."})


def _header(scope: Mapping[str, Any], wanted: bytes) -> str:
    for name, value in scope["headers"]:
        if name == wanted:
            return value.decode("latin-1")[:MOST_ID]
    return ""
