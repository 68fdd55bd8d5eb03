"""The reader: from a subject and a page to a layout, in a few microseconds, and never an exception on a miss.

It imports the standard library and lmdb, nothing else. A `Store` may be shared by threads and used by forked
processes.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

from jobs.store import keys
from jobs.store.codec import Draw, decode
from jobs.store.colours import Colour, colour_path, open_colour
from jobs.store.errors import StoreError, StoreGone
from jobs.store.pages import Page, compose, product_lists
from jobs.store.pointer import FILE, Pointer, read_pointer

Clock = Callable[[], datetime]
Freshness = Literal["fresh", "stale", "fallback"]

BUILT_IN = ("bestsellers", "trending")
RETRY_SECONDS = 1.0
NO_SUBJECT = "the subject has no layout of its own"
EXPIRED = "the generation is past its validity"
STALE = "the generation was made for an earlier day"
BUILT_IN_WHY = "the store has no default of this page"


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


class Generation(NamedTuple):
    """A pointer and the colour that it names."""

    pointer: Pointer
    colour: Colour

    def draw(self, key: bytes) -> Draw | None:
        """Return the draw under a key, None where there is none."""
        value = self.colour.get(key)
        return None if value is None else decode(value, self.colour.names)

    def default(self, subject: str, page: str) -> Draw | None:
        """Return the page's default variant that this subject sees."""
        variants = self.colour.heartbeat.defaults.get(page, 0)
        return self.draw(keys.default_key(page, keys.variant(subject, page, variants))) if variants else None


class Store:
    """A store opened for reading."""

    def __init__(self, folder: Path, clock: Clock | None) -> None:
        self._folder = folder
        self._pointer_path = str(folder / FILE)
        self._clock = clock
        self._current: Generation | None = None
        self._signature: tuple[int, int, int] | None = None
        self._lock = Lock()
        self._retry_at = 0.0

    @classmethod
    def open(cls, url: str | Path, *, clock: Clock | Literal["now", "generation"] = "now") -> "Store":
        """Name the store to read, `lmdb:FOLDER` or a folder; it need not be there yet.

        `clock` tells the time as an aware datetime; `generation` stands still at noon of the day that the
        live generation is made for.
        """
        fixed = {"now": lambda: datetime.now(UTC), "generation": None}
        return cls(folder_of(url), fixed[clock] if isinstance(clock, str) else clock)

    def get(self, subject: str, page: str) -> Layout:
        """Return a subject's layout of a page.

        A subject without one, or a generation past its validity, gets one of the page's default variants.

        Raises
        ------
        StoreGone
            When there is no store; its `layout` is the built-in default.

        """
        try:
            generation = self.generation()
        except StoreGone as gone:
            gone.layout = built_in(subject, page, str(gone), 0)
            raise
        return self._layout(generation, subject, page)

    def page(self, subject: str, page: str) -> Page:
        """Return a subject's layout of a page with the products that each widget shows.

        Raises
        ------
        StoreGone
            When there is no store; its `layout` is the built-in default.

        """
        try:
            generation = self.generation()
        except StoreGone as gone:
            gone.layout = built_in(subject, page, str(gone), 0)
            raise
        layout = self._layout(generation, subject, page)
        return Page(layout, compose(generation.colour, subject, layout))

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
        try:
            status = os.stat(self._pointer_path)  # noqa: PTH116 - a Path costs twice as much, at each request
        except OSError:
            if self._current is None:
                raise StoreGone(
                    f"There is no store at {self._folder}: run the export, or mend store.url."
                ) from None
            return self._current
        signature = (status.st_mtime_ns, status.st_ino, status.st_size)
        if signature == self._signature and self._current is not None:
            return self._current
        return self._reopen(signature)

    def _reopen(self, signature: tuple[int, int, int]) -> Generation:
        with self._lock:
            if self._current is not None and (
                signature == self._signature or time.monotonic() < self._retry_at
            ):
                return self._current
            try:
                opened = open_live(self._folder)
            except StoreError as error:
                if self._current is None:
                    raise StoreGone(str(error)) from None
                # The open file is whole and stays good until its validity ends: better than no page.
                self._retry_at = time.monotonic() + RETRY_SECONDS
                return self._current
            # The signature was read before the pointer: at worst the pointer is read once more.
            self._current, self._signature = opened, signature
            return opened

    def _layout(self, generation: Generation, subject: str, page: str) -> Layout:
        pointer = generation.pointer
        now = pointer.noon if self._clock is None else self._clock()
        freshness: Freshness = "fresh"
        why = ""
        if now >= pointer.valid_until:
            freshness, why = "fallback", EXPIRED
        elif now >= pointer.fresh_until:
            freshness, why = "stale", STALE
        draw: Draw | None = None
        try:
            if freshness != "fallback":
                draw = generation.draw(keys.draw_key(subject, page))
                if draw is None:
                    freshness, why = "fallback", NO_SUBJECT
        except StoreError as error:
            freshness, why = "fallback", str(error)
        if draw is None:
            try:
                draw = generation.default(subject, page)
            except StoreError as error:
                why = str(error)
        if draw is None:
            return built_in(subject, page, f"{why}; {BUILT_IN_WHY}", pointer.generation)
        return Layout(subject, page, *draw[:7], freshness, why, pointer.generation)


def built_in(subject: str, page: str, why: str, generation: int) -> Layout:
    """Return the page to show when the store has none: drawn by nobody, so it can teach nothing."""
    count = len(BUILT_IN)
    return Layout(
        subject, page, BUILT_IN, (0.0,) * count, (1.0,) * count, ("built-in",) * count, "", "built-in", None,
        "fallback", why, generation,
    )  # fmt: skip


def open_live(folder: Path) -> Generation:
    """Open the live generation.

    Raises
    ------
    StoreGone
        When there is no pointer.
    StoreError
        When the pointer names a generation that is not there.

    """
    for _ in range(3):  # two exports between reading the pointer and opening the file: look again
        pointer = read_pointer(folder)
        if pointer is None:
            raise StoreGone(f"There is no store at {folder}: run the export, or mend store.url.")
        try:
            colour = open_colour(colour_path(folder, pointer.colour))
        except OSError as error:
            problem = f"The pointer names {pointer.colour}, which cannot be opened: {error}."
            continue
        if colour.heartbeat.generation == pointer.generation:
            return Generation(pointer, colour)
        problem = (
            f"The pointer names generation {pointer.generation}, but {pointer.colour} holds"
            f" {colour.heartbeat.generation}."
        )
    raise StoreError(problem)


def folder_of(url: str | Path) -> Path:
    """Return the folder of an address, `lmdb:FOLDER` or a folder.

    Raises
    ------
    StoreError
        When the address is of another kind.

    """
    scheme, colon, rest = str(url).partition(":")
    if colon and scheme != "lmdb":
        raise StoreError(f"store.url = {url} names no backend that this version has; give lmdb:FOLDER.")
    return Path(rest if colon else scheme)
