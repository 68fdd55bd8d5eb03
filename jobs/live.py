"""Which policy of a page is live: what `releases` says as of a night, else what the page's file says.

Rows of `releases` in, plain values out; nothing is read. History is not rewritten: what was live as of a
night follows from the verdicts up to it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from jobs.config import Page, Policy

POLICY = "policy"
IS_LIVE = "is_live"
YES = "yes"


@dataclass(frozen=True)
class Live:
    """A page's live policy from a night on.

    since : the night on which its spec went live; None for the page's own, which nobody released.
    version : the policy version that readers see; None for the newest one fitted.
    """

    spec: str
    digest: str
    since: date | None
    version: str | None


@dataclass(frozen=True)
class LivePolicies:
    """The live policies of one page, night by night."""

    page: Page
    rows: list[tuple[date, Live]] = field(default_factory=list)

    @classmethod
    def of(cls, page: Page, releases: Iterable[Mapping[str, Any]]) -> "LivePolicies":
        """Pick a page's verdicts on what is live, and put them in the order of their nights."""
        found = []
        for row in releases:
            details = dict(row["details"] or {})
            if row["kind"] != POLICY or details.get("page") != page.page or details.get(IS_LIVE) != YES:
                continue
            since = details.get("live_since")
            live = Live(
                row["name"],
                details["spec_digest"],
                date.fromisoformat(since) if since else None,
                details["serves"],
            )
            found.append((row["as_of_date"], live))
        return cls(page, sorted(found, key=lambda pair: (pair[0], pair[1].spec)))

    def as_of(self, day: date) -> Live | None:
        """Return what is live at the end of a day; None while nothing was decided."""
        return next((live for night, live in reversed(self.rows) if night <= day), None)

    def known(self, day: date, specs: Mapping[str, Policy]) -> Live | None:
        """Return what is live, if its spec is in conf/ as it was released: another text is another policy."""
        live = self.as_of(day)
        is_known = live is not None and live.spec in specs and specs[live.spec].digest == live.digest
        return live if is_known else None

    def spec(self, day: date, specs: Mapping[str, Policy]) -> str:
        """Return the live spec's name; the page's own where nothing was decided, or it left conf/."""
        live = self.known(day, specs)
        return live.spec if live else self.page.policy

    def may_serve(self, spec: str, fitted: date) -> bool:
        """Tell whether readers may see a spec as fitted on a day: before the first verdict, or released."""
        if not self.rows or fitted < self.rows[0][0]:
            return True
        return f"{spec}@{fitted}" in {live.version for _, live in self.rows}

    @property
    def changes(self) -> list[date]:
        """Nights on which another spec went live."""
        return sorted({live.since for _, live in self.rows if live.since is not None})
