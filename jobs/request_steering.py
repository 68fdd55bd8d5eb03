"""What a page that is ranked on request is drawn for and under: goals, rules, and whom its widgets are for.

All of it comes with the value of the key `policy:PAGE` (jobs/request_policies.py). A page without goals,
rules and variants says nothing of the kind: everybody may see every widget, and scores alone count.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs import page_goals, steering
from jobs.config import Page
from ml.rank.rules import Rules


class May(NamedTuple):
    """Who may stand on a page: candidates, (1, k) which of all they are, and the rules bound to them."""

    candidates: list[str]
    eligible: NDArray[np.bool_]
    rules: str | None


class Steered:
    """Goals and rules of a page over its k candidates.

    main : the variant that stands for all where none is known; '' for a page without variants.
    rules : bound to all candidates, as the draw takes them; None for a page without.

    Raises
    ------
    ValueError, KeyError, TypeError
        When the value is not what it should be.

    """

    def __init__(self, about: Mapping[str, Any], candidates: Sequence[str]) -> None:
        self.main = str(about.get("main", ""))
        self.rules: Rules | None = None
        self._candidates = tuple(candidates)
        self._page = Page(**about["drawn"]) if "drawn" in about else None
        self._labels: steering.Labels = about.get("labels", {})
        worths = about.get("worths")
        self._worths = None if worths is None else np.array(worths, dtype=np.float64)
        self.wanted(np.zeros((1, len(candidates))))  # says which shapes do not fit
        if self._page is not None and (text := steering.bind(self._page, candidates, self._labels)):
            self.rules = steering.read(text)
        self._pinned = frozenset() if self.rules is None else frozenset(self.rules.pins.tolist())
        self._found: dict[tuple[str, ...], May | None] = {}

    def wanted(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return (n, k) what the page is drawn by, given expected rewards."""
        return page_goals.combined(scores, self._page.goals if self._page else None, self._worths)

    def may(self, role: str, region: str, variant: str) -> May | None:
        """Say who may stand for someone, '' where it is not known; None where the rules leave them nothing.

        It is worked out once for all who may see the same.
        """
        seen = self._candidates
        if self._page is not None:
            seen = steering.eligible(self._page, seen, role or None, region or None, variant)
        if seen not in self._found:
            self._found[seen] = self._may(seen)
        return self._found[seen]

    def name(self, may: May, variant: str) -> str:
        """Name what a draw was made under, beside all that every draw of the page has in common."""
        return f"{variant}|{'|'.join(may.candidates)}|{may.rules}|" if self._page else ""

    def is_pinned(self, column: int) -> bool:
        """Tell whether a candidate is pinned to a position."""
        return column in self._pinned

    def _may(self, seen: tuple[str, ...]) -> May | None:
        eligible = np.isin(self._candidates, seen)
        if self._page is None or self.rules is None:
            return May(list(seen), eligible[None, :], None)
        if not (eligible & self.rules.stands).any():
            return None
        return May(list(seen), eligible[None, :], steering.bind(self._page, seen, self._labels))
