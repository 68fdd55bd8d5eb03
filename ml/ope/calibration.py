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

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.ope.log import Floats, Integers, Log
from ml.ope.sums import Sums
from ml.ope.terms import Terms

STAKES = 0.5 ** np.arange(1, 15)
"""λ: one that suits a widget of any propensity from a half to some 1e-4."""


@dataclass(frozen=True)
class Calibration:
    """How one logging policy's propensities of one action agree with what it did.

    policy, action : whose, and of what.
    rows : the policy's rows.
    ratio : mean of 1[shown] / p over the share of rows in which the action could be shown; about 1.
    error : its standard error, by cluster; nothing is decided by it.
    p_value : of the action being shown no more often than the propensities say, on any night, times the
        number of ratios looked at (Bonferroni), at most 1.
    """

    policy: str
    action: str
    rows: int
    ratio: float
    error: float
    p_value: float


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts and wealth of one policy and action; they add over disjoint sets of clusters.

    sums : of `gap` (1[shown]/p - 1[could be shown]) and `could`.
    wealth : (stakes,) ln of the wealth by λ.
    """

    sums: Sums
    wealth: Floats

    def __add__(self, other: Self) -> Self:
        """Return the tally of both."""
        return type(self)(self.sums + other.sums, self.wealth + other.wealth)

    @classmethod
    def of(cls, shown: Floats, could: NDArray[np.bool_], clusters: Integers | None, draws: Integers) -> Self:
        """Count rows.

        Parameters
        ----------
        shown
            (n,) 1/p where the action was shown, else 0.
        could
            (n,) whether it could be.
        clusters
            (n,) codes from 0 of the subject; None when every row stands for itself.
        draws
            (n,) codes from 0 of what was drawn by itself.

        """
        gap, there = shown - could, could.astype(np.float64)
        sums = Sums.of({"gap": Terms.mean_of(gap), "could": Terms.mean_of(there)}, clusters)
        rows = np.bincount(draws[could])
        drawn = np.flatnonzero(rows)
        means = np.bincount(draws[could], shown[could])[drawn] / rows[drawn]
        won = means[means > 0]
        lost = (len(means) - len(won)) * np.log1p(-STAKES)
        return cls(sums, lost + np.log1p(STAKES[:, None] * (won - 1.0)).sum(axis=1))

    def calibration(self, policy: str, action: str, looked_at: int) -> Calibration:
        """Say how well it agrees, as one of so many ratios that are looked at."""
        gap, share = self.sums.interval("gap"), self.sums.value("could")
        wealth = float(np.logaddexp.reduce(self.wealth)) - np.log(len(STAKES))
        p_value = float(np.exp(np.clip(np.log(looked_at) - wealth, -700.0, 0.0)))
        return Calibration(policy, action, self.sums.rows, 1 + gap.value / share, gap.error / share, p_value)


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
    found = []
    for policy in np.unique(policies):
        rows = np.flatnonzero(policies == policy)
        clusters = None if log.clusters is None else log.clusters[rows]
        for action, name in enumerate(log.action_set):
            could = np.ones(len(rows), np.bool_) if eligible is None else eligible[rows, action]
            if could.any():
                shown = (log.actions[rows] == action) / log.propensities[rows]
                found.append((str(policy), name, Tally.of(shown, could, clusters, drawn[rows])))
    return judged(found)


def judged(tallies: Iterable[tuple[str, str, Tally]]) -> list[Calibration]:
    """Return the calibration of every policy and action, corrected for their number."""
    every = list(tallies)
    return [tally.calibration(policy, action, len(every)) for policy, action, tally in every]


def codes_of_draws(clusters: Integers, days: Integers) -> Integers:
    """Return (n,) codes of subject and day: a subject's draw of a page stands for the day at least."""
    return np.unique(np.stack([clusters, days.astype(np.int64)]), axis=1, return_inverse=True)[1].ravel()
