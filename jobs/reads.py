"""Reads of `vitrine serve`, counted by page and by what came of each: the layout's freshness, or `gone`.

`fresh` and `stale` are layouts of the subject's own, `ranked` and `degraded` were made at once for who has
none, `fallback` is one of the page's defaults, and `gone` was answered 503: the store could not be read.

Callers make up addresses, so a page has a name of its own here from the first draw of it on that was given:
of a page that the store does not hold there is only the built-in layout, which nobody drew. All others
are counted as `other`.
"""

from collections.abc import Mapping
from typing import Any

from jobs.metrics import READS, Sample

GONE = "gone"
OTHER = "other"


class Reads:
    """Counts; noted in one thread, so nothing is locked."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._pages: set[str] = set()

    def note(self, status: int, content: Mapping[str, Any]) -> None:
        """Note an answer; one that gives no layout counts only if that is the store's fault."""
        page = content.get("page", "")
        if not page and status != 503:
            return
        if content.get("draw_id"):
            self._pages.add(page)
        elif page and page not in self._pages:
            page = OTHER
        key = page, content["freshness"] if status == 200 else GONE
        self._counts[key] = self._counts.get(key, 0) + 1

    def samples(self) -> list[Sample]:
        """Return the counts so far."""
        return [Sample(READS, count, key) for key, count in sorted(self._counts.copy().items())]
