"""Ensembles: several policies' scores and bonuses, summed by weights."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml.bandits.policy import GREEDY, Floats, Policy
from ml.draw import DrawRule
from ml.normals import Normals


class Ensemble(Policy):
    """The weighted mean of fitted policies over the same arms.

    Parameters
    ----------
    members
        (weight, policy): weights above 0, taken over their sum. One member at most may sample.
    rule
        how scores become propensities; the members' own rules do not count.

    """

    def __init__(self, members: Sequence[tuple[float, Policy]], rule: DrawRule = GREEDY) -> None:
        weights = [weight for weight, _ in members]
        if not weights or not all(np.isfinite(weight) and weight > 0 for weight in weights):
            raise ValueError(f"an ensemble needs members with weights above 0, not {weights}")
        self.members = members
        self.rule = rule

    def scores(self, contexts: Floats, action_contexts: Floats | None = None) -> NDArray[np.float32]:
        """Return (n, k) expected rewards."""
        return self._mean([policy.scores(contexts, action_contexts) for _, policy in self.members])

    def bonuses(
        self, contexts: Floats, action_contexts: Floats | None = None, normals: Normals | None = None
    ) -> NDArray[np.float32]:
        """Return (n, k) the members' bonuses."""
        return self._mean([policy.bonuses(contexts, action_contexts, normals) for _, policy in self.members])

    def normals(
        self,
        seed: int,
        keys: NDArray[np.uint64],
        *,
        page: str,
        epoch: int | NDArray[np.integer],
        arms: Sequence[str],
    ) -> Normals | None:
        """Return the numbers of the member that samples."""
        each = [policy.normals(seed, keys, page=page, epoch=epoch, arms=arms) for _, policy in self.members]
        sampling = [normals for normals in each if normals is not None]
        if len(sampling) > 1:
            raise ValueError("one member of an ensemble at most may sample its coefficients")
        return sampling[0] if sampling else None

    def _mean(self, values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        weights = np.array([weight for weight, _ in self.members])
        # In float64 and in the members' order.
        total = sum(weight * each for weight, each in zip(weights / weights.sum(), values, strict=True))
        return np.asarray(total, dtype=np.float32)
