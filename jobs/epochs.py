"""When a page's draws begin: the days whose features, policy and candidates a layout has.

Plain dates in, plain dates out: what was known when is given, nothing is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from jobs.config import Page
from jobs.kinds import NOTHING_SAID, Kinds
from jobs.labels import LABELS

EPOCH_ZERO = date(1970, 1, 1)
CHANGES = ("widget", "changed_date", "pages", "is_deleted", "kind", "purpose", *LABELS)
"""What pages and their rules go by of the rows of `widgets`."""


def widgets_as_of(changes: Sequence[Mapping[str, Any]], day: date) -> dict[str, Mapping[str, Any]]:
    """Return each widget's newest change as of a day."""
    newest: dict[str, Mapping[str, Any]] = {}
    for change in changes:
        widget, changed = change["widget"], change["changed_date"]
        if changed <= day and (widget not in newest or newest[widget]["changed_date"] < changed):
            newest[widget] = change
    return newest


@dataclass(frozen=True)
class Epochs:
    """The epochs of one page.

    known : days that have features, in rising order.
    fitted : days that have a policy of the page's live spec, in rising order.
    changes : rows of `widgets`, with the columns of CHANGES.
    length : days after which a quiet subject is drawn anew.
    released : nights on which the page's live spec changed.
    kinds : which widgets have a place at the page's moment.
    """

    page: Page
    known: Sequence[date]
    fitted: Sequence[date]
    changes: Sequence[Mapping[str, Any]]
    length: int
    released: Sequence[date] = ()
    kinds: Kinds = NOTHING_SAID

    def begins(self, day: date, own: date) -> date:
        """Return the day of the draw that `day` shows, for a subject whose own epoch began on `own`.

        It is moved on to the day since when the page has its candidates and live spec, and to the first day
        that has features and a policy of the live spec; where there is none any more, back to the last one.
        """
        changed = [then for then in self.released if then <= day]
        epoch = max(own, self.candidates_since(day), *changed)
        usable = self.usable(day)
        later = [then for then in usable if then >= epoch]
        return later[0] if later else usable[-1] if usable else day

    def usable(self, day: date) -> list[date]:
        """Return the days with features from which a draw that `day` shows may begin, in rising order."""
        # Not before an epoch that reaches the day, nor before the live spec's first policy.
        policy = next((then for then in self.fitted if then <= day), date.min)
        first = max(policy, day - timedelta(self.length - 1))
        return [then for then in self.known if first <= then <= day]

    def policy_day(self, drawn: date) -> date | None:
        """Return the day of the newest policy as of a draw; None before anything was seen."""
        return max((then for then in self.fitted if then <= drawn), default=None)

    def own_days(self, day: date) -> list[date]:
        """Return the days on which the own epoch of a subject may have begun, as `day` sees it."""
        return [day - timedelta(back) for back in range(self.length)]

    def hash_day(self, day: date, number: int) -> date:
        """Return the last day up to `day` on which subjects of this hash number are drawn anew."""
        return day - timedelta(((day - EPOCH_ZERO).days - number) % self.length)

    def candidates(self, day: date) -> list[str]:
        """Return the page's widgets as of a day, in the order of their names."""
        if day not in self._candidates:
            self._candidates[day] = self._as_of(day)
        return self._candidates[day]

    def candidates_since(self, day: date) -> date:
        """Return the last day of the epoch on which the candidates became others; the first date if none."""
        return next((then for then in self.own_days(day) if self._became_others(then)), date.min)

    def _became_others(self, day: date) -> bool:
        return self.candidates(day) != self.candidates(day - timedelta(1))

    def _as_of(self, day: date) -> list[str]:
        return sorted(
            widget
            for widget, change in widgets_as_of(self.changes, day).items()
            if self._names(change)
            and self.kinds.may_stand(self.page.moment, change.get("kind"), change.get("purpose"))
        )

    def out_of_place(self, day: date) -> list[str]:
        """Return the widgets that name the page, but have no place at its moment."""
        named = (widget for widget, change in widgets_as_of(self.changes, day).items() if self._names(change))
        return sorted(set(named) - set(self.candidates(day)))

    def _names(self, change: Mapping[str, Any]) -> bool:
        return not change["is_deleted"] and self.page.page in (change["pages"] or [])

    @cached_property
    def _candidates(self) -> dict[date, list[str]]:
        return {}
