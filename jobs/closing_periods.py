"""Closings as plain values: as of a day, with what came before and after each, and which have just ended."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any


@dataclass(frozen=True, order=True)
class Period:
    """A sales period; in the order in which they end."""

    last_date: date
    first_date: date
    closing_id: str
    changed_date: date


@dataclass(frozen=True)
class Cut:
    """A closing between what is known at its end and what its labels come from.

    spans: first and last day of the period that ends, then of those before it.
    labels: first and last day of the next period; None while no next one is declared.
    """

    period: Period
    spans: tuple[tuple[date, date], ...]
    labels: tuple[date, date] | None

    def is_labelled(self, horizon: date) -> bool:
        """Whether the next period is over by the end of that day."""
        return self.labels is not None and self.labels[1] <= horizon


def periods(rows: Iterable[Mapping[str, Any]], *, before: date | None = None) -> list[Period]:
    """Return the closings that are not called off, by their newest row that arrived `before` a day."""
    newest: dict[str, Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["changed_date"]):
        if before is None or row["changed_date"] < before:
            newest[row["closing_id"]] = row
    return sorted(
        Period(row["last_date"], row["first_date"], row["closing_id"], row["changed_date"])
        for row in newest.values()
        if not row["is_deleted"]
    )


def ended(rows: Iterable[Mapping[str, Any]], start: date, end: date, since: date | None) -> list[Period]:
    """Return the closings that ended within [start, end), as known before `end`, oldest first.

    Also those that were over already when they arrived, or were moved, within these days.
    """
    return [
        one
        for one in periods(rows, before=end)
        if one.last_date < end
        and (one.last_date >= start or one.changed_date >= start)
        and (since is None or one.last_date >= since)
    ]


def cuts(known: Sequence[Period], active_periods: int) -> list[Cut]:
    """Return the closings that have as many periods behind them as count for being active.

    A period that was moved into its neighbour begins the day after the earlier one ended.
    """
    found = []
    for period in known:
        spans = [_span(period, _before(period, known))]
        here = period
        while len(spans) < active_periods and (earlier := _before(here, known)):
            here = earlier
            spans.append(_span(here, _before(here, known)))
        following = next(
            (one for one in known if one.last_date > period.last_date and one.first_date > period.first_date),
            None,
        )
        if len(spans) == active_periods:
            found.append(Cut(period, tuple(spans), _span(following, period) if following else None))
    return found


def _before(period: Period, known: Sequence[Period]) -> Period | None:
    earlier = [
        one for one in known if one.last_date < period.last_date and one.first_date < period.first_date
    ]
    return earlier[-1] if earlier else None


def _span(period: Period, before: Period | None) -> tuple[date, date]:
    first = max(period.first_date, before.last_date + timedelta(1)) if before else period.first_date
    return first, period.last_date
