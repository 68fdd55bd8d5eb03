"""Servings with a target policy along them: one form for single actions and slates, and its estimators.

One position is a log of one action a row; several are slates, whose rewards count along the logged prefix.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.ope import slates
from ml.ope.doubly_robust import DirectMethod, DoublyRobust, SelfNormalisedDR, ShrunkDR, SwitchDR
from ml.ope.estimator import Estimator
from ml.ope.importance import IPS, SNIPS, ClippedIPS
from ml.ope.log import Floats, Integers
from ml.ope.rows import Rows
from ml.ope.slates import Exposures, Slates, looked_at
from ml.ope.terms import Part, Terms

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
ACTIONS, LOOKS, PREFIXES, LAYOUTS = "actions", "looks", "prefixes", "layouts"


def weighing_of(estimator: str) -> str:
    """Return by what an estimator weighs servings: an action, looks at widgets, prefixes, whole layouts."""
    if estimator in POSITION_BASED:
        return LOOKS
    if estimator == "standard IPS":
        return LAYOUTS
    return PREFIXES if estimator == CASCADE or estimator in OF_SLATES else ACTIONS


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

    @property
    def weights(self) -> Floats:
        """(n,) how often a serving counts in the estimate that decides, 1 in the mean or about it."""
        (part,) = next(iter(self.weighing().values())).parts
        norm = 1.0 if part.normaliser is None else float(part.normaliser.mean())
        return np.asarray(part.numerator / norm) if norm else np.ones(len(self))

    def weighing(self) -> dict[str, Terms]:
        """Return the servings' weights, by what estimators weigh (`weighing_of`); what decides comes first.

        Of a single action π/p; of whole layouts w₁:K; of prefixes w₁:ₖ of the longest that was looked at (the
        first position where none was), of which least is known: what its position earns stands or falls with
        it. Of looks what position-based IPS makes of a reward of 1 for every sight, as a ratio to all sights.
        """
        ratios = self.probabilities / self.propensities
        if self.propensities.shape[1] == 1:
            return {ACTIONS: Terms.mean_of(np.ascontiguousarray(ratios[:, 0]))}
        prefixes = np.cumprod(ratios, axis=1)
        seen = np.ones(ratios.shape, np.bool_) if self.seen is None else self.seen
        looked = np.logical_and.accumulate(seen, axis=1)
        longest = np.maximum(looked.sum(axis=1), 1) - 1
        found = {
            PREFIXES: Terms.mean_of(prefixes[np.arange(len(prefixes)), longest]),
            LAYOUTS: Terms.mean_of(np.ascontiguousarray(prefixes[:, -1])),
        }
        return found if self.exposures is None else {LOOKS: self._looks(self.exposures), **found}

    def earned(self, goal: str) -> Floats:
        """(n,) a goal's rewards times what they count, without a model."""
        ratios, rewards = self.probabilities / self.propensities, self.rewards[goal]
        if self.exposures is not None:
            return self.exposures.total(self.propensities, self.seen, rewards)
        return np.asarray((np.cumprod(ratios, axis=1) * rewards).sum(axis=1))

    def _looks(self, exposures: Exposures) -> Terms:
        sights = looked_at(~np.isnan(exposures.logged), self.seen)
        weights = exposures.total(self.propensities, self.seen, np.ones(sights.shape))
        return Terms((Part(weights, sights.sum(axis=1).astype(np.float64)),))

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

    @classmethod
    def joined(cls, parts: Sequence["Judged"]) -> "Judged":
        """Put servings of several days one after the other; what some of them lack, all do."""

        def all_of(values: list[Any]) -> Any:
            known = [each for each in values if each is not None]
            return np.concatenate(known) if len(known) == len(values) else None

        known = [part.exposures for part in parts if part.exposures is not None]
        return cls(
            np.concatenate([part.propensities for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
            {goal: np.concatenate([part.rewards[goal] for part in parts]) for goal in parts[0].rewards},
            np.concatenate([part.clusters for part in parts]),
            all_of([part.predicted for part in parts]),
            all_of([part.expected for part in parts]),
            all_of([part.seen for part in parts]),
            Exposures.joined(known) if len(known) == len(parts) else None,
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
            alone = Exposures(self.exposures.logged, counts=self.exposures.counts)
            of_goal = self.exposures if goal == MAIN else alone
            name = POSITION_BASED[of_goal.rated is not None]
            found = {name: slates.position_based(given, of_goal), **found}
        return found
