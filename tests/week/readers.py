"""Readers of the store, all week: what they get, from which generation, and since when."""

import threading
import time
from collections import Counter
from datetime import date

from jobs.config import Config
from jobs.ids import pseudonym
from jobs.store import Store, StoreError, StoreGone, live

EVERY_SECONDS = 0.5
SUBJECTS = ("h1", "h7", "h13", "h1228", "nobody")


class Readers:
    """A few subjects that ask for every page, again and again."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._store = Store.open(config.store_url, clock="generation")
        ids = config.ids
        self._subjects = [pseudonym("user", raw, key=ids.key, key_id=ids.key_id) for raw in SUBJECTS]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._drawn: dict[tuple[int, str, str], str] = {}
        self._newest = 0
        self.seen: Counter[tuple[int, str]] = Counter()
        self.live_since: dict[date, float] = {}
        self.problems: set[str] = set()

    def __enter__(self) -> "Readers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            try:
                pointer = live(self._config.store_url)
            except StoreError:
                pointer = None
            if pointer is not None:
                self.live_since.setdefault(pointer.layout_date, time.time())
            for subject in self._subjects:
                for page in self._config.pages:
                    self._read(subject, page)

    def _read(self, subject: str, page: str) -> None:
        try:
            layout = self._store.get(subject, page)
        except StoreGone:
            self.seen[self._newest, "gone"] += 1
            return
        if not layout.generation:
            return  # before the first night
        self.seen[layout.generation, layout.freshness] += 1
        if layout.generation < self._newest:
            self.problems.add(f"generation {layout.generation} was read after {self._newest}")
        self._newest = max(self._newest, layout.generation)
        if len(layout.widgets) != self._config.pages[page].positions:
            self.problems.add(f"{page} of generation {layout.generation} had {len(layout.widgets)} widgets")
        before = self._drawn.setdefault((layout.generation, subject, page), layout.draw_id)
        if before != layout.draw_id:
            self.problems.add(f"{page} changed within generation {layout.generation}")
