"""The reader: from a subject and a page to a layout, in a few microseconds, and never an exception on a miss.

It imports the standard library and what its backend needs, nothing else. A `Store` may be shared by threads
and used by forked processes.
"""

import json
import time
from collections.abc import Callable, Hashable
from datetime import UTC, date, datetime
from threading import Lock
from typing import Any, Literal, NamedTuple, TypeVar

from jobs.store import keys
from jobs.store.backends import Address, Backend, Colour, backend_of
from jobs.store.codec import Columns, Draw, columns, decode
from jobs.store.errors import BrokenValue, NotThere, StoreError, StoreGone
from jobs.store.pages import Page, compose, product_lists
from jobs.store.pointer import Pointer
from jobs.store.polled import Polled
from jobs.store.variants import choose, page_of

T = TypeVar("T")
Clock = Callable[[], datetime]
# The last two are of `vitrine serve` alone (jobs/misses.py).
Freshness = Literal["fresh", "stale", "fallback", "degraded", "ranked"]

BUILT_IN = ("bestsellers", "trending")
RETRY_SECONDS = 1.0
NO_SUBJECT = "the subject has no layout of its own"
EXPIRED = "the generation is past its validity"
STALE = "the generation was made for an earlier day"
BUILT_IN_WHY = "the store has no default of this page"


_made: Any = tuple.__new__  # what a named tuple's own constructor does, in a third of the time


def _now() -> datetime:
    return datetime.now(UTC)


class Layout(NamedTuple):
    """A layout as a front end shows it; positions are the places in the tuples."""

    subject: str
    page: str
    widgets: tuple[str, ...]
    scores: tuple[float, ...]
    propensities: tuple[float, ...]
    reasons: tuple[str, ...]
    draw_id: str
    policy_version: str
    drawn_date: date | None
    freshness: Freshness
    why: str
    generation: int
    variant: str = ""


class Generation:
    """A pointer, the colour that it names, and what is read of it only once."""

    def __init__(self, pointer: Pointer, colour: Colour) -> None:
        self.pointer = pointer
        self.colour = colour
        self._made: dict[Hashable, Any] = {}
        self._about: dict[str, dict[str, Any]] = {}

    def once(self, name: Hashable, make: Callable[["Generation"], T]) -> T:
        """Return what is made of it at the first call of a name; threads may each make it at once."""
        try:
            made: T = self._made[name]
        except KeyError:
            made = self._made.setdefault(name, make(self))
        return made

    def about(self, page: str) -> dict[str, Any]:
        """Return what is said of a page (`page:PAGE` of keys.py); {} if nothing, or no such page is there.

        Raises
        ------
        StoreError
            When it cannot be read.

        """
        try:
            return self._about[page]
        except KeyError:
            if page not in self.colour.heartbeat.defaults:
                return {}  # callers make up pages: none of those is read or kept
        value = self.colour.get(keys.page_key(page))
        try:
            said = dict(json.loads(value or b"{}"))
        except (ValueError, TypeError) as error:
            raise BrokenValue(f"What is said of page {page} cannot be read: {error!r}.") from None
        return self._about.setdefault(page, said)

    def draw(self, key: bytes) -> Draw | None:
        """Return the draw under a key, None where there is none."""
        value = self.colour.get(key)
        return None if value is None else decode(value, self.colour.names)

    def default(self, subject: str, page: str) -> Columns | None:
        """Return the page's default variant that this subject sees."""
        variants = self.colour.heartbeat.defaults.get(page, 0)
        if not variants:
            return None
        value = self.colour.get(keys.default_key(page, keys.variant(subject, page, variants)))
        return None if value is None else columns(value, self.colour.names)


class Store:
    """A store opened for reading."""

    def __init__(self, backend: Backend, clock: Clock | None) -> None:
        self.is_remote = isinstance(backend, Polled)
        """Whether a read may have to wait for a server."""
        self._backend = backend
        self._clock = clock
        self._current: Generation | None = None
        self._signature: Hashable | None = None
        self._lock = Lock()
        self._retry_at = 0.0

    @classmethod
    def open(cls, url: Address, *, clock: Clock | Literal["now", "generation"] = "now") -> "Store":
        """Name the store to read, as backends.py lists; it need not be there yet.

        `clock` tells the time as an aware datetime; `generation` stands still at noon of the day that the
        live generation is made for.
        """
        fixed = {"now": _now, "generation": None}
        return cls(backend_of(url), fixed[clock] if isinstance(clock, str) else clock)

    def get(self, subject: str, page: str, variant: str = "", *, of: Generation | None = None) -> Layout:
        """Return a subject's layout of a page, or of one of its variants (variants.py).

        A variant that the page does not have is its main one. Who reads several things for one request reads
        them `of` one generation.
        A subject without one, or a generation past its validity, gets one of the page's default variants.

        Raises
        ------
        StoreGone
            When there is no store; its `layout` is the built-in default.

        """
        try:
            return self._layout(of or self.generation(), subject, page, variant)
        except StoreGone as gone:
            gone.layout = built_in(subject, page, str(gone), 0)
            raise

    def page(self, subject: str, page: str, variant: str = "") -> Page:
        """Return a subject's layout of a page, as `get`, with the products that each widget shows.

        Raises
        ------
        StoreGone
            When there is no store; its `layout` is the built-in default.

        """
        try:
            generation = self.generation()
            layout = self._layout(generation, subject, page, variant)
            return Page(layout, compose(generation.colour, subject, layout, generation.about(page)))
        except StoreGone as gone:
            gone.layout = built_in(subject, page, str(gone), 0)
            raise

    def variant(
        self, page: str, *, device: str = "", at: datetime | None = None, of: Generation | None = None
    ) -> str:
        """Return the variant of a page for a kind of device at an instant, by the store's clock unless told.

        '' where the page has none.

        Raises
        ------
        StoreGone
            When there is no store.

        """
        generation = of or self.generation()
        asked = generation.about(page).get("variants")
        if not asked:
            return ""
        now = at or (generation.pointer.noon if self._clock is None else self._clock())
        return choose(asked, device, now)

    def products(self, *lists: str) -> dict[str, tuple[str, ...]]:
        """Return the products of lists: `bestsellers`, `trending`, `category:NAME`; none for unknown ones."""
        return product_lists(self.generation().colour, lists)

    def generation(self) -> Generation:
        """Resolve the pointer, once per request: whatever the request reads comes from this one generation.

        Raises
        ------
        StoreGone
            When there is no store.

        """
        signature = self._backend.version()
        if signature is None:
            if self._current is None:
                raise StoreGone(_absent(self._backend))
            return self._current
        if signature == self._signature and self._current is not None:
            return self._current
        return self._reopen(signature)

    def _reopen(self, signature: Hashable) -> Generation:
        with self._lock:
            if self._current is not None and (
                signature == self._signature or time.monotonic() < self._retry_at
            ):
                return self._current
            try:
                opened = open_live(self._backend)
            except StoreError as error:
                if self._current is None:
                    raise StoreGone(str(error)) from None
                # The open file is whole and stays good until its validity ends: better than no page.
                self._retry_at = time.monotonic() + RETRY_SECONDS
                return self._current
            # The signature was read before the pointer: at worst the pointer is read once more.
            self._current, self._signature = opened, signature
            return opened

    def _layout(self, generation: Generation, subject: str, page: str, variant: str) -> Layout:
        pointer, clock = generation.pointer, self._clock
        freshness: Freshness = "fresh"
        why, kept = "", page
        if clock is not None:  # one that stands at noon is never late
            now = time.time() if clock is _now else clock().timestamp()
            if now >= pointer.fresh_seconds:
                late = now >= pointer.valid_until.timestamp()
                freshness, why = ("fallback", EXPIRED) if late else ("stale", STALE)
        if variant:
            kept = page_of(page, variant)
            if kept not in generation.colour.heartbeat.defaults:
                kept, variant = page, ""
        draw: Columns | None = None
        try:
            if freshness != "fallback":
                value = generation.colour.get(keys.draw_key(subject, kept))
                if value is None:
                    freshness, why = "fallback", NO_SUBJECT
                else:
                    draw = columns(value, generation.colour.names)
        except StoreGone:
            raise
        except StoreError as error:
            freshness, why = "fallback", str(error)
        if draw is None:
            try:
                draw = generation.default(subject, kept)
            except StoreGone:
                raise
            except StoreError as error:
                why = str(error)
        if draw is None:
            return built_in(subject, page, f"{why}; {BUILT_IN_WHY}", pointer.generation)
        widgets, scores, propensities, reasons, draw_id, policy_version, drawn_date, _ = draw
        return _made(
            Layout,
            (
                subject, page, widgets, scores, propensities, reasons, draw_id, policy_version, drawn_date,
                freshness, why, pointer.generation, variant,
            ),
        )  # fmt: skip


def built_in(subject: str, page: str, why: str, generation: int) -> Layout:
    """Return the page to show when the store has none: drawn by nobody, so it can teach nothing."""
    count = len(BUILT_IN)
    return Layout(
        subject, page, BUILT_IN, (0.0,) * count, (1.0,) * count, ("built-in",) * count, "", "built-in", None,
        "fallback", why, generation,
    )  # fmt: skip


def open_live(url: Address) -> Generation:
    """Open the live generation.

    Raises
    ------
    StoreGone
        When there is no pointer.
    StoreError
        When the pointer names a generation that is not there.

    """
    backend = backend_of(url)
    for _ in range(3):  # two exports between reading the pointer and opening the colour: look again
        pointer = backend.pointer()
        if pointer is None:
            raise StoreGone(_absent(backend))
        try:
            colour = backend.colour(pointer.colour)
        except NotThere as error:
            problem = f"The pointer names {error}"
            continue
        if colour.heartbeat.generation == pointer.generation:
            return Generation(pointer, colour)
        problem = (
            f"The pointer names generation {pointer.generation}, but {pointer.colour} holds"
            f" {colour.heartbeat.generation}."
        )
    raise StoreError(problem)


def _absent(backend: Backend) -> str:
    return f"There is no store at {backend.where}: run the export, or mend store.url."
