"""Estimators that lean on a model of the rewards, and correct it by what was logged.

q̂(x, a) is the model's reward, v̂ᵢ = Σₐ π(a|xᵢ) q̂(xᵢ, a) what it expects of the target, eᵢ = rᵢ - q̂(xᵢ, aᵢ)
what it was wrong by, wᵢ = π(aᵢ|xᵢ) / pᵢ. Predictions must be made out of fold, or eᵢ is too small.
"""

from dataclasses import dataclass

import numpy as np

from ml.ope.rows import Rows
from ml.ope.terms import Part, Terms


@dataclass(frozen=True)
class DirectMethod:
    """Believe the model: V̂ = mean(v̂ᵢ). As biased as the model is; its interval does not know of that.

    Beygelzimer, Langford 2009: The offset tree for learning with partial labels.
    """

    name: str = "DM"
    needs_model: bool = True

    def terms(self, rows: Rows) -> Terms:
        """Return the terms."""
        return Terms.mean_of(rows.modelled)


@dataclass(frozen=True)
class DoublyRobust:
    """V̂ = mean(v̂ᵢ + wᵢ eᵢ). Unbiased if the propensities are right, whatever the model.

    Dudík, Langford, Li 2011: Doubly robust policy evaluation and learning.
    """

    name: str = "DR"
    needs_model: bool = True

    def terms(self, rows: Rows) -> Terms:
        """Return the terms."""
        return Terms.mean_of(rows.modelled, rows.weighted_residuals)


@dataclass(frozen=True)
class SelfNormalisedDR:
    """V̂ = mean(v̂ᵢ) + Σ wᵢ eᵢ / Σ wᵢ.

    Thomas, Brunskill 2016: Data-efficient off-policy policy evaluation for reinforcement learning
    (there weighted doubly robust), for one step.
    """

    name: str = "self-normalised DR"
    needs_model: bool = True

    def terms(self, rows: Rows) -> Terms:
        """Return the terms."""
        return Terms((Part(rows.modelled), Part(rows.weighted_residuals, rows.weights)))


@dataclass(frozen=True)
class SwitchDR:
    """DR that believes the model alone where weights are large: V̂ = mean(v̂ᵢ + wᵢ eᵢ 1[wᵢ ≤ τ]).

    Wang, Agarwal, Dudík 2017: Optimal and adaptive off-policy evaluation in contextual bandits, with
    the direct method beyond τ and DR below.
    """

    threshold: float = 10.0
    name: str = "switch-DR"
    needs_model: bool = True

    def __post_init__(self) -> None:
        """Check the threshold."""
        if not self.threshold >= 0:
            raise ValueError(f"the threshold of weights must be 0 or more, not {self.threshold}")

    def terms(self, rows: Rows) -> Terms:
        """Return the terms."""
        kept = np.where(rows.weights <= self.threshold, rows.weighted_residuals, 0.0)
        return Terms.mean_of(rows.modelled, kept)


@dataclass(frozen=True)
class ShrunkDR:
    """DR with optimistic shrinkage: V̂ = mean(v̂ᵢ + λ wᵢ / (wᵢ² + λ) · eᵢ). λ = 0 is DM, λ = ∞ is DR.

    Su, Dimakopoulou, Krishnamurthy, Dudík 2020: Doubly robust off-policy evaluation with shrinkage.
    """

    strength: float = 100.0
    name: str = "DRos"
    needs_model: bool = True

    def __post_init__(self) -> None:
        """Check λ."""
        if not self.strength >= 0:
            raise ValueError(f"the shrinkage λ must be 0 or more, not {self.strength}")

    def terms(self, rows: Rows) -> Terms:
        """Return the terms."""
        if self.strength == 0:
            return Terms.mean_of(rows.modelled)
        # λ w / (w² + λ) = w / (w² / λ + 1), which has its limit at λ = ∞.
        shrinking = np.square(rows.weights)
        shrinking /= self.strength
        shrinking += 1.0
        return Terms.mean_of(rows.modelled, np.divide(rows.weighted_residuals, shrinking, out=shrinking))
