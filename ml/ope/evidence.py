"""What the gate looks at: a candidate and the live policy over the same days, as numbers a row."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.ope.calibration import Calibration, calibration, codes_of_draws
from ml.ope.diagnostics import Weights, unsupported, weights
from ml.ope.doubly_robust import DoublyRobust, SelfNormalisedDR
from ml.ope.estimator import Estimator
from ml.ope.importance import IPS, SNIPS
from ml.ope.intervals import Interval, student_t
from ml.ope.log import Floats, Integers, Log, join
from ml.ope.power import variance_with
from ml.ope.rows import rows_of
from ml.ope.sequence import Look, Sequence, effective
from ml.ope.target import Target, join_targets
from ml.ope.terms import Terms

SHARES = (0.0, 0.1, 0.2, 0.5)
"""Shares of visits drawn from the candidate, for which the power of a longer log is worked out."""
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Day:
    """A day's log, with the candidate and the live policy at its rows.

    Predictions in them must not know of the day: parameters of the days before it, or cross-fitted.
    """

    log: Log
    candidate: Target
    live: Target


@dataclass(frozen=True, eq=False)
class Facts(ABC):
    """What the gate asks about a candidate and the live policy, however it was summed.

    Attributes
    ----------
    live
        by goal the live policy's value; the first goal is the one that must be beaten.
    weights
        by policy (`candidate`, `live`) its weights, in the estimate that decides.
    others
        by estimator that weighs otherwise, by policy its weights there.
    unsupported
        the candidate's probability of actions that were never logged.
    calibrations
        how propensities agree with what was done.
    variances
        by share of visits drawn from the candidate: the variance of a row's difference, as a ratio to
        today's.

    """

    live: Mapping[str, float]
    weights: Mapping[str, Weights]
    others: Mapping[str, Mapping[str, Weights]]
    unsupported: Mapping[str, float]
    calibrations: tuple[Calibration, ...]
    variances: Mapping[float, float]

    @abstractmethod
    def looks(self, goal: str, sequence: Sequence) -> tuple[Look, ...]:
        """Look after each day at the difference in a goal."""

    @abstractmethod
    def intervals(self, level: float = 0.95) -> dict[str, Interval]:
        """Return by estimator the difference in the first goal; the first is the one that decides."""

    @abstractmethod
    def gaps(self, level: float) -> dict[str, Interval]:
        """Return by estimator its difference less that of the one that decides."""


@dataclass(frozen=True, eq=False)
class Evidence(Facts):
    """A candidate against the live policy, since it entered or the live one changed, row by row.

    Attributes
    ----------
    clusters
        of each day its (n,) clusters, codes that mean the same on all days.
    differences
        by goal, of each day (n,) numbers whose mean is the candidate's reward less the live policy's.
    estimates
        by estimator the difference in the first goal, over all days; the first is the one that decides.
    rewarded
        by goal, after each day, how many clusters' rewards tell (`rewarded_so_far`); enough where not given.

    """

    clusters: tuple[Integers, ...]
    differences: Mapping[str, tuple[Floats, ...]]
    estimates: Mapping[str, Terms]
    rewarded: Mapping[str, tuple[float, ...]]

    @property
    def all_clusters(self) -> Integers:
        """(n,) clusters of all days' rows."""
        return np.concatenate(self.clusters)

    def looks(self, goal: str, sequence: Sequence) -> tuple[Look, ...]:
        """Look after each day at the difference in a goal."""
        days = zip(self.differences[goal], self.clusters, strict=True)
        return tuple(sequence.looks(days, self.rewarded.get(goal)))

    def intervals(self, level: float = 0.95) -> dict[str, Interval]:
        """Return by estimator the difference in the first goal; the first is the one that decides."""
        clusters = self.all_clusters
        return {name: student_t(terms, clusters, level=level) for name, terms in self.estimates.items()}

    def gaps(self, level: float) -> dict[str, Interval]:
        """Return by estimator its difference less that of the one that decides."""
        clusters = self.all_clusters
        (_, decides), *others = self.estimates.items()
        return {name: student_t(terms - decides, clusters, level=level) for name, terms in others}


def of_actions(days: Mapping[str, Day], *, eligible: NDArray[np.bool_] | None = None) -> Evidence:
    """Gather evidence from logs of one action a row; DR decides where there are predictions, else IPS.

    Parameters
    ----------
    days
        by name, in their order. An empty day has no log, and is left out.
    eligible
        (n, k) which actions could be shown at the rows of all days; None when all could.

    Raises
    ------
    ValueError
        Without days or clusters, or when logs do not belong together.

    """
    log = join({name: day.log for name, day in days.items()})
    if log.clusters is None:
        raise ValueError("the gate needs clusters: whose each row is")
    candidate = join_targets([day.candidate for day in days.values()])
    live = join_targets([day.live for day in days.values()])
    estimators: tuple[Estimator, ...] = (IPS(), SNIPS())
    if candidate.predicted is not None and live.predicted is not None:
        estimators = (DoublyRobust(), SelfNormalisedDR(), IPS(), SNIPS())
    decides = estimators[0]
    bounds = np.cumsum([len(day.log) for day in days.values()])[:-1]
    differences, values, rewarded = {}, {}, {}
    clusters = tuple(np.split(log.clusters, bounds))
    ratios = [each.probabilities / log.propensities for each in (candidate, live)]
    for place, goal in enumerate(log.goals):
        earned = [np.split(ratio * log.rewards[:, place], bounds) for ratio in ratios]
        rewarded[goal] = rewarded_so_far(earned, clusters)
        mine, theirs = (decides.terms(rows_of(log, each, goal)) for each in (candidate, live))
        differences[goal] = tuple(np.split(paired(mine, theirs), bounds))
        values[goal] = theirs.value
    one, other = rows_of(log, candidate), rows_of(log, live)
    estimates = {each.name: each.terms(one) - each.terms(other) for each in estimators}
    draws = codes_of_draws(
        log.clusters, np.repeat(np.arange(len(days)), [len(day.log) for day in days.values()])
    )
    return Evidence(
        clusters=clusters,
        differences=differences,
        rewarded=rewarded,
        live=values,
        estimates=estimates,
        weights={"candidate": weights(log, candidate), "live": weights(log, live)},
        others={},
        unsupported={} if candidate.shares is None else unsupported(log, candidate),
        calibrations=tuple(calibration(log, eligible, draws)),
        variances=_variances(log, candidate, live),
    )


def paired(mine: Terms, theirs: Terms) -> Floats:
    """Return (n,) what each row adds to the difference of two policies."""
    difference = mine.contributions - theirs.contributions
    # What rounding leaves of equal numbers must not look like a tiny, sure effect.
    difference[np.abs(difference) <= ROUNDING * np.abs(mine.contributions)] = 0.0
    return difference


def rewarded_so_far(earned: Iterable[Iterable[Floats]], clusters: tuple[Integers, ...]) -> tuple[float, ...]:
    """Return after each day how many clusters' rewards tell of the policy of which fewer do.

    earned : of the candidate and of the live policy, of each day (n,) rewards times weights.
    clusters : of each day (n,) codes that mean the same on all days.
    """
    width = max(int(codes.max()) for codes in clusters) + 1
    found = []
    for of_policy in earned:
        sums, so_far = np.zeros(width), []
        for values, codes in zip(of_policy, clusters, strict=True):
            sums += np.bincount(codes, weights=values, minlength=width)
            so_far.append(effective(float(np.abs(sums).sum()), float((sums**2).sum())))
        found.append(so_far)
    return tuple(map(min, zip(*found, strict=True)))


def _variances(log: Log, candidate: Target, live: Target) -> dict[float, float]:
    rewards = log.rewards[:, 0]
    errors = rewards if candidate.predicted is None else rewards - candidate.predicted[:, 0]
    moved = candidate.probabilities - live.probabilities
    today = variance_with(0.0, moved, errors, log.propensities, candidate.probabilities)
    if today == 0:
        return {}
    return {
        share: variance_with(share, moved, errors, log.propensities, candidate.probabilities) / today
        for share in SHARES
    }
