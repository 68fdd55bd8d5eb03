"""From servings to summaries: what a worker makes of the servings of its subjects (ml.ope.summary).

What each serving adds is worked out once, and then summed over the nights that are asked for: sums by subject
over any rows (`ml.ope.sums`), and what has no subjects night by night.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.ope.calibration import Tallies
from ml.ope.evidence import SHARES, paired
from ml.ope.judged import Judged
from ml.ope.log import Floats, Integers
from ml.ope.logged import Logged
from ml.ope.slates import looked_at
from ml.ope.summary import LOOKED, OTHERS, Summary, square, weight
from ml.ope.sums import Addends
from ml.ope.terms import Terms

First = Mapping[str, Floats]
"""By widget (n,) the target's probability at the first position."""


@dataclass(frozen=True, eq=False)
class Shares:
    """What servings add that has no subjects, by night: (nights, …) each.

    names, first : widgets, and the target's probability of each at the first position.
    widgets, shown : widgets, and how often each stood there.
    keys, tallies : logging policies and widgets, and the columns of their tallies.
    """

    names: tuple[str, ...]
    first: Floats
    widgets: tuple[str, ...]
    shown: Floats
    keys: tuple[tuple[str, str], ...]
    tallies: Floats

    @classmethod
    def of(cls, logged: Logged, first: First, nights: Integers, count: int) -> Self:
        """Sum servings by (n,) codes of their nights, from 0 below `count`."""
        widgets, codes = np.unique(logged.widgets, return_inverse=True)
        shown = np.bincount(nights * len(widgets) + codes, minlength=count * len(widgets))
        if OTHERS in first:
            widgets, shown = _with_others(widgets, shown, codes, first, nights, count)
        by_night = [np.bincount(nights, values, minlength=count) for values in first.values()]
        return cls(
            tuple(first),
            np.stack(by_night, axis=1) if by_night else np.zeros((count, 0)),
            tuple(map(str, widgets)),
            shown.reshape(count, len(widgets)).astype(np.float64),
            *logged.tallies_by_night(nights, count),
        )

    def over(self, start: int, stop: int) -> tuple[dict[str, float], dict[str, float], Tallies]:
        """Return a summary's `first`, `shown` and `tallies` of the nights from `start` to before `stop`."""
        first, shown, tallies = (
            part[start:stop].sum(axis=0) for part in (self.first, self.shown, self.tallies)
        )
        there = {name: count for name, count in zip(self.widgets, shown.tolist(), strict=True) if count}
        return dict(zip(self.names, first.tolist(), strict=True)), there, Tallies(self.keys, tallies)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A target's servings, ready to be summed over any nights.

    addends : of its estimates and weights. weighings : names of its weights, what decides first.
    """

    addends: Addends
    weighings: tuple[str, ...]

    @classmethod
    def of(cls, judged: Judged) -> Self:
        """Work out what each serving adds."""
        named = {f"{goal}/{name}": terms for goal, of in _terms(judged).items() for name, terms in of.items()}
        observed = {
            f"{goal}/observed": Terms.mean_of(values.sum(axis=1)) for goal, values in judged.rewards.items()
        }
        weighing = judged.weighing()
        weights = _weights("target", weighing)
        return cls(Addends.of({**named, **observed, **weights}, judged.clusters), tuple(weighing))

    def summary(
        self, shares: Shares, start: int, stop: int, rows: NDArray[np.bool_], open_rows: int = 0
    ) -> Summary:
        """Sum the nights from `start` to before `stop`, of which (n,) rows are; `open_rows` are left out."""
        first, shown, tallies = shares.over(start, stop)
        return Summary(
            estimates=self.addends.sums(rows),
            largest={
                ("target", name): self.addends.largest(weight("target", name), rows)
                for name in self.weighings
            },
            first=first,
            shown=shown,
            tallies=tallies,
            open_rows=open_rows,
            looks={},
            variances=np.zeros((len(SHARES), 2)),
        )


def of_one(judged: Judged, logged: Logged, first: First, open_rows: int = 0) -> Summary:
    """Summarise one target over all its servings."""
    shares = Shares.of(logged, first, np.zeros(len(judged), np.int64), 1)
    return Prepared.of(judged).summary(shares, 0, 1, np.ones(len(judged), np.bool_), open_rows)


def of_pair(
    candidate: Judged, live: Judged, logged: Logged, *, days: Integers, count: int, first: First
) -> Summary:
    """Summarise a candidate against the live policy at the same servings, as `after_each_day` at last."""
    (last,) = deque(after_each_day(candidate, live, logged, days=days, count=count, first=first), maxlen=1)
    return last


def after_each_day(
    candidate: Judged, live: Judged, logged: Logged, *, days: Integers, count: int, first: First
) -> Iterator[Summary]:
    """Summarise a candidate against the live policy at the same servings, after each day over all so far.

    days : (n,) codes of the day on which a serving counts, from 0 below `count`.
    """
    named: dict[str, Terms] = {}
    of_candidate, of_live = _terms(candidate), _terms(live)
    for goal in candidate.rewards:
        mine, theirs = of_candidate[goal], of_live[goal]
        named |= {f"{goal}/{name}": mine[name] - theirs[name] for name in mine if name in theirs}
        decides = next(name for name in mine if name in theirs)
        named[f"live/{goal}"] = theirs[decides]
        named[_look(goal)] = Terms.mean_of(paired(mine[decides], theirs[decides]))
        for role, judged in (("candidate", candidate), ("live", live)):
            named[_earned(role, goal)] = Terms.mean_of(judged.earned(goal))
    weighing = {"candidate": candidate.weighing(), "live": live.weighing()}
    for role, weights in weighing.items():
        named |= _weights(role, weights)
    addends = Addends.of(named, candidate.clusters)
    shares = Shares.of(logged, first, days, count)
    spreads = _by_day(variances(candidate, live), days, count)
    largest = {
        (role, name): _largest(terms, days, count)
        for role, weights in weighing.items()
        for name, terms in weights.items()
    }
    places = {
        goal: tuple(
            addends.recipes[name][0][1]
            for name in (_look(goal), _earned("candidate", goal), _earned("live", goal))
        )
        for goal in candidate.rewards
    }
    looks = np.zeros((count, len(places), len(LOOKED)))
    for day, (sums, by_cluster) in enumerate(addends.growing(days, count)):
        looks[day] = _looked(by_cluster, np.array([*places.values()]), sums.clusters)
        of_first, of_shown, tallies = shares.over(0, day + 1)
        yield Summary(
            estimates=sums,
            largest={key: float(values[day]) for key, values in largest.items()},
            first=of_first,
            shown=of_shown,
            tallies=tallies,
            open_rows=0,
            looks={goal: looks[: day + 1, place] for place, goal in enumerate(places)},
            variances=spreads[: day + 1].sum(axis=0),
        )


def _with_others(
    widgets: NDArray[np.str_], shown: Integers, codes: Integers, first: First, nights: Integers, count: int
) -> tuple[NDArray[np.str_], Integers]:
    """Add to what was shown, by night and widget, how often it is one that its row's `first` lacks."""
    of_widgets = [first.get(str(widget), np.zeros(len(codes))) for widget in widgets]
    named = np.array(of_widgets).reshape(
        len(widgets), len(codes)
    )  # neither is there on days without servings
    is_other = named[codes, np.arange(len(codes))] == 0
    others = np.bincount(nights[is_other], minlength=count)
    return np.append(widgets, OTHERS), np.column_stack([shown.reshape(count, -1), others]).ravel()


def _terms(judged: Judged) -> dict[str, dict[str, Terms]]:
    """Return the estimates of every goal; what normalises an estimator is one array for all goals."""
    found: dict[str, dict[str, Terms]] = {}
    shared: dict[tuple[str, int], Floats | None] = {}
    for goal in judged.rewards:
        found[goal] = {}
        for name, terms in judged.terms(goal).items():
            parts = [
                part._replace(normaliser=shared.setdefault((name, place), part.normaliser))
                for place, part in enumerate(terms.parts)
            ]
            found[goal][name] = Terms(tuple(parts), terms.noise)
    return found


def _look(goal: str) -> str:
    return f"look/{goal}"


def _earned(role: str, goal: str) -> str:
    return f"earned/{role}/{goal}"


def _looked(by_cluster: Floats, places: Integers, clusters: int) -> Floats:
    """Return (goals, 10) what a look needs to know of the columns at (goals, 3) places."""
    rows, found = by_cluster[:, 0], by_cluster[:, places[:, 0]]
    earned = np.abs(by_cluster[:, places[:, 1:]])
    sums, squares = earned.sum(axis=0), (earned**2).sum(axis=0)
    return np.stack(
        [
            np.full(len(places), rows.sum()),
            np.full(len(places), float(clusters)),
            found.sum(axis=0),
            np.full(len(places), rows @ rows),
            rows @ found,
            (found**2).sum(axis=0),
            sums[:, 0],
            squares[:, 0],
            sums[:, 1],
            squares[:, 1],
        ],
        axis=1,
    )


def _weights(role: str, weighing: Mapping[str, Terms]) -> dict[str, Terms]:
    named: dict[str, Terms] = {}
    for name, terms in weighing.items():
        (part,) = terms.parts
        named |= {weight(role, name): terms, square(role, name): Terms.mean_of(part.numerator**2)}
    return named


def _largest(terms: Terms, days: Integers, count: int) -> Floats:
    """Return (days,) the largest weight up to each day."""
    found = np.full(count, -np.inf)
    np.maximum.at(found, days, terms.parts[0].numerator)
    return np.maximum.accumulate(found)


def variances(candidate: Judged, live: Judged) -> Floats:
    """Return (n, shares, 2) what adds up to the variance that a mixture with the candidate would leave.

    Numbers are those of `ml.ope.power.variance_with`; of slates summed over the positions that were looked
    at, of which each counts by the difference of the two policies' looks at its widget. That leaves out how
    positions of a serving go together, so it tells how the variance changes and not what it is. Where looks
    are not known it is 1, and known only of the log as it is. A page drawn under rules gains nothing by it:
    what its positions count is not known for a mixture.
    """
    found = np.zeros((len(candidate), len(SHARES), 2))
    p, mine, errors = candidate.propensities, candidate.probabilities, next(iter(candidate.rewards.values()))
    moved = mine - live.probabilities
    if p.shape[1] > 1:
        one, other = candidate.exposures, live.exposures
        if one is None or other is None:
            found[:, 0, 0] = 1.0
            return found
        looked = looked_at(~np.isnan(one.logged), candidate.seen)
        moved = np.where(looked, one.logged - other.logged, 0.0)
        errors = errors if one.rated is None else errors - one.rated
        under_rules = np.zeros(len(p), np.bool_) if one.counts is None else ~np.isnan(one.counts[:, 0])
        mine = np.where(under_rules[:, None], p, mine)
    elif candidate.predicted is not None:
        errors = errors - candidate.predicted
    moved = np.where(moved == 0, 0.0, moved * errors)
    for place, share in enumerate(SHARES):
        found[:, place, 0] = (moved**2 / (((1 - share) * p + share * mine) * p)).sum(axis=1)
        found[:, place, 1] = (moved / p).sum(axis=1) if p.shape[1] == 1 else 0.0
    return found


def _by_day(values: Floats, days: Integers, count: int) -> Floats:
    """Return (count, …) the sums of (n, …) values by day."""
    found = np.zeros((count, *values.shape[1:]))
    np.add.at(found, days, values)
    return found
