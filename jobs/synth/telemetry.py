"""A block's day as text: OTLP JSON lines and rows of GA4's export, eight spans a line.

Planted, as real collection has it: lines that come twice, lines that come a day late, tag hits that are lost,
visits without a login, bots.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.synth.people import AGENTS, Ints, People
from jobs.synth.sessions import HOME_POSITIONS, HOME_WIDGETS, START_WIDGETS, Sessions, uniform_propensities
from jobs.synth.size import Size, Stream

SPANS_A_LINE = 8
REPEATED, LATE, LOST_HITS = 0.005, 0.005, 0.03
BOT_AGENT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
POLICY = "uniform"
PAGES = ("start", "home")
TAG_NAMES = {
    "page.view": "page_view",
    "product.view": "view_item",
    "basket.add": "add_to_cart",
    "order.placed": "purchase",
}


@dataclass(frozen=True)
class Text:
    """Lines by source, and those of them that arrive on the next day."""

    telemetry: Sequence[str]
    late_telemetry: Sequence[str]
    tags: Sequence[str]
    late_tags: Sequence[str]
    spans: int


class _Events:
    """Gathers spans by service, and hits, with the visit and time by which they are put in order."""

    def __init__(self, rng: np.random.Generator, local_date: str) -> None:
        self.rng, self.local_date = rng, local_date
        self.spans: dict[str, list[str]] = {"web": [], "layout": []}
        self.order: dict[str, list[tuple[Ints, Ints]]] = {"web": [], "layout": []}
        self.hits: list[str] = []

    def ids(self, n: int, digits: int = 16) -> list[str]:
        """Draw `n` hexadecimal ids."""
        text = self.rng.bytes(n * digits // 2).hex()
        return [text[at : at + digits] for at in range(0, len(text), digits)]

    def add(
        self, name: str, visit: Ints, at: Ints, traces: Sequence[str], attributes: Iterable[str]
    ) -> list[str]:
        """Add one span for each row; return their ids."""
        service, kind = ("layout", 2) if name == "layout.served" else ("web", 3)
        ids = self.ids(len(at))
        lasts = self.rng.integers(1000, 40_000, size=len(at))
        self.spans[service] += [
            f'{{"traceId":"{trace}","spanId":"{span}","parentSpanId":"","name":"{name}","kind":{kind},'
            f'"startTimeUnixNano":"{begin}000","endTimeUnixNano":"{end}000",'
            f'"attributes":[{own}],"status":{{}}}}'
            for trace, span, begin, end, own in zip(
                traces, ids, at.tolist(), (at + lasts).tolist(), attributes, strict=True
            )
        ]
        self.order[service].append((visit, at))
        return ids

    def tag(
        self, name: str, ids: Sequence[str], at: Ints, who: Iterable[str], pages: Iterable[str],
        extra: Iterable[str],
    ) -> None:  # fmt: skip
        """Add the tag hits that saw the same as these spans, but for the lost ones."""
        kept = (self.rng.random(len(ids)) >= LOST_HITS).tolist()
        self.hits += [
            f'{{"event_date":"{self.local_date}","event_timestamp":"{moment}","event_name":"{TAG_NAMES[name]}",'
            f'"event_params":[{{"key":"page_location","value":{{"string_value":"https://shop.example/{page}"}}}},'
            f'{{"key":"event_id","value":{{"string_value":"{span}"}}}}],{visitor},"platform":"WEB"{more}}}'
            for span, moment, visitor, page, more, keep in zip(
                ids, at.tolist(), who, pages, extra, kept, strict=True
            )
            if keep
        ]

    def lines(self, service: str) -> list[str]:
        """Pack a service's spans, visit by visit, eight a line."""
        visit, at = (np.concatenate(part) for part in zip(*self.order[service], strict=True))
        spans = [self.spans[service][row] for row in np.lexsort((at, visit)).tolist()]
        head = (
            f'{{"resourceSpans":[{{"resource":{{"attributes":[{string("service.name", service)}]}},'
            f'"scopeSpans":[{{"scope":{{"name":"shop.{service}"}},"spans":['
        )
        packs = (spans[row : row + SPANS_A_LINE] for row in range(0, len(spans), SPANS_A_LINE))
        return [f"{head}{','.join(pack)}]}}]}}]}}" for pack in packs]


class _Visits:
    """Writes a block's visits; keeps the text that the spans of a visit and of a serving share."""

    def __init__(self, events: _Events, people: People, sessions: Sessions) -> None:
        self.events, self.sessions = events, sessions
        self.traces = events.ids(len(sessions.user), 32)
        names = people.numbers[sessions.user].tolist()
        devices = [f"d{name}-{which}" for name, which in zip(names, sessions.device.tolist(), strict=True)]
        users = [f"u{n}" if known else None for n, known in zip(names, sessions.is_logged_in, strict=True)]
        agents = [AGENTS[agent] for agent in people.agents[sessions.user].tolist()]
        visits = events.ids(len(devices))
        self.attributes = list(map(visitor, devices, users, visits, agents))
        self.who = list(map(visitor_of_tags, devices, users))
        self.visit_of = sessions.serving_visit.tolist()
        self.page = [PAGES[home] for home in sessions.is_home.tolist()]
        self.named = [
            f"{self.attributes[visit]},{string('vitrine.decision_id', decision)},{ON_PAGE[page]}"
            for visit, decision, page in zip(
                self.visit_of, events.ids(len(self.page)), self.page, strict=True
            )
        ]

    def servings(self) -> None:
        """Write each page's view, and its layout a moment later."""
        at, visit = self.sessions.serving_at, self.sessions.serving_visit
        traces = [self.traces[row] for row in self.visit_of]
        own = [f"{self.attributes[v]},{ON_PAGE[p]}" for v, p in zip(self.visit_of, self.page, strict=True)]
        ids = self.events.add("page.view", visit, at, traces, own)
        who = [self.who[row] for row in self.visit_of]
        self.events.tag("page.view", ids, at, who, self.page, [""] * len(ids))
        rows = zip(
            self.named, self.events.ids(len(at)), self.page, self.sessions.widgets.tolist(), strict=True
        )
        own = [f"{n},{string('vitrine.draw_id', d)},{_layout(p, w)},{DRAWN[p]}" for n, d, p, w in rows]
        later = 20_000 + self.events.rng.integers(200_000, size=len(at))
        self.events.add("layout.served", visit, at + later, traces, own)

    def outcomes(self) -> None:
        """Write the positions that came into view, products opened there or put into the basket."""
        sessions = self.sessions
        serving, views = sessions.seen_serving.tolist(), sessions.view_seen
        visit = sessions.serving_visit[sessions.seen_serving]
        shown = sessions.widgets[sessions.seen_serving, sessions.seen_position].tolist()
        placed = [
            f"{self.named[s]},{integer('vitrine.position', p)},{WIDGET[self.page[s]][w]}"
            for s, p, w in zip(serving, sessions.seen_position.tolist(), shown, strict=True)
        ]
        traces = [self.traces[row] for row in visit.tolist()]
        self.events.add("widget.seen", visit, sessions.seen_at, traces, placed)
        product = [f"p{number}" for number in sessions.view_product.tolist()]
        for name, picked, at in (
            ("product.view", np.arange(len(views)), sessions.view_at),
            ("basket.add", sessions.basket_view, sessions.basket_at),
        ):
            origin = views[picked].tolist()
            products = [product[row] for row in picked.tolist()]
            own = [
                f"{placed[o]},{string('vitrine.product_id', p)}"
                for o, p in zip(origin, products, strict=True)
            ]
            ids = self.events.add(name, visit[views[picked]], at, [traces[o] for o in origin], own)
            who = [self.who[row] for row in visit[views[picked]].tolist()]
            items = [f',"items":[{{"item_id":"{p}"}}]' for p in products]
            self.events.tag(name, ids, at, who, [self.page[serving[o]] for o in origin], items)

    def orders(self, orders: Sequence[tuple[str, int]]) -> None:
        """Write the orders, of (number, cents)."""
        visit, at = self.sessions.order_visit, self.sessions.order_at
        rows = list(zip(visit.tolist(), orders, strict=True))
        own = [
            f"{self.attributes[v]},{string('vitrine.order_id', o)},{integer('vitrine.value_cents', c)}"
            for v, (o, c) in rows
        ]
        ids = self.events.add("order.placed", visit, at, [self.traces[v] for v, _ in rows], own)
        bought = [
            f',"ecommerce":{{"transaction_id":"{o}","purchase_revenue":{c / 100}}},"items":[]'
            for _, (o, c) in rows
        ]
        who = [self.who[v] for v, _ in rows]
        self.events.tag("order.placed", ids, at, who, ["checkout"] * len(ids), bought)


def of_day(
    size: Size,
    people: People,
    sessions: Sessions,
    orders: Sequence[tuple[str, int]],
    block: int,
    day: int,
) -> Text:
    """Write a block's day; orders: number and cents of each order of `sessions`."""
    rng = size.numbers(Stream.TEXT, block, day)
    events = _Events(rng, size.date(day).strftime("%Y%m%d"))
    visits = _Visits(events, people, sessions)
    visits.servings()
    visits.outcomes()
    visits.orders(orders)
    _bots(events, sessions, f"{block}-{day}")
    lines, late_lines = _delivered(rng, events.lines("web") + events.lines("layout"))
    hits, late_hits = _delivered(rng, events.hits)
    return Text(lines, late_lines, hits, late_hits, sum(map(len, events.spans.values())))


def string(key: str, value: str) -> str:
    """A string attribute; neither part may need escaping."""
    return f'{{"key":"{key}","value":{{"stringValue":"{value}"}}}}'


def integer(key: str, value: int) -> str:
    """An integer attribute: in OTLP JSON a 64-bit integer is a string."""
    return f'{{"key":"{key}","value":{{"intValue":"{value}"}}}}'


def visitor(device: str, user: str | None, visit: str, agent: str) -> str:
    """The attributes that all spans of a visit share."""
    login = "" if user is None else f",{string('user.id', user)}"
    own = f"{string('session.id', visit)},{string('user_agent.original', agent)}"
    return f"{string('device.id', device)}{login},{own}"


def visitor_of_tags(device: str, user: str | None) -> str:
    """The fields of a tag hit that say who was there."""
    name = "null" if user is None else f'"{user}"'
    return f'"user_id":{name},"user_pseudo_id":"{device}"'


def _bots(events: _Events, sessions: Sessions, name: str) -> None:
    """Visits without layouts: all but a block's first say that they are bots, that one shows by its pace."""
    pages = sessions.bot_pages
    bot = np.repeat(np.arange(len(pages)), pages)
    nth = np.arange(len(bot)) - np.repeat(np.cumsum(pages) - pages, pages)
    agents = [BOT_AGENT if named else AGENTS[0] for named in sessions.bot_is_named.tolist()]
    visits, traces = events.ids(len(pages)), events.ids(len(pages), 32)
    shared = [visitor(f"b{name}-{b}", None, visits[b], agents[b]) for b in range(len(pages))]
    own = [f"{shared[b]},{ON_PAGE[PAGES[n % 2]]}" for b, n in zip(bot.tolist(), nth.tolist(), strict=True)]
    at = sessions.bot_start[bot] + nth * 500_000
    events.add("page.view", len(sessions.user) + bot, at, [traces[b] for b in bot.tolist()], own)


def _delivered(rng: np.random.Generator, lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split lines into those of the day and those that come a day late; some come twice."""
    copies = 1 + (rng.random(len(lines)) < REPEATED)
    is_late = rng.random(len(lines)) < LATE
    rows = list(zip(lines, copies.tolist(), is_late.tolist(), strict=True))
    return (
        [line for line, times, late in rows if not late for _ in range(times)],
        [line for line, _, late in rows if late],
    )


def _layout(page: str, widgets: Sequence[int]) -> str:
    shown = widgets[: POSITIONS[page]]
    inner = ",".join(f'{{"stringValue":"{WIDGETS[page][widget]}"}}' for widget in shown)
    return f'{{"key":"vitrine.widgets","value":{{"arrayValue":{{"values":[{inner}]}}}}}}'


def _drawn(page: str) -> str:
    """What is the same in every layout of a page, since all widgets are equally likely."""
    names = ",".join(f'{{"stringValue":"{name}"}}' for name in WIDGETS[page])
    chances = uniform_propensities(len(WIDGETS[page]), POSITIONS[page]).tolist()
    numbers = ",".join(f'{{"doubleValue":{chance!r}}}' for chance in chances)
    return (
        f'{{"key":"vitrine.candidates","value":{{"arrayValue":{{"values":[{names}]}}}}}},'
        f'{{"key":"vitrine.propensities","value":{{"arrayValue":{{"values":[{numbers}]}}}}}},'
        f"{string('vitrine.policy_version', POLICY)}"
    )


WIDGETS = {"start": START_WIDGETS, "home": HOME_WIDGETS}
POSITIONS = {"start": 1, "home": HOME_POSITIONS}
WIDGET = {page: [string("vitrine.widget", name) for name in names] for page, names in WIDGETS.items()}
ON_PAGE = {page: string("vitrine.page", page) for page in PAGES}
DRAWN = {page: _drawn(page) for page in PAGES}
