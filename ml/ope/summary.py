"""What is known of targets over servings, summed over buckets of subjects: it adds, and stays small.

A worker summarises the servings of its subjects; summaries are added in a fixed order; what the report and
the gate ask is computed from the sum. Its size depends on estimators, days and widgets, never on subjects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ml.ope.diagnostics import Calibration, Weights
from ml.ope.evidence import SHARES, Facts
from ml.ope.intervals import Interval
from ml.ope.judged import Judged
from ml.ope.log import Floats, Integers
from ml.ope.sequence import Look, SoFar
from ml.ope.sequence import Sequence as Looking
from ml.ope.sums import Sums, growing
from ml.ope.terms import Terms

SQUARE = "²"
DIFFERENCE = "difference"

Calibrations = Mapping[tuple[str, str], Sums]


@dataclass(frozen=True, eq=False)
class Logged:
    """What was shown first at n servings, with which probability, and whose policy it was."""

    widgets: NDArray[np.str_]
    propensities: Floats
    policies: NDArray[np.str_]
    could: Mapping[str, NDArray[np.bool_]]
    clusters: Integers

    def calibrations(self) -> dict[tuple[str, str], Sums]:
        """Return by logging policy and widget the sums of 1[a]/p less whether it could be shown."""
        found = {}
        for policy in sorted(set(self.policies.tolist())):
            rows = np.flatnonzero(self.policies == policy)
            for widget in sorted(self.could):
                could = self.could[widget][rows].astype(np.float64)
                if could.any():
                    shown = (self.widgets[rows] == widget) / self.propensities[rows]
                    terms = {"gap": Terms.mean_of(shown - could), "could": Terms.mean_of(could)}
                    found[policy, widget] = Sums.of(terms, self.clusters[rows])
        return found


@dataclass(frozen=True, eq=False)
class Summary:
    """Estimates of one target, or of the difference of two, with what tells whether they can be trusted.

    Attributes
    ----------
    estimates
        named GOAL/ESTIMATOR; of a pair also live/GOAL.
    weights
        by role in the comparison its weights and their squares.
    largest
        by role its largest weight.
    first
        by widget the target's probability at the first position, summed over servings.
    shown
        by widget how often it stood at the first position.
    calibrations
        by logging policy and widget.
    open_rows
        servings whose rewards may still come.
    looks
        by goal the sums of the difference after each day.
    variances
        (shares, 2) sums of the squares and of the numbers of `ml.ope.power.variance_with`.

    """

    estimates: Sums
    weights: Mapping[str, Sums]
    largest: Mapping[str, float]
    first: Mapping[str, float]
    shown: Mapping[str, float]
    calibrations: Calibrations
    open_rows: int
    looks: Mapping[str, tuple[Sums, ...]]
    variances: Floats

    def __add__(self, other: Self) -> Self:
        """Return the summary of both sets of subjects."""
        return type(self)(
            self.estimates + other.estimates,
            _merged(self.weights, other.weights),
            {name: max(value, other.largest[name]) for name, value in self.largest.items()},
            _merged(self.first, other.first),
            _merged(self.shown, other.shown),
            _merged(self.calibrations, other.calibrations),
            self.open_rows + other.open_rows,
            {
                goal: tuple(a + b for a, b in zip(days, other.looks[goal], strict=True))
                for goal, days in self.looks.items()
            },
            self.variances + other.variances,
        )

    def weights_of(self, role: str) -> Weights:
        """Describe the weights of a target."""
        sums, rows = self.weights[role], self.estimates.rows
        (_, above, _), (_, squared, _) = sums.recipes["w"][0], sums.recipes["w" + SQUARE][0]
        total, squares = sums.totals[above], sums.totals[squared]
        of_clusters = sums.products[above, above]
        mean = sums.interval("w")
        return Weights(
            rows=rows,
            effective_rows=float(total**2 / squares) if squares else 0.0,
            effective_clusters=float(total**2 / of_clusters) if of_clusters else 0.0,
            mean=mean.value,
            mean_error=mean.error,
            largest=self.largest[role],
        )

    @property
    def unsupported(self) -> dict[str, float]:
        """Mean probability, at the first position, of each widget that never stood there."""
        rows = max(self.estimates.rows, 1)
        return {
            widget: mass / rows
            for widget, mass in sorted(self.first.items())
            if mass > 0 and not self.shown.get(widget)
        }

    def calibrated(self) -> list[Calibration]:
        """Hold propensities of the first position against what was shown, by logging policy and widget."""
        found = []
        for number, ((policy, widget), sums) in enumerate(sorted(self.calibrations.items())):
            gap, share = sums.interval("gap"), sums.value("could")
            p_value = 1.0 if not gap.error > 0 else float(2 * stats.norm.sf(abs(gap.value) / gap.error))
            p_value = min(1.0, p_value * len(self.calibrations))
            found.append(
                Calibration(
                    number,
                    f"{policy}: {widget}",
                    sums.rows,
                    1 + gap.value / share,
                    gap.error / share,
                    p_value,
                )
            )
        return found

    def facts(self, goals: Sequence[str]) -> "Summed":
        """Return what the gate asks, of a pair."""
        today = _spread(self.variances[0], self.estimates.rows)
        return Summed(
            live={goal: self.estimates.value(f"live/{goal}") for goal in goals},
            weights={role: self.weights_of(role) for role in ("candidate", "live")},
            unsupported=self.unsupported,
            calibrations=tuple(self.calibrated()),
            open_share=self.open_rows / max(self.estimates.rows, 1),
            variances={
                share: _spread(sums, self.estimates.rows) / today
                for share, sums in zip(SHARES, self.variances, strict=True)
                if sums.any()
            }
            if today > 0
            else {},
            summary=self,
        )


@dataclass(frozen=True, eq=False)
class Summed(Facts):
    """The facts of a pair, from its summary."""

    summary: Summary

    def looks(self, goal: str, sequence: Looking) -> tuple[Look, ...]:
        """Look after each day at the difference in a goal."""
        days = (each for each in self.summary.looks[goal] if each.rows)
        return tuple(
            sequence.looks_at(
                SoFar(each.rows, each.clusters, float(each.totals[1]), each.spread(DIFFERENCE))
                for each in days
            )
        )

    def intervals(self, level: float = 0.95) -> dict[str, Interval]:
        """Return by estimator the difference in the first goal; the first is the one that decides."""
        sums = self.summary.estimates
        return {name: sums.interval(f"{goal}/{name}", level=level) for goal, name in self._names()}

    def gaps(self, level: float) -> dict[str, Interval]:
        """Return by estimator its difference less that of the one that decides."""
        sums = self.summary.estimates
        (goal, first), *others = self._names()
        return {
            name: sums.interval(f"{goal}/{name}", minus=f"{goal}/{first}", level=level)
            for _, name in others
            if name not in BIASED
        }

    def _names(self) -> list[tuple[str, str]]:
        goal = next(iter(self.live))
        named = [name.split("/", 1) for name in self.summary.estimates.recipes]
        return [(goal, name) for of, name in named if of == goal]


BIASED = ("DM", "clipped IPS", "switch-DR", "DRos")
"""Estimators that trade bias for variance: a difference to them is no sign of a bad log."""


def of_one(judged: Judged, logged: Logged, first: Mapping[str, float], open_rows: int) -> Summary:
    """Summarise one target."""
    named = {f"{goal}/{name}": terms for goal in judged.rewards for name, terms in judged.terms(goal).items()}
    observed = {
        f"{goal}/observed": Terms.mean_of(values.sum(axis=1)) for goal, values in judged.rewards.items()
    }
    return Summary(
        Sums.of({**named, **observed}, judged.clusters),
        {"target": _weights(judged)},
        {"target": float(judged.weights.max())},
        dict(first),
        _shown(logged),
        logged.calibrations(),
        open_rows,
        {},
        np.zeros((len(SHARES), 2)),
    )


def of_pair(
    candidate: Judged,
    live: Judged,
    logged: Logged,
    *,
    days: Integers,
    count: int,
    first: Mapping[str, float],
    open_rows: int,
) -> Summary:
    """Summarise a candidate against the live policy at the same servings, day after day.

    days : (n,) codes 0 to `count` - 1.
    """
    named: dict[str, Terms] = {}
    looks: dict[str, tuple[Sums, ...]] = {}
    width = int(candidate.clusters.max()) + 1
    for goal in candidate.rewards:
        mine, theirs = candidate.terms(goal), live.terms(goal)
        named |= {f"{goal}/{name}": mine[name] - theirs[name] for name in mine if name in theirs}
        decides = next(name for name in mine if name in theirs)
        named[f"live/{goal}"] = theirs[decides]
        numbers = (mine[decides] - theirs[decides]).contributions
        parts = (
            (Terms.mean_of(numbers[days == day]), candidate.clusters[days == day]) for day in range(count)
        )
        looks[goal] = tuple(growing(parts, DIFFERENCE, width))
    return Summary(
        Sums.of(named, candidate.clusters),
        {"candidate": _weights(candidate), "live": _weights(live)},
        {"candidate": float(candidate.weights.max()), "live": float(live.weights.max())},
        dict(first),
        _shown(logged),
        logged.calibrations(),
        open_rows,
        looks,
        _variances(candidate, live),
    )


def _variances(candidate: Judged, live: Judged) -> Floats:
    """Sum what a mixture with the candidate would leave of the variance; known for one position alone."""
    if candidate.propensities.shape[1] > 1:
        as_it_is = np.array([[1.0, 0.0]] + [[0.0, 0.0]] * (len(SHARES) - 1))
        return as_it_is * len(candidate)
    p, mine, theirs = candidate.propensities[:, 0], candidate.probabilities[:, 0], live.probabilities[:, 0]
    errors = next(iter(candidate.rewards.values()))[:, 0]
    if candidate.predicted is not None:
        errors = errors - candidate.predicted[:, 0]
    moved = (mine - theirs) * errors
    sums = [
        ((moved**2 / (((1 - share) * p + share * mine) * p)).sum(), (moved / p).sum()) for share in SHARES
    ]
    return np.array(sums)


def _spread(sums: Floats, rows: int) -> float:
    square, mean = sums / max(rows, 1)
    return float(max(square - mean**2, 0.0))


def _weights(judged: Judged) -> Sums:
    terms = {"w": Terms.mean_of(judged.weights), "w" + SQUARE: Terms.mean_of(judged.weights**2)}
    return Sums.of(terms, judged.clusters)


def _shown(logged: Logged) -> dict[str, float]:
    widgets, counts = np.unique(logged.widgets, return_counts=True)
    return {str(widget): float(count) for widget, count in zip(widgets, counts, strict=True)}


def _merged(one: Mapping, other: Mapping) -> dict:
    merged = dict(one)
    for name, value in other.items():
        merged[name] = merged[name] + value if name in merged else value
    return merged
