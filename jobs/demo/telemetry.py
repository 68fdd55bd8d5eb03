"""A day of web sessions as telemetry and tag hits, with the losses that real collection has.

What is planted and counted: lost tag hits, repeated lines, events that arrive a day late, skewed clocks,
logged-out visits and bots.
Reads, writes: nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from jobs.demo import spans, world
from jobs.demo.replay import SEED
from jobs.demo.source import date_of

BOTS = 0.01
LOST_HITS = 0.03
REPEATED_LINES = 0.005
LATE = 0.01
SPANS_A_LINE = 24
BOT_AGENT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@dataclass(frozen=True)
class Serving:
    """A page as it was served in a visit, and what came of each position that was seen."""

    decision_id: str
    draw_id: str
    page: str
    widgets: Sequence[str]
    candidates: Sequence[str]
    propensities: Sequence[float]
    policy_version: str
    seen: int
    rewards: Sequence[int]  # of every position, seen or not
    products: Sequence[int]  # raw product number that earns the reward, or -1
    is_own: bool = True  # false for a page's default


@dataclass(frozen=True)
class Visit:
    """A household's local day: pages served, then its orders."""

    household: int
    device: str
    logged_out: bool
    servings: Sequence[Serving]
    orders: Sequence[tuple[str, int, int]]  # order id, microseconds since the epoch, cents


@dataclass
class Day:
    """What a day's sessions left behind, by source; `late` arrives on the next day."""

    web: list[str] = field(default_factory=list)
    layout: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    late: dict[str, list[str]] = field(default_factory=lambda: {"web": [], "layout": [], "tags": []})
    late_decisions: set[str] = field(default_factory=set)
    planted: Counter[str] = field(default_factory=Counter)


class _Writer:
    """Collects one day's events; keeps every time inside the business day."""

    def __init__(self, day: int, first_us: int, last_us: int, catalogue: dict[int, tuple[str, str]]) -> None:
        self.out = Day()
        self.local_date = date_of(day).strftime("%Y%m%d")
        self.first_us, self.last_us, self.catalogue = first_us, last_us, catalogue
        self.rng = np.random.default_rng((SEED, day))
        self.pool: list[float] = []
        self.decision = ""
        self.spans: dict[str, list[str]] = {"web": [], "layout": []}

    def uniform(self) -> float:
        """The next number in [0, 1); drawn in blocks, since one at a time is slow."""
        if not self.pool:
            self.pool = self.rng.random(65536).tolist()
        return self.pool.pop()

    def hex(self, characters: int) -> str:
        """A fresh id."""
        return self.rng.bytes(characters // 2).hex()

    def emit(
        self,
        visitor: spans.Visitor,
        name: str,
        parent: str,
        at_us: int,
        own: str,
        page: str = "",
        extra: str = "",
    ) -> str:
        """Write one event as a span, and as a hit when tags know its kind; return its id.

        own: the event's own attributes; extra: what only its hit holds, ready-made.
        """
        span_id = self.hex(16)
        service = "layout" if name == "layout.served" else "web"
        at = min(max(at_us, self.first_us), self.last_us)
        lasts = 1000 + int(self.uniform() * 40_000)
        row = spans.span(name, visitor.trace, span_id, parent, at, lasts, f"{visitor.attributes},{own}")
        late = self.uniform() < LATE
        (self.out.late[service] if late else self.spans[service]).append(row)
        self.out.planted["late spans"] += late
        self.out.planted["spans"] += 1
        if late and self.decision:
            self.out.late_decisions.add(self.decision)
        if name in spans.TAG_NAMES:
            self._hit(name, span_id, at, visitor, page, extra)
        elif service == "layout":
            self._flush("layout", SPANS_A_LINE)
        return span_id

    def _hit(self, name: str, span_id: str, at: int, visitor: spans.Visitor, page: str, extra: str) -> None:
        self.out.planted["hits"] += 1
        if self.uniform() < LOST_HITS:
            self.out.planted["lost hits"] += 1
            return
        late = self.uniform() < LATE
        self.out.planted["late hits"] += late
        row = spans.hit(name, span_id, at, self.local_date, visitor, page, extra)
        if late:
            self.out.late["tags"].append(row)
        else:
            self.add(self.out.tags, row)

    def add(self, lines: list[str], row: str) -> None:
        """Write a line, now and then twice."""
        lines.append(row)
        if self.uniform() < REPEATED_LINES:
            lines.append(row)
            self.out.planted["repeated lines"] += 1

    def _flush(self, service: str, least: int) -> None:
        if len(self.spans[service]) >= max(least, 1):
            lines = self.out.web if service == "web" else self.out.layout
            self.add(lines, spans.line(service, self.spans[service]))
            self.spans[service] = []

    def end_visit(self) -> None:
        """Send what the front end has gathered."""
        self._flush("web", 8)

    def finish(self) -> Day:
        """Send the rest; late spans are packed into lines of their own."""
        for service in ("web", "layout"):
            self._flush(service, 1)
            late = self.out.late[service]
            packs = [late[i : i + SPANS_A_LINE] for i in range(0, len(late), SPANS_A_LINE)]
            self.out.late[service] = [spans.line(service, pack) for pack in packs]
        return self.out


def day(
    number: int, first_us: int, last_us: int, visits: Sequence[Visit], catalogue: dict[int, tuple[str, str]]
) -> Day:
    """The telemetry and tags of a business day that lasts from `first_us` to `last_us`.

    catalogue: raw product number -> name and category.
    """
    writer = _Writer(number, first_us, last_us, catalogue)
    for visit in visits:
        _visit(writer, visit)
    for index in range(round(len(visits) * BOTS)):
        _bot(writer, number, index)
    return writer.finish()


def _visit(writer: _Writer, visit: Visit) -> None:
    """One visit: the page start, the page home, then the orders, in one trace."""
    first_order = visit.orders[0][1]
    start = max(first_order - int((240 + 360 * writer.uniform()) * 1e6), writer.first_us + 5_000_000)
    user = None if visit.logged_out else f"h{visit.household}"
    visitor = spans.visitor(
        visit.device, user, writer.hex(16), start, world.user_agent(visit.device), writer.hex(32)
    )
    skew = int(world.skew_seconds(visit.device) * 1e6)
    writer.out.planted["visits"] += 1
    writer.out.planted["logged-out visits"] += visit.logged_out
    root, at = "", start
    for serving in visit.servings:
        root = _page(writer, serving, visitor, root, at, skew)
        at += int((30 + 20 * writer.uniform()) * 1e6)
    for order_id, ordered_us, cents in visit.orders:
        if ordered_us - first_order > 1800e6:
            visitor, root = visitor._replace(trace=writer.hex(32)), ""
        own = f"{spans.text('vitrine.order_id', order_id)},{spans.integer('vitrine.value_cents', cents)}"
        extra = spans.purchase(order_id, cents)
        writer.emit(visitor, "order.placed", root, ordered_us + skew, own, "checkout", extra)
    writer.end_visit()


def _page(writer: _Writer, serving: Serving, visitor: spans.Visitor, root: str, at: int, skew: int) -> str:
    """A page view, its layout, what was seen and what came of it; returns the trace's root span."""
    page = serving.page
    page_attribute = spans.text("vitrine.page", page)
    view = writer.emit(visitor, "page.view", root, at + skew, page_attribute, page)
    writer.decision = serving.decision_id
    named = f"{spans.text('vitrine.decision_id', serving.decision_id)},{page_attribute}"
    own = ",".join(
        [
            named,
            spans.text("vitrine.draw_id", serving.draw_id),
            spans.texts("vitrine.widgets", serving.widgets),
            spans.texts("vitrine.candidates", serving.candidates),
            spans.doubles("vitrine.propensities", serving.propensities),
            spans.text("vitrine.policy_version", serving.policy_version),
        ]
    )
    served = at + 20_000 + int(writer.uniform() * 200_000)
    writer.emit(visitor, "layout.served", view, served, own)
    for position in range(serving.seen):
        widget = spans.text("vitrine.widget", serving.widgets[position])
        place = f"{named},{spans.integer('vitrine.position', position)},{widget}"
        seen = served + int((0.3 + 0.5 * position + 0.3 * writer.uniform()) * 1e6)
        writer.emit(visitor, "widget.seen", view, seen + skew, place)
        reward = serving.rewards[position]
        if reward == 0:
            continue
        product = serving.products[position]
        own = f"{place},{spans.text('vitrine.product_id', str(product))}"
        extra = spans.item(product, *writer.catalogue[product])
        opened = served + int((1 + 14 * writer.uniform()) * 1e6)
        writer.emit(visitor, "product.view", view, opened + skew, own, page, extra)
        if reward == 3:
            added = opened + int((1 + 4 * writer.uniform()) * 1e6)
            writer.emit(visitor, "basket.add", view, added + skew, own, page, extra)
    writer.decision = ""
    return root or view


def _bot(writer: _Writer, number: int, index: int) -> None:
    """A session without decisions: most name themselves, one in ten only shows by its pace."""
    device, by_pace = f"b{number}-{index}", writer.uniform() < 0.1
    agent = world.user_agent(device) if by_pace else BOT_AGENT
    start = writer.first_us + int(writer.uniform() * 20 * 3.6e9)
    visitor = spans.visitor(device, None, writer.hex(16), start, agent, writer.hex(32))
    pages = 400 if by_pace else 5 + int(writer.uniform() * 16)
    writer.out.planted["bot sessions"] += 1
    writer.out.planted["bot spans"] += pages
    for i in range(pages):
        page = ("start", "home")[i % 2]
        writer.emit(visitor, "page.view", "", start + i * 500_000, spans.text("vitrine.page", page), page)
        if i % 40 == 39:
            writer.end_visit()
    writer.end_visit()
