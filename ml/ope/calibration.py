"""Are logged propensities those that widgets were drawn with? Exact for rare widgets, and on every night.

Where action a could be shown, x = 1[shown] / p, with p the propensity that the log claims, is 1 on average
whatever the contexts (Horvitz, Thompson 1952: A generalization of sampling without replacement from a finite
universe). But a widget drawn with p = 0.002 shows x = 0 for hundreds of rows and then 500: its mean is far
from normal, and where its few likely rows hide many unlikely ones even its spread is not seen. So x is bet
on instead (Waudby-Smith, Ramdas 2024: Estimating means of bounded random variables by betting). With x̄ the
mean of a draw's rows, which may share one outcome, and λ between 0 and 1,

    wealth(λ) = Π over draws of (1 + λ (x̄ - 1))

is on average at most 1 if the propensities are right, draw after draw, so that it ever reaches 1/α with
probability α at most (Ville 1939: Étude critique de la notion de collectif): on whichever night one looks,
and with no assumption on how rare the widget is. The mean of the wealth over several λ is such a number, too;
1/wealth is the p-value.

It sees what is shown too often. What is shown too seldom cannot be told from a log that keeps the propensity
of the shown action alone: the rows that lack it may have been as unlikely as they like. But one action's too
few are another's too many; and a target that asks for what was never drawn has a mean weight below 1, which
`ml.ope.trust` looks at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ml.ope.log import Floats, Integers, Log

STAKES = 0.5 ** np.arange(1, 15)
"""λ: one that suits a widget of any propensity from a half to some 1e-4."""


@dataclass(frozen=True)
class Calibration:
    """How one logging policy's propensities of one action agree with what it did.

    policy, action : whose, and of what.
    rows : the policy's rows in which the action could be shown.
    ratio : mean of 1[shown] / p over these rows; about 1.
    error : its standard error, draw by draw, if the propensities are right; nothing is decided by it.
    p_value : of the action being shown no more often than the propensities say, on any night, times the
        number of ratios looked at (Bonferroni), at most 1. As that number grows over nights, what holds over
        all of them is a little more than its level.
    """

    policy: str
    action: str
    rows: int
    ratio: float
    error: float
    p_value: float


COULD, GAP, SQUARE, WEALTH = range(4)
"""Columns of `Tallies.sums`; the wealth, one column a stake, is the last."""


@dataclass(frozen=True, eq=False)
class Tallies:
    """Counts and wealth of every logging policy and action; they add over disjoint sets of draws.

    keys : policy and action of each.
    sums : (k, 3 + stakes) the policy's rows in which the action could be shown; the sum of their gaps
        (1[shown]/p - 1); the sum over draws of the draw's squared gap; ln of the wealth by λ.
    """

    keys: tuple[tuple[str, str], ...]
    sums: Floats

    def __add__(self, other: Self) -> Self:
        """Return the tallies of both."""
        if self.keys == other.keys:
            return type(self)(self.keys, self.sums + other.sums)
        both = dict(zip(self.keys, self.sums, strict=True))
        for key, sums in zip(other.keys, other.sums, strict=True):
            both[key] = both[key] + sums if key in both else sums
        return type(self)(tuple(both), np.array([*both.values()]).reshape(len(both), -1))

    def calibrations(self) -> list[Calibration]:
        """Return the calibration of every policy and action that could be shown, for their number."""
        there = np.flatnonzero(self.sums[:, COULD] > 0)
        found = self.sums[there]
        wealth = np.logaddexp.reduce(found[:, WEALTH:], axis=1) - np.log(len(STAKES))
        p_values = np.exp(np.clip(np.log(max(len(there), 1)) - wealth, -700.0, 0.0))
        ratios = 1 + found[:, GAP] / found[:, COULD]
        errors = np.sqrt(found[:, SQUARE]) / found[:, COULD]
        return [
            Calibration(*self.keys[place], int(sums[COULD]), float(ratio), float(error), float(p_value))
            for place, sums, ratio, error, p_value in zip(there, found, ratios, errors, p_values, strict=True)
        ]


def bets(
    shown: Floats, could: NDArray[np.bool_], draws: Integers, nights: Integers | None = None, count: int = 1
) -> Floats:
    """Count one policy's rows for one action, night by night.

    Parameters
    ----------
    shown
        (n,) 1/p where the action was shown, else 0.
    could
        (n,) whether it could be.
    draws
        (n,) codes from 0 of what was drawn by itself.
    nights
        (draws,) codes from 0 below `count` of the night that a draw belongs to; None for one night.
    count
        of nights.

    Returns
    -------
    (count, 3 + stakes) as `Tallies.sums` has them.

    """
    sums = np.zeros((count, WEALTH + len(STAKES)))
    rows = np.bincount(draws[could])
    drawn = np.flatnonzero(rows)
    night = np.zeros(len(drawn), np.int64) if nights is None else nights[drawn]
    rows = rows[drawn]
    ratios = np.bincount(draws[could], shown[could], minlength=1)[drawn]
    means = ratios / rows

    def add(column: int, values: NDArray[Any], of: Integers) -> None:
        sums[:, column] += np.bincount(of, values, minlength=count)

    add(COULD, rows, night)
    add(GAP, ratios - rows, night)
    add(SQUARE, (ratios - rows) ** 2, night)
    won = means > 0
    lost = np.bincount(night[~won], minlength=count)
    for place, stake in enumerate(STAKES):
        sums[:, WEALTH + place] = lost * np.log1p(-stake)
        add(WEALTH + place, np.log1p(stake * (means[won] - 1.0)), night[won])
    return sums


def calibration(
    log: Log, eligible: NDArray[np.bool_] | None = None, draws: Integers | None = None
) -> list[Calibration]:
    """Hold propensities against what was done: a policy that is mislabelled as another stands out.

    Parameters
    ----------
    log
        the log; its `policies` are looked at one by one.
    eligible
        (n, k) which actions could be shown; None when all could.
    draws
        (n,) codes from 0 of what was drawn by itself, such as a subject's day; None for a draw a cluster, or
        a row where there are none.

    Raises
    ------
    ValueError
        When the shape of `eligible` is not that of the log.

    """
    if eligible is not None and eligible.shape != (len(log), len(log.action_set)):
        raise ValueError(f"eligible must have shape {(len(log), len(log.action_set))}, not {eligible.shape}")
    policies = np.zeros(len(log), dtype=np.int64) if log.policies is None else log.policies
    drawn = draws if draws is not None else log.clusters
    drawn = np.arange(len(log)) if drawn is None else drawn
    every = np.ones(len(log), np.bool_)
    could = {name: every if eligible is None else eligible[:, a] for a, name in enumerate(log.action_set)}
    shown = {name: (log.actions == action) / log.propensities for action, name in enumerate(log.action_set)}
    return tallied(policies.astype(str), shown, could, drawn).calibrations()


def tallied(
    policies: NDArray[np.str_],
    shown: Mapping[str, Floats],
    could: Mapping[str, NDArray[np.bool_]],
    draws: Integers,
) -> Tallies:
    """Tally n rows: their logging policies, by action 1/p where shown and whether it could be, and draws."""
    keys, sums = tallied_by_night(policies, shown, could, draws, np.zeros(len(policies), np.int64), 1)
    return Tallies(keys, sums[0])


def tallied_by_night(
    policies: NDArray[np.str_],
    shown: Mapping[str, Floats],
    could: Mapping[str, NDArray[np.bool_]],
    draws: Integers,
    nights: Integers,
    count: int,
) -> tuple[tuple[tuple[str, str], ...], Floats]:
    """Tally rows night by night, (n,) codes from 0 below `count`: keys, and (count, k, 3 + stakes) sums.

    A draw is one bet, so it belongs to one night: the first of its rows' nights, with its rows of that night.
    Later rows change nothing then, and nights come out alike whatever follows them.
    """
    keys: list[tuple[str, str]] = []
    found: list[Floats] = []
    for policy in np.unique(policies):
        rows = np.flatnonzero(policies == policy)
        first = np.full(int(draws[rows].max()) + 1, count)
        np.minimum.at(first, draws[rows], nights[rows])
        rows = rows[nights[rows] == first[draws[rows]]]
        for action in sorted(could):
            if could[action][rows].any():
                keys.append((str(policy), action))
                found.append(bets(shown[action][rows], could[action][rows], draws[rows], first, count))
    width = WEALTH + len(STAKES)
    return tuple(keys), np.stack(found, axis=1) if found else np.zeros((count, 0, width))


def codes_of_draws(clusters: Integers, days: Integers) -> Integers:
    """Return (n,) codes of subject and day: a subject's draw of a page stands for the day at least."""
    return np.unique(np.stack([clusters, days.astype(np.int64)]), axis=1, return_inverse=True)[1].ravel()
