"""What is known of targets over servings, summed over buckets of subjects: it adds, and stays small.

A worker summarises the servings of its subjects (ml.ope.summarise); summaries are added in a fixed order;
what the report and the gate ask is computed from the sum. Its size depends on estimators, days and widgets,
never on subjects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ml.ope.calibration import Tallies
from ml.ope.diagnostics import Weights
from ml.ope.evidence import SHARES, Facts
from ml.ope.intervals import Interval
from ml.ope.judged import weighing_of
from ml.ope.log import Floats
from ml.ope.sequence import Look, SoFar, effective
from ml.ope.sequence import Sequence as Looking
from ml.ope.sums import Sums

POLICIES = ("candidate", "live")
LOOKED = (
    "rows", "clusters", "total", "rows²", "rows·total", "total²",
    "candidate", "candidate²", "live", "live²",
)  # fmt: skip
"""Columns of a goal's looks: sums over clusters of their rows and differences, squares and products; and of
what the candidate and the live policy earned (`Judged.earned`), without its sign, and squares."""

OTHERS = "(others)"
"""What `first` holds of widgets that it does not name; a serving that showed one of them supports all."""


def weight(role: str, weighing: str) -> str:
    """Return the name of the estimate that is a target's mean weight."""
    return f"weight/{role}/{weighing}"


def square(role: str, weighing: str) -> str:
    """Return the name of the estimate that is the mean of its squares."""
    return f"weight²/{role}/{weighing}"


@dataclass(frozen=True, eq=False)
class Summary:
    """Estimates of one target, or of the difference of two, with what tells whether they can be trusted.

    Attributes
    ----------
    estimates
        named GOAL/ESTIMATOR; of a pair also live/GOAL; and by role in the comparison and weighing
        (`Judged.weighing`), the one that decides first, weights and their squares.
    largest
        by role and weighing the largest weight, before it is normalised.
    first
        by widget the target's probability at the first position, summed over servings.
    shown
        by widget how often it stood at the first position; under `OTHERS` how often one did that the
        serving's own `first` does not name.
    tallies
        by logging policy and widget, how propensities agree with what was shown.
    open_rows
        servings that are left out, since their rewards may still come.
    looks
        by goal (days, 10) the sums of the difference after each day (`LOOKED`).
    variances
        (shares, 2) sums of the squares and of the numbers of `ml.ope.power.variance_with`.

    """

    estimates: Sums
    largest: Mapping[tuple[str, str], float]
    first: Mapping[str, float]
    shown: Mapping[str, float]
    tallies: Tallies
    open_rows: int
    looks: Mapping[str, Floats]
    variances: Floats

    def __add__(self, other: Self) -> Self:
        """Return the summary of both sets of subjects."""
        return type(self)(
            self.estimates + other.estimates,
            {name: max(value, other.largest[name]) for name, value in self.largest.items()},
            _merged(self.first, other.first),
            _merged(self.shown, other.shown),
            self.tallies + other.tallies,
            self.open_rows + other.open_rows,
            {goal: days + other.looks[goal] for goal, days in self.looks.items()},
            self.variances + other.variances,
        )

    def weights_of(self, role: str, weighing: str | None = None) -> Weights:
        """Describe the weights of a target, those of the estimator that decides unless told otherwise."""
        key = next(key for key in self.largest if key[0] == role and weighing in (None, key[1]))
        sums, rows = self.estimates, self.estimates.rows
        (_, above, below), (_, squared, _) = sums.recipes[weight(*key)][0], sums.recipes[square(*key)][0]
        total, squares = sums.totals[above], sums.totals[squared]
        of_clusters = sums.products[above, above]
        mean = sums.interval(weight(*key))
        return Weights(
            rows=rows,
            effective_rows=float(total**2 / squares) if squares else 0.0,
            effective_clusters=float(total**2 / of_clusters) if of_clusters else 0.0,
            mean=mean.value,
            mean_error=mean.error,
            largest=float(self.largest[key] * rows / sums.totals[below]) if sums.totals[below] else 0.0,
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

    def facts(self, goals: Sequence[str]) -> "Summed":
        """Return what the gate asks, of a pair."""
        names = [name.split("/", 1)[1] for name in self.estimates.recipes if name.startswith(f"{goals[0]}/")]
        decides = weighing_of(names[0])
        return Summed(
            live={goal: self.estimates.value(f"live/{goal}") for goal in goals},
            weights={role: self.weights_of(role, decides) for role in POLICIES},
            others={
                name: {role: self.weights_of(role, weighing_of(name)) for role in POLICIES}
                for name in names[1:]
                if weighing_of(name) != decides
            },
            unsupported=self.unsupported,
            calibrations=tuple(self.tallies.calibrations()),
            variances=ratios(self.variances, self.estimates.rows),
            summary=self,
        )


@dataclass(frozen=True, eq=False)
class Summed(Facts):
    """The facts of a pair, from its summary."""

    summary: Summary

    def looks(self, goal: str, sequence: Looking) -> tuple[Look, ...]:
        """Look after each day at the difference in a goal."""
        days = self.summary.looks[goal]
        return tuple(sequence.looks_at(_so_far(*day) for day in days[days[:, 0] > 0].tolist()))

    def intervals(self, level: float = 0.95) -> dict[str, Interval]:
        """Return by estimator the difference in the first goal; the first is the one that decides."""
        sums = self.summary.estimates
        return {name: sums.interval(f"{goal}/{name}", level=level) for goal, name in self._names()}

    def gaps(self, level: float) -> dict[str, Interval]:
        """Return by estimator its difference less that of the one that decides."""
        sums = self.summary.estimates
        (goal, first), *others = self._names()
        return {
            name: sums.interval(f"{goal}/{name}", minus=f"{goal}/{first}", level=level) for _, name in others
        }

    def _names(self) -> list[tuple[str, str]]:
        goal = next(iter(self.live))
        named = [name.split("/", 1) for name in self.summary.estimates.recipes]
        return [(goal, name) for of, name in named if of == goal]


def _so_far(
    rows: float, clusters: float, total: float, squared: float, crossed: float, spread: float, *earned: float
) -> SoFar:
    mean = total / rows
    variance = max(spread - 2 * mean * crossed + mean**2 * squared, 0.0)
    rewarded = min(effective(*earned[:2]), effective(*earned[2:]))
    return SoFar(int(rows), int(clusters), total, variance, rewarded)


def ratios(variances: Floats, rows: int) -> dict[float, float]:
    """Return by share of visits drawn from the candidate a row's variance, as a ratio to today's."""
    today = _spread(variances[0], rows)
    known = zip(SHARES, variances, strict=True) if today > 0 else ()
    return {share: _spread(sums, rows) / today for share, sums in known if sums.any()}


def _spread(sums: Floats, rows: int) -> float:
    square, mean = sums / max(rows, 1)
    return float(max(square - mean**2, 0.0))


def _merged(one: Mapping, other: Mapping) -> dict:
    merged = dict(one)
    for name, value in other.items():
        merged[name] = merged[name] + value if name in merged else value
    return merged
