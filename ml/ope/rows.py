"""A log and a target side by side, for one goal: what an estimator is given."""

from dataclasses import dataclass
from functools import cached_property

from ml.ope.log import Floats, Integers, Log, same_length
from ml.ope.target import Target


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns of n rows; what several estimators need is computed once, and so is one array for all of them.

    Attributes
    ----------
    rewards
        (n,) rᵢ of one goal.
    propensities
        (n,) pᵢ of the logged action under the logging policy.
    probabilities
        (n,) πᵢ of the logged action under the target policy.
    policies
        (n,) codes of the logging policy of each row; None for one policy.
    predicted, expected
        (n,) q̂(xᵢ, aᵢ) and Σₐ π(a | xᵢ) q̂(xᵢ, a); None without a model.

    """

    rewards: Floats
    propensities: Floats
    probabilities: Floats
    predicted: Floats | None = None
    expected: Floats | None = None
    policies: Integers | None = None

    @cached_property
    def weights(self) -> Floats:
        """(n,) importance weights πᵢ / pᵢ."""
        return self.probabilities / self.propensities

    @cached_property
    def weighted_rewards(self) -> Floats:
        """(n,) wᵢ rᵢ."""
        return self.weights * self.rewards

    @cached_property
    def weighted_residuals(self) -> Floats:
        """(n,) wᵢ (rᵢ - q̂(xᵢ, aᵢ))."""
        if self.predicted is None:
            raise ValueError("this estimator needs a model: give predictions of the rewards to target_of")
        residuals = self.rewards - self.predicted
        residuals *= self.weights
        return residuals

    @property
    def modelled(self) -> Floats:
        """(n,) the model's reward under the target."""
        if self.expected is None:
            raise ValueError("this estimator needs a model: give predictions of the rewards to target_of")
        return self.expected


def rows_of(log: Log, target: Target, goal: str | None = None) -> Rows:
    """Put a log's goal (its first, if none is named) and a target side by side."""
    number = 0 if goal is None else _number(log, goal)
    same_length(log, {"target probabilities": target.probabilities}, ())
    same_length(log, {"predicted": target.predicted, "expected": target.expected}, (len(log.goals),))
    return Rows(
        log.rewards[:, number],
        log.propensities,
        target.probabilities,
        None if target.predicted is None else target.predicted[:, number],
        None if target.expected is None else target.expected[:, number],
        log.policies,
    )


def _number(log: Log, goal: str) -> int:
    if goal not in log.goals:
        raise ValueError(f"the log has no goal {goal!r}: it has {', '.join(log.goals)}")
    return log.goals.index(goal)
