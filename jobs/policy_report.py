"""policy_report: the night's report on policies, for a person, and the same figures in MLflow.

Reads   policy_values and releases up to the day, judgements and contexts of the last 28 days
Writes  reports/policies/DAY.html in the data home, and an MLflow run of that name
On failure, mend the cause and clear the task: a rerun writes the same file and the same MLflow run.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, Self

import numpy as np
import pyarrow.dataset as ds

from jobs import context_drift, inputs, runs, shell
from jobs.config import Config
from jobs.live import POLICY, LivePolicies
from jobs.policy_checks import at_go_live, by_night
from jobs.policy_page import render
from jobs.policy_sections import Row, Shown
from jobs.policy_values import EVERYONE, WINDOW
from jobs.publish import Stopped
from jobs.reports import keep
from jobs.runs import Run
from jobs.servings import Servings, summarised
from jobs.shell import Ask, Buckets, Days
from jobs.spark import session
from jobs.tables import Tables

READS = ("judgements", "policy_values", "releases", "contexts")
CURVE_DAYS = 180
EDGES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0, 200.0)
SIMULATED = (
    "baskets that their publisher calls simulated from real shopping patterns, replayed as web sessions. A"
    " value is how well a page lists what a household was about to buy; it is no uplift of sales."
    " Roles are simulated."
)


@dataclass(frozen=True)
class Counted:
    """Counts of a spec's servings; they add."""

    servings: int
    weights: tuple[int, ...]
    first: Mapping[str, float]
    shown: Mapping[str, float]
    moves: Mapping[tuple[str, str], float]

    def __add__(self, other: Self) -> Self:
        """Return the counts of both."""
        return type(self)(
            self.servings + other.servings,
            tuple(a + b for a, b in zip(self.weights, other.weights, strict=True)),
            _sum(self.first, other.first),
            _sum(self.shown, other.shown),
            _sum(self.moves, other.moves),
        )


def run_report(ask: Ask, config: Config) -> Run:
    """Write the report of the last day, and return the run's manifest.

    Raises
    ------
    Stopped
        When nobody asked for the day's values. A first night may have none, and then has no report.

    """
    tables, day = Tables(config.tables), ask.days[-1]
    versions = runs.resolve(tables, READS, ask.dag_run)
    with shell.recorded("policy_report", ask, config, versions) as manifest:
        since = ds.field("as_of_date") >= day - timedelta(CURVE_DAYS)
        until = ds.field("as_of_date") <= day
        values = tables.read("policy_values", since & until, version=versions["policy_values"]).to_pylist()
        if not any(row["as_of_date"] == day for row in values):
            if not runs.is_ready(tables, "policy_values", [day]):
                raise Stopped(f"There are no values of policies as of {day}: run policy_values for it first.")
            manifest.status, manifest.message = "unchanged", "no serving counts yet, so there is no report"
            return manifest
        releases = tables.read(
            "releases", until & (ds.field("kind") == POLICY), version=versions["releases"]
        ).to_pylist()
        night = [row for row in releases if row["as_of_date"] == day]
        live = {
            page: of.spec(day, config.specs)
            for page, of in ((name, LivePolicies.of(each, releases)) for name, each in config.pages.items())
        }
        files = Buckets(("judgements",), before=WINDOW - 1)
        buckets = inputs.open_read(session(config), files, [day], config, versions)
        shown = shown_by_page(summarised(buckets, partial(count, live=live)))
        contexts = inputs.open_read(
            session(config), Days("contexts", before=WINDOW - 1), [day], config, versions
        )
        drifts = context_drift.by_page(contexts, config.feature_sets, day)
        shown = {page: replace(each, drift=drifts.get(page, ())) for page, each in shown.items()}
        note = SIMULATED if config.ids.demo_key else ""
        html = render(day, values, night, shown, at_go_live(values, releases), by_night(values), note=note)
        measures, tags = _figures(day, values, night)
        measures |= {f"{page}/largest drift": drift[0][1] for page, drift in drifts.items()}
        target = keep(
            config, "policies", str(day), html, experiment="policies", measures={0: measures}, tags=tags
        )
        manifest.rows_in, manifest.rows_out, manifest.status = len(values) + len(night), 1, "published"
    sys.stdout.write(f"The report is {target}.\n")
    return manifest


def count(
    page: str, by_spec: Mapping[str, Servings], *, live: Mapping[str, str]
) -> Iterator[tuple[str, Counted]]:
    """Count one bucket of a page: weights, what stands first, and how a spec differs from the live one."""
    now = by_spec.get(live.get(page, ""))
    for spec, servings in by_spec.items():
        classes = np.searchsorted(EDGES, servings.judged.weights, side="right")
        widgets = [row[0] for row in servings.table["widgets"].to_pylist()]
        yield (
            spec,
            Counted(
                len(servings.judged),
                tuple(np.bincount(classes, minlength=len(EDGES) + 1).tolist()),
                {widget: float(chances.sum()) for widget, chances in servings.first().items()},
                _counts(widgets),
                _moves(now, servings) if now is not None else {},
            ),
        )


def _moves(live: Servings, spec: Servings) -> dict[tuple[str, str], float]:
    _, before, after = np.intersect1d(live.decisions, spec.decisions, return_indices=True)
    then, now = (each.table["likeliest"].to_numpy(zero_copy_only=False) for each in (live, spec))
    pairs = zip(then[before].tolist(), now[after].tolist(), strict=True)
    return _counts([pair for pair in pairs if pair[0] != pair[1]])


def shown_by_page(counted: Mapping[tuple[str, str], Counted]) -> dict[str, Shown]:
    """Turn counts into shares, by page."""
    found = {}
    for page in sorted({page for page, _ in counted}):
        own = {spec: counts for (of, spec), counts in sorted(counted.items()) if of == page}
        any_of_them = next(iter(own.values()))
        found[page] = Shown(
            weights={
                spec: [
                    (label, number / each.servings)
                    for label, number in zip(_labels(), each.weights, strict=True)
                ]
                for spec, each in own.items()
            },
            first={
                spec: {widget: mass / each.servings for widget, mass in each.first.items()}
                for spec, each in own.items()
            },
            shown={widget: n / any_of_them.servings for widget, n in any_of_them.shown.items()},
            moves={
                spec: sorted(
                    ((before, after, n / each.servings) for (before, after), n in each.moves.items()),
                    key=lambda move: (-move[2], move[:2]),
                )
                for spec, each in own.items()
            },
        )
    return found


def _figures(
    day: date, values: Sequence[Row], night: Sequence[Row]
) -> tuple[dict[str, float], dict[str, str]]:
    measures = {
        re.sub(r"[^\w\-. /]", "_", f"{row['page']}/{row['spec']}/{row['estimator']}"): row["value"]
        for row in values
        if row["as_of_date"] == day
        and row["first_date"] < day
        and row["goal"] == "reward"
        and row["audience"] == EVERYONE
    }
    return measures, {row["name"]: row["verdict"] for row in night}


def _labels() -> list[str]:
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(EDGES)]
    return [f"below {EDGES[0]:g}", *inner, f"{EDGES[-1]:g} and more"]


def _counts(values: Sequence[Any]) -> dict[Any, float]:
    found: dict[Any, float] = {}
    for value in values:
        found[value] = found.get(value, 0.0) + 1.0
    return found


def _sum(one: Mapping[Any, float], other: Mapping[Any, float]) -> dict[Any, float]:
    return {key: one.get(key, 0.0) + other.get(key, 0.0) for key in {**one, **other}}


JOB = shell.Command(run_report, "policy_report", __doc__)

if __name__ == "__main__":
    JOB.main()
