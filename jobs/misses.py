"""What is shown to who has no layout: a ranking at once, and a fuller one from the next request on.

At once a page is ranked by what is in memory and what the request tells (jobs/on_request.py): `degraded`.
Behind the answer it is ranked once more, with what the store knows of the subject and of the device that it
came with: `ranked`, kept for the next request of the same subject that tells the same. What waits and what is
kept are bounded: past the one a request is not ranked again, past the other the oldest is forgotten.

A page without a policy in the store, and whom a page's rules leave nothing, gets its default variants, as
from the reader.
"""

import json
import queue
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock, Thread
from typing import NamedTuple

from jobs.on_request import Known, Ranker
from jobs.store import Layout, Store, StoreError, StoreGone
from jobs.store.keys import policy_key
from jobs.store.pages import own_categories
from jobs.store.reader import Generation

KEPT = 10_000
WAITING = 256
DEGRADED_WHY = "the subject has no layout of its own: ranked by what the request tells"
RANKED_WHY = "the subject has no layout of its own: ranked by what the request and the store tell"


class Answer(NamedTuple):
    """A layout, the widgets that it was drawn from, and the rules of its page as they were bound to them."""

    layout: Layout
    candidates: list[str]
    rules: str | None = None


class Behind:
    """One thread that makes answers behind the requests, and keeps them."""

    def __init__(self, kept: int = KEPT, waiting: int = WAITING) -> None:
        self._most = kept
        self._kept: OrderedDict[Hashable, Answer] = OrderedDict()
        self._asked: set[Hashable] = set()
        self._lock = Lock()
        self._queue: queue.Queue[tuple[Hashable, Callable[[], Answer | None]] | None] = queue.Queue(waiting)
        self._thread: Thread | None = None

    def kept(self, key: Hashable) -> Answer | None:
        """Return what was made for a key."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def ask(self, key: Hashable, make: Callable[[], Answer | None]) -> None:
        """Have an answer made, unless it is being made already or too many wait."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._work, name="behind", daemon=True)
                self._thread.start()
            if key in self._asked:
                return
            with suppress(queue.Full):
                self._queue.put_nowait((key, make))
                self._asked.add(key)

    def done(self) -> None:
        """Wait until nothing waits any more."""
        self._queue.join()

    def _work(self) -> None:
        while (one := self._queue.get()) is not None:
            key, make = one
            made, began = None, time.perf_counter()
            try:
                # Where it cannot, the next request is answered as this one was; an error that nobody foresaw
                # ends the thread and is told, and the next request begins another.
                with suppress(StoreError):
                    made = make()
            finally:
                with self._lock:
                    self._asked.discard(key)
                    if made is not None:
                        self._kept[key] = made
                    while len(self._kept) > self._most:
                        self._kept.popitem(last=False)
                self._queue.task_done()
            if not self._queue.empty():
                # Requests come first: half of the time is theirs alone.
                time.sleep(time.perf_counter() - began)


class Misses:
    """Answers requests of who has no layout, from one store."""

    def __init__(self, store: Store, behind: Behind | None = None) -> None:
        self.behind = behind or Behind()
        self._store = store

    def warm(self) -> None:
        """Rank every page once, for nobody: what is loaded and compiled for it is there before a request."""
        with suppress(StoreError):  # where the store is not there yet, the first request warms
            generation = self._store.generation()
            for page in generation.colour.heartbeat.defaults:
                if ranker := _ranker(generation, page):
                    _ranked(ranker, generation, "", Known("none", "none", ("none",)), is_full=True)

    def answer(
        self,
        subject: str,
        page: str,
        known: Known,
        beside: Sequence[str] = (),
        *,
        of: Generation | None = None,
    ) -> Answer | None:
        """Return a ranking, None where the page is not ranked on request, or not for this subject.

        `beside` are other pseudonyms of the same person, as the device's where a user is asked for.

        Raises
        ------
        StoreGone
            When there is no store.

        """
        generation = of or self._store.generation()
        ranker = _ranker(generation, page)
        if ranker is None:
            return None
        key = (generation.pointer.generation, page, subject, known, *beside)
        kept = self.behind.kept(key)
        if kept is not None:
            return kept
        answer = _ranked(ranker, generation, subject, known, is_full=False)
        if answer is not None:
            self.behind.ask(key, partial(_full, ranker, generation, subject, known, beside))
        return answer


def _ranker(generation: Generation, page: str) -> Ranker | None:
    """Return what ranks a page; read by each that asks meanwhile: none waits for another's reads."""
    if page not in generation.colour.heartbeat.defaults:
        return None
    return generation.once(policy_key(page), lambda of: _read(of, page))


def _read(generation: Generation, page: str) -> Ranker | None:
    colour = generation.colour
    try:
        value = colour.get(policy_key(page))
        if value is None:
            return None
        widgets = json.loads(value)["candidates"]
        labels = colour.get_all(f"widget:{widget}".encode() for widget in widgets)
        shown = {
            widget: str(json.loads(label or b"{}").get("category") or "")
            for widget, label in zip(widgets, labels, strict=True)
        }
        return Ranker(value, shown)
    except StoreGone:
        raise
    except (StoreError, ValueError, KeyError):
        return None  # a value that this reader cannot read: defaults are better than nothing


def _full(
    ranker: Ranker, generation: Generation, subject: str, known: Known, beside: Sequence[str]
) -> Answer | None:
    """Rank with what the store knows, too: the categories that were bought from most."""
    names = [f"own:{one}".encode() for one in (subject, *beside)]
    own = [json.loads(value) for value in generation.colour.get_all(names) if value]
    categories = dict.fromkeys(name for members in own for name in own_categories(members))
    fuller = known._replace(
        recent=(*known.recent, *categories), has_orders=known.has_orders or bool(categories)
    )
    return _ranked(ranker, generation, subject, fuller, is_full=True)


def _ranked(
    ranker: Ranker, generation: Generation, subject: str, known: Known, *, is_full: bool
) -> Answer | None:
    pointer = generation.pointer
    ranking = ranker.rank(subject, pointer.serves_date, known)
    if ranking is None:
        return None
    layout = Layout(
        subject,
        ranker.page,
        *ranking[:6],
        drawn_date=pointer.serves_date,
        freshness="ranked" if is_full else "degraded",
        why=RANKED_WHY if is_full else DEGRADED_WHY,
        generation=pointer.generation,
        variant=known.variant,
    )
    return Answer(layout, ranking.candidates, ranking.rules)
