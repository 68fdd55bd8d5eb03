"""The check on the checker: what was forecast for policies that went live, against what came of them.

Twice: the forecast by which a policy went live, made before it was ever served, against all that it has
earned since; and night by night the last evening's forecast against the night's outcome (the view
forecasts_and_outcomes). A forecast and an outcome both have errors: what is judged is whether the interval of
their difference holds 0, both clustered by subject, as the gate's are.

Rows of policy_values and releases in; figures and pieces of HTML out. Nothing is read here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Any

import duckdb
import pyarrow as pa

from jobs import query
from jobs.contracts import contract
from jobs.live import IS_LIVE, YES
from jobs.policy_charts import Strip, strips
from jobs.policy_sections import Row, card, figure, table
from jobs.policy_values import EVERYONE, OBSERVED, SERVED
from ml.ope.judged import MAIN

VIEW = "forecasts_and_outcomes"
NORMAL = 1.96


@dataclass(frozen=True)
class Check:
    """What was predicted of a policy when it went live, and what came of it since, by estimator.

    margin : half of the 95 % interval of predicted - observed; None where either has no error.
    days : nights of what was observed: all since it went live, at most the last 28.
    """

    page: str
    spec: str
    estimator: str
    predicted: float
    observed: float
    margin: float | None
    days: int

    @property
    def holds(self) -> bool | None:
        """Whether the interval of the difference holds 0; None without an interval."""
        return None if self.margin is None else abs(self.predicted - self.observed) <= self.margin


@dataclass(frozen=True)
class Nights:
    """An estimator's forecasts of a page, night by night, less what came: (night, difference, holds)."""

    page: str
    estimator: str
    differences: Sequence[tuple[date, float, bool | None]]

    @property
    def mean(self) -> float:
        """Mean difference: above 0 it promises too much."""
        return math.fsum(value for _, value, _ in self.differences) / len(self.differences)

    @property
    def error(self) -> float:
        """Mean absolute difference."""
        return math.fsum(abs(value) for _, value, _ in self.differences) / len(self.differences)

    @property
    def judged(self) -> tuple[int, int]:
        """Of how many nights the interval held 0, of how many it could be told."""
        told = [holds for _, _, holds in self.differences if holds is not None]
        return sum(told), len(told)


def at_go_live(values: Sequence[Row], releases: Sequence[Row]) -> list[Check]:
    """Set what was predicted of each policy when it went live against what came until the next did."""
    went: dict[str, list[tuple[date, str]]] = {}
    for row in releases:
        details = dict(row["details"])
        if details.get(IS_LIVE) == YES and "compared_from" in details:
            went.setdefault(details["page"], []).append((row["as_of_date"], row["name"]))
    found: list[Check] = []
    for page, changes in sorted(went.items()):
        ordered = sorted(changes)
        for place, (night, spec) in enumerate(ordered):
            until = ordered[place + 1][0] if place + 1 < len(ordered) else date.max
            found += _of_spec(values, page, spec, night, until)
    return found


def _of_spec(values: Sequence[Row], page: str, spec: str, night: date, until: date) -> Iterator[Check]:
    own = [
        row for row in values if row["page"] == page and row["goal"] == MAIN and row["audience"] == EVERYONE
    ]
    came = [
        row
        for row in own
        if row["spec"] == f"{spec} {SERVED}"
        and row["estimator"] == OBSERVED
        and night < row["as_of_date"] <= until
    ]
    # A window's error is by subject over all its nights; those of single nights do not add to it.
    windows = [row for row in came if row["first_date"] < row["as_of_date"]]
    if not windows:
        return
    since = max(windows, key=lambda row: row["as_of_date"])
    days = sum(
        row["first_date"] == row["as_of_date"] and row["as_of_date"] >= since["first_date"] for row in came
    )
    for row in own:
        if row["spec"] == spec and row["as_of_date"] == night and row["first_date"] < night:
            errors = (row["error"], since["error"])
            margin = None if None in errors else NORMAL * math.hypot(*errors)
            yield Check(page, spec, row["estimator"], row["value"], since["value"], margin, days)


def by_night(values: Sequence[Row]) -> list[Nights]:
    """Set each evening's forecast against the night after it; of each page the estimator nearest first."""
    given = pa.Table.from_pylist(
        [dict(row) for row in values if row["goal"] == MAIN], schema=contract("policy_values").arrow_schema
    )
    with duckdb.connect(":memory:") as connection:
        connection.register("policy_values", given)
        rows = connection.sql(query.view(VIEW)).to_arrow_table().to_pylist()
    by_name: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["as_of_date"]):
        by_name.setdefault((row["page"], row["estimator"]), []).append(row)
    found = [
        Nights(page, name, [(row["as_of_date"], row["difference"], row["is_held"]) for row in own])
        for (page, name), own in by_name.items()
    ]
    return sorted(found, key=lambda each: (each.page, each.error, each.estimator))


def section(checks: Sequence[Check], nights: Sequence[Nights]) -> str:
    """Return the report's section on who has been right."""
    head = "<section><h2>Who has been right</h2>"
    if not checks and not nights:
        return (
            f'{head}<p class="note">No policy that was forecast has been served yet. From the first such'
            " day on, what was predicted for it is set against what came of it, estimator by"
            " estimator.</p></section>"
        )
    return f"{head}{_nights(nights)}{_went_live(checks)}</section>"


def _nights(nights: Sequence[Nights]) -> str:
    if not nights:
        return ""
    by_page: dict[str, list[Nights]] = {}
    for each in nights:
        by_page.setdefault(each.page, []).append(each)
    charts = "".join(
        figure(
            f"<b>Page {escape(page)}</b>: a dot a night, forecast less outcome; red where the"
            " interval of the error does not hold 0; the bar is their mean",
            strips([_strip(each) for each in own], title=f"forecasts less outcomes of page {page}"),
        )
        for page, own in by_page.items()
    )
    rows = "".join(
        f"<tr><th>{escape(each.page)}: {escape(each.estimator)}</th><td>{len(each.differences)}</td>"
        f"<td>{each.error:.3f}</td><td>{each.mean:+.3f}</td><td>{_share(*each.judged)}</td></tr>"
        for each in nights
    )
    heads = ["page: estimator", "nights", "mean absolute error", "mean error", "interval of the error held 0"]
    note = (
        "Each evening's forecast for the policy that was live, over the last 28 days, beside what a serving"
        " earned on the night after it. A night differs from a month by more than chance, so that fewer"
        " than 95 % of intervals may hold 0 though an estimator is right."
    )
    return (
        f'<h3>Night by night</h3><p class="note">{note}</p><div class="charts">{charts}</div>'
        f'<div class="below">{card(table(heads, rows))}</div>'
    )


def _strip(nights: Nights) -> Strip:
    dots = [(value, holds is not False, f"{night}") for night, value, holds in nights.differences]
    return Strip(nights.estimator, dots, nights.mean)


def _share(held: int, of: int) -> str:
    return f"{held} of {of}" if of else "–"


def _went_live(checks: Sequence[Check]) -> str:
    if not checks:
        return ""
    rows = "".join(
        f"<tr><th>{escape(each.page)}: {escape(each.spec)}, {escape(each.estimator)}</th>"
        f"<td>{each.predicted:.3f}</td><td>{each.observed:.3f}</td>"
        f"<td>{each.predicted - each.observed:+.3f}{_margin(each)}</td>"
        f"<td>{_HELD[each.holds]}</td><td>{each.days}</td></tr>"
        for each in checks
    )
    heads = ["page: policy, estimator", "predicted", "came", "error", "held", "nights"]
    note = (
        "What was predicted of a policy on the night it went live, before it was ever served, beside what"
        " came since (of the last 28 nights, if they are more). Held: the 95 % interval of the error holds 0."
    )
    return f'<h3>Since it went live</h3><p class="note">{note}</p>{card(table(heads, rows))}'


_HELD: Mapping[bool | None, str] = {True: "yes", False: "no", None: "–"}


def _margin(check: Check) -> str:
    return "" if check.margin is None else f"<small>±{check.margin:.3f}</small>"
