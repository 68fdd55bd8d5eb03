"""Servings with a target policy along them: one form for single actions and slates, and its estimators.

One position is a log of one action a row; several are slates, whose rewards count along the logged prefix.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.ope import slates
from ml.ope.doubly_robust import DirectMethod, DoublyRobust, SelfNormalisedDR, ShrunkDR, SwitchDR
from ml.ope.estimator import Estimator
from ml.ope.importance import IPS, SNIPS, ClippedIPS
from ml.ope.log import Floats, Integers
from ml.ope.rows import Rows
from ml.ope.slates import Exposures, Slates, along_look
from ml.ope.terms import Terms

MAIN = "reward"
"""The goal that predictions are of."""
WEIGHING: tuple[Estimator, ...] = (IPS(), SNIPS(), ClippedIPS())
MODELLED: tuple[Estimator, ...] = (DoublyRobust(), SelfNormalisedDR(), SwitchDR(), ShrunkDR(), DirectMethod())
OF_SLATES: dict[str, Callable[[Slates], Terms]] = {
    "reward-interaction IPS": slates.reward_interaction_ips,
    "self-normalised reward-interaction IPS": lambda given: slates.reward_interaction_ips(
        given, normalised=True
    ),
    "standard IPS": slates.standard_ips,
}
CASCADE = "cascade-DR"
POSITION_BASED = ("position-based IPS", "position-based DR")
"""Without and with a model."""


@dataclass(frozen=True, eq=False)
class Judged:
    """n servings of K positions.

    Attributes
    ----------
    propensities, probabilities
        (n, K) of each position given those before it, under the policy that was served and under the target.
    rewards
        by goal (n, K); an unseen position earns 0.
    clusters
        (n,) codes from 0 of the subject.
    predicted, expected
        (n, K) q̂ and v̂ of the reward, from days before (`ml.ope.prefixes`); None without a model.
    seen
        (n, K) whether a position was seen; None when all were.
    exposures
        of slates, by which they are judged first (`ml.ope.exposure`); None where nobody worked them out.

    """

    propensities: Floats
    probabilities: Floats
    rewards: Mapping[str, Floats]
    clusters: Integers
    predicted: Floats | None = None
    expected: Floats | None = None
    seen: NDArray[np.bool_] | None = None
    exposures: Exposures | None = None

    def __len__(self) -> int:
        return len(self.propensities)

    @cached_property
    def weights(self) -> Floats:
        """(n,) how often a serving counts, about 1 in the mean.

        Of slates with exposures, what the estimator makes of a reward of 1 for every sight, as a share of all
        sights; of others the mean, over positions, of their prefixes' weights.
        """
        if self.exposures is not None:
            return self._sights
        prefixes = np.cumprod(self.probabilities / self.propensities, axis=1)
        return np.ascontiguousarray(prefixes.mean(axis=1))

    @property
    def _sights(self) -> Floats:
        assert self.exposures is not None
        logged = self.exposures.logged
        seen = np.ones(logged.shape, dtype=np.bool_) if self.seen is None else self.seen
        sights = np.logical_and.accumulate(seen, axis=1).sum(axis=1)
        looked = sights > 0
        if not looked.any():
            return np.ones(len(self))
        weights = along_look(self.propensities, logged, self.seen, np.ones(logged.shape))
        return np.where(looked, weights / sights[looked].mean(), 1.0)

    def rows(self, wanted: NDArray[Any]) -> "Judged":
        """Return some of the servings."""
        return Judged(
            self.propensities[wanted],
            self.probabilities[wanted],
            {goal: values[wanted] for goal, values in self.rewards.items()},
            self.clusters[wanted],
            None if self.predicted is None else self.predicted[wanted],
            None if self.expected is None else self.expected[wanted],
            None if self.seen is None else self.seen[wanted],
            None if self.exposures is None else self.exposures.rows(wanted),
        )

    def terms(self, goal: str) -> dict[str, Terms]:
        """Return the estimates of a goal by name; the first, a plain mean, is the one that decides."""
        if self.propensities.shape[1] == 1:
            return self._of_actions(goal)
        return self._of_slates(goal)

    def _of_actions(self, goal: str) -> dict[str, Terms]:
        has_model = goal == MAIN and self.predicted is not None and self.expected is not None
        rows = Rows(
            np.ascontiguousarray(self.rewards[goal][:, 0]),
            np.ascontiguousarray(self.propensities[:, 0]),
            np.ascontiguousarray(self.probabilities[:, 0]),
            np.ascontiguousarray(self.predicted[:, 0]) if has_model and self.predicted is not None else None,
            np.ascontiguousarray(self.expected[:, 0]) if has_model and self.expected is not None else None,
        )
        chosen = (*MODELLED, *WEIGHING) if has_model else WEIGHING
        return {each.name: each.terms(rows) for each in chosen}

    def _of_slates(self, goal: str) -> dict[str, Terms]:
        given = Slates(
            self.rewards[goal], self.propensities, self.probabilities, self.seen, may_earn_nothing=True
        )
        found = {name: make(given) for name, make in OF_SLATES.items()}
        if goal == MAIN and self.predicted is not None and self.expected is not None:
            found = {CASCADE: slates.cascade_dr(given, self.predicted, self.expected), **found}
        if self.exposures is not None:
            of_goal = self.exposures if goal == MAIN else Exposures(self.exposures.logged)
            name = POSITION_BASED[of_goal.rated is not None]
            found = {name: slates.position_based(given, of_goal), **found}
        return found
