"""Estimators that weigh what was logged, and need no model of the rewards."""

from dataclasses import dataclass

import numpy as np

from ml.ope.rows import Rows
from ml.ope.terms import Part, Terms


@dataclass(frozen=True)
class Replay:
    """Mean reward where the target would surely have done what was logged.

    V̂ = Σ 1[π(aᵢ|xᵢ) = 1] rᵢ / Σ 1[π(aᵢ|xᵢ) = 1]; for logs drawn uniformly and targets that do not draw.
    Li, Chu, Langford, Wang 2011: Unbiased offline evaluation of contextual-bandit-based news article
    recommendation algorithms, algorithm 2.
    """

    name: str = "replay"
    needs_model: bool = False

    def terms(self, rows: Rows) -> Terms:
        """Return the terms; a ValueError when the target never surely does what was logged."""
        matches = (rows.probabilities == 1).astype(np.float64)
        if not matches.any():
            raise ValueError(
                "replay has no row to look at: no logged action has target probability 1; "
                "it is for targets that do not draw"
            )
        return Terms((Part(matches * rows.rewards, matches),))


@dataclass(frozen=True)
class IPS:
    """Inverse propensity score: V̂ = mean(wᵢ rᵢ), wᵢ = π(aᵢ|xᵢ) / pᵢ. Unbiased wherever p is above 0.

    Horvitz, Thompson 1952: A generalization of sampling without replacement from a finite universe.
    """

    name: str = "IPS"
    needs_model: bool = False

    def terms(self, rows: Rows) -> Terms:
        """Return the terms."""
        return Terms.mean_of(rows.weighted_rewards)


@dataclass(frozen=True)
class ClippedIPS:
    """IPS with weights of at most `maximum`: V̂ = mean(min(wᵢ, M) rᵢ). Less variance, biased towards 0.

    Bottou et al. 2013: Counterfactual reasoning and learning systems (there weights above the
    bound are left out; clipping them is Ionides 2008: Truncated importance sampling).
    """

    maximum: float = 10.0
    name: str = "clipped IPS"
    needs_model: bool = False

    def __post_init__(self) -> None:
        """Check the bound."""
        if not self.maximum > 0:
            raise ValueError(f"the largest weight must be above 0, not {self.maximum}")

    def terms(self, rows: Rows) -> Terms:
        """Return the terms."""
        return Terms.mean_of(np.minimum(rows.weights, self.maximum) * rows.rewards)


@dataclass(frozen=True)
class SNIPS:
    """Self-normalised IPS: V̂ = Σ wᵢ rᵢ / Σ wᵢ. A small bias, and a value that stays among the rewards.

    Swaminathan, Joachims 2015: The self-normalized estimator for counterfactual learning.
    """

    name: str = "SNIPS"
    needs_model: bool = False

    def terms(self, rows: Rows) -> Terms:
        """Return the terms."""
        return Terms((Part(rows.weighted_rewards, rows.weights),))
