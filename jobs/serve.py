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
import gc
import json
import os
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
from jobs.serving import serve
from jobs.store import Layout, Store, StoreError, StoreGone
from jobs.store.flags import Flags
from jobs.store.reader import NO_SUBJECT, Generation, built_in

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Scope = Mapping[str, Any]
Reply = tuple[int, Mapping[str, Any]]
Log = Callable[[Mapping[str, Value]], None]

SERVICE = "layout"
SPAN = "layout.served"
METRICS = "metrics"  # the only answer that is no JSON
JSON, PLAIN = (b"content-type", b"application/json"), (b"content-type", CONTENT_TYPE.encode())
MOST_ID = 200
MOST_RECENT = 20
IDS = ("user", "device", "session")
DRAWN = 256  # ids of decisions, together


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
        self._ids: list[str] = []
        self._answers: Mapping[str, Callable[[str, Scope], Reply | None]] = {
            "/v1/layouts": self._layout,
            "/v1/lists": self._list,
            "/v1/widgets": self._widget,
            "": self._of_itself,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        # A remote store may make this wait, and others must not wait with it; a thread costs more than all
        # that is done on a local one.
        if self.store.is_remote:
            status, content = await asyncio.to_thread(self.answer, scope)
        else:
            status, content = self.answer(scope)
        self.reads.note(status, content)
        if METRICS in content:
            kind, body = PLAIN, content[METRICS].encode()
        else:
            kind, body = JSON, orjson.dumps(content)
        headers = (kind, (b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.to_thread(self.misses.warm)
        # What is there now stays: a collection of garbage that walks over all of it holds up requests.
        gc.collect()
        gc.freeze()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        gc.unfreeze()
        await send({"type": "lifespan.shutdown.complete"})

    def answer(self, scope: Scope) -> Reply:
        """Return status and content of the answer to a request."""
        if scope["method"] not in ("GET", "HEAD"):
            return 405, {"error": "Only GET is answered here."}
        address, _, name = scope["path"].rstrip("/").rpartition("/")
        if "%" in name:
            name = unquote(name)
        make = self._answers.get(address)
        try:
            found = make(name, scope) if make else None
        except StoreGone as gone:
            return 503, {"error": "The store is gone."} | (_told(gone.layout) if gone.layout else {})
        except StoreError:
            return 503, {"error": "The store cannot be read."}
        return found or (404, {"error": "There is no such address; see vitrine serve --help."})

    def _list(self, key: str, _: Scope) -> Reply:
        return _found("products", list(self.store.products(key)[key]), f"list {key}")

    def _widget(self, name: str, _: Scope) -> Reply:
        value = self.store.generation().colour.get(f"widget:{name}".encode())
        return _found("labels", json.loads(value or b"{}"), f"widget {name}")

    def _of_itself(self, name: str, _: Scope) -> Reply | None:
        if name == "health":
            pointer = self.store.generation().pointer
            return 200, {"generation": pointer.generation, "serves_date": str(pointer.serves_date)}
        if name == "metrics":
            return 200, {METRICS: as_text(self.reads.samples())}
        return None

    def _layout(self, page: str, scope: Scope) -> Reply:
        query = asked(scope["query_string"])
        user, device, session = query.get("user", ""), query.get("device", ""), query.get("session", "")
        if not (user or device) or len(user) > MOST_ID or len(device) > MOST_ID or len(session) > MOST_ID:
            return 400, {"error": "Whose layout? Give user=ID or device=ID."}
        subject = self.pseudonym_of("user", user) if user else self.pseudonym_of("device", device)
        answer: Answer | None = None
        layout: Layout | None = None
        try:
            generation = self.store.generation()  # all that a request reads is of this one
            variant = self._variant(generation, page, query, scope)
            layout = self.store.get(subject, page, variant, of=generation)
            if layout.why == NO_SUBJECT:
                beside = [self.pseudonym_of("device", device)] if user and device else []
                known = _known(scope["query_string"], variant)
                answer = self.misses.answer(subject, page, known, beside, of=generation)
                layout = answer.layout if answer else layout
            versions = self._versions(generation, subject)
            if self.log is not None:
                answer = answer or Answer(layout, self._about(generation, page).get("candidates", []))
        except StoreGone as gone:
            gone.layout = layout or gone.layout or built_in(subject, page, str(gone), 0)
            raise
        told = _told(layout)
        told["decision_id"] = self._id()
        if versions:
            told["versions"] = versions
        if self.log is not None and answer is not None:
            self.log(_decision(answer, told["decision_id"], query, _agent(scope), variant, versions))
        return 200, told

    def _id(self) -> str:
        """Return the id of a decision, which nobody can guess; the system is asked for many at once."""
        try:
            return self._ids.pop()  # threads may each take one: no two the same
        except IndexError:
            drawn = os.urandom(16 * DRAWN).hex()
            self._ids += [drawn[at : at + 32] for at in range(32, len(drawn), 32)]
            return drawn[:32]

    def _variant(self, generation: Generation, page: str, query: Mapping[str, str], scope: Scope) -> str:
        """Return the variant to ask for, if the page has any."""
        if "variants" not in self._about(generation, page):
            return ""
        kind = query.get("device_kind") or ("phone" if "Mobi" in _agent(scope) else "")
        return self.store.variant(page, device=kind, of=generation)

    def _about(self, generation: Generation, page: str) -> Mapping[str, Any]:
        """Return what is said of a page, nothing where it cannot be read."""
        try:
            return generation.about(page)
        except StoreGone:
            raise
        except StoreError:
            return {}

    def _versions(self, generation: Generation, subject: str) -> dict[str, str]:
        """Return the versions of flags that a subject sees, none where they cannot be read."""
        try:
            return self.flags.all(subject, of=generation)
        except StoreGone:
            raise
        except StoreError:
            return {}


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


def _decision(
    answer: Answer,
    decision_id: str,
    query: Mapping[str, str],
    agent: str,
    variant: str,
    versions: Mapping[str, str],
) -> dict[str, Value]:
    """Return a decision's attributes, as the lake reads them; what was seen follows in others.

    variant : the one that was asked for; a page's main one has the page's own layouts, which do not name it.
    """
    layout = answer.layout
    attributes: dict[str, Value] = {f"{name}.id": query[name] for name in IDS if name in query}
    if agent:
        attributes["user_agent.original"] = agent
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


def asked(query: bytes) -> dict[str, str]:
    """Return what a query string asks, the first of each name; `parse_qs` takes five times as long."""
    text = query.decode(errors="replace")
    if "%" in text or "+" in text:
        return {name: values[0] for name, values in parse_qs(text).items()}
    found: dict[str, str] = {}
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if value and name not in found:
            found[name] = value
    return found


def _known(query: bytes, variant: str) -> Known:
    """Return what a request tells of a subject without a layout."""
    told = parse_qs(query.decode(errors="replace"))
    role, region = (told.get(name, [""])[0][:MOST_ID] for name in ("role", "region"))
    recent = tuple(category[:MOST_ID] for category in told.get("recent", [])[:MOST_RECENT])
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


def _found(name: str, content: Any, what: str) -> Reply:
    return (200, {name: content}) if content else (404, {"error": f"There is no {what}."})


def _agent(scope: Scope) -> str:
    """Return what the browser calls itself."""
    for name, value in scope["headers"]:
        if name == b"user-agent":
            return str(value.decode("latin-1")[:MOST_ID])
    return ""
