"""What another policy's slates would have earned: K positions a row, each with its conditional propensity.

    ratioₖ = π(aₖ | x, a₁ … aₖ₋₁) / p(aₖ | x, a₁ … aₖ₋₁),   w₁:ₖ = ratio₁ · … · ratioₖ

A row's value is Σₖ αₖ rₖ: a position that was not seen counts as 0. All return `Terms`, so intervals,
differences and the gate are those of single actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.ope.log import Floats, Integers, refuse
from ml.ope.terms import Part, Terms


@dataclass(frozen=True, eq=False)
class Slates:
    """Logged slates of n rows and K positions, beside what a target policy makes of them.

    Attributes
    ----------
    rewards
        (n, K) float64, 0 where a position was not seen.
    propensities
        (n, K) of each position given those before it, under the logging policy; 1 where it holds nothing.
    probabilities
        (n, K) the same under the target policy (`ml.draw.slate_propensities`).
    seen
        (n, K) whether the position was seen; None when all were.
    clusters
        (n,) codes from 0 of subject or draw; None when every row stands for itself.
    position_weights
        (K,) αₖ; None for 1.
    may_earn_nothing
        whether rewards may all be 0: those of a part of a log, such as a day of one bucket.

    Raises
    ------
    ValueError
        When a value breaks its rule; it names column, row and position.

    """

    rewards: Floats
    propensities: Floats
    probabilities: Floats
    seen: NDArray[np.bool_] | None = None
    clusters: Integers | None = None
    position_weights: Floats | None = None
    may_earn_nothing: bool = False

    def __post_init__(self) -> None:
        """Check every rule."""
        if self.rewards.ndim != 2 or not self.rewards.size:
            raise ValueError(f"rewards of slates must have shape (n, K), not {self.rewards.shape}")
        for name in ("propensities", "probabilities", "seen"):
            column = getattr(self, name)
            if column is not None and column.shape != self.rewards.shape:
                raise ValueError(f"{name} must have shape {self.rewards.shape}, not {column.shape}")
        _refuse(~np.isfinite(self.rewards), "rewards", self.rewards, "a reward is a finite number")
        above, most = self.propensities > 0, self.propensities <= 1
        _refuse(~(above & most), "propensities", self.propensities, "a propensity is above 0 and at most 1")
        fine = (self.probabilities >= 0) & (self.probabilities <= 1)
        _refuse(~fine, "target probabilities", self.probabilities, "a probability is 0 to 1")
        if self.seen is not None:
            unseen = ~self.seen & (self.rewards != 0)
            _refuse(unseen, "rewards", self.rewards, "a position that was not seen earns 0")
        if not self.may_earn_nothing and not self.rewards.any():
            raise ValueError(
                f"rewards are 0 in all {len(self.rewards)} slates: nothing can be learned from them"
            )
        if self.position_weights is not None and self.position_weights.shape != self.rewards.shape[1:]:
            raise ValueError(f"position weights must have shape {self.rewards.shape[1:]}")
        if self.clusters is not None:
            refuse(self.clusters < 0, "clusters", self.clusters, "codes start at 0")

    @property
    def valued(self) -> Floats:
        """(n, K) αₖ rₖ."""
        return self.rewards if self.position_weights is None else self.rewards * self.position_weights

    @property
    def prefix_weights(self) -> Floats:
        """(n, K) w₁:ₖ."""
        return np.asarray(np.cumprod(self.probabilities / self.propensities, axis=1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Marginals:
    """Probability that the logged widget stands at its position, whatever stands before it, by policy.

    logging, target : (n, K).
    logging_errors, target_errors : (n, K) standard errors of those that were simulated; None where exact.
    """

    logging: Floats
    target: Floats
    logging_errors: Floats | None = None
    target_errors: Floats | None = None


@dataclass(frozen=True, eq=False)
class Exposures:
    """How often a target policy lets each logged widget be seen, and what a model expects of it.

    With πₖ(a | x) the marginal of position k and sₖ the chance that it is seen, Eₐ = Σₖ πₖ(a | x) sₖ / s₁:
    how often widget a is seen by who looks at the page at all.

    Attributes
    ----------
    logged
        (n, K) E of the widget logged at each position; NaN where a position holds none that was drawn.
    rated
        (n, K) r̂ of that widget when it is seen; None without a model.
    modelled
        (n,) s₁ Σₐ Eₐ r̂ₐ, over all widgets; None without a model.
    counts
        (n, K) how often each position's reward counts, of slates that were drawn under rules
        (`ml.ope.covered`); NaN in rows of others; None when all are others.

    """

    logged: Floats
    rated: Floats | None = None
    modelled: Floats | None = None
    counts: Floats | None = None

    def __post_init__(self) -> None:
        """Check that a model says both."""
        if (self.rated is None) != (self.modelled is None):
            raise ValueError("rated and modelled rewards come together: give both or none")

    def rows(self, wanted: NDArray[np.generic]) -> "Exposures":
        """Return some of the rows."""
        rated = None if self.rated is None else self.rated[wanted]
        modelled = None if self.modelled is None else self.modelled[wanted]
        return Exposures(
            self.logged[wanted], rated, modelled, None if self.counts is None else self.counts[wanted]
        )

    @classmethod
    def joined(cls, parts: Sequence["Exposures"]) -> "Exposures":
        """Put rows one after the other; a model that some lack, all do."""

        def all_of(values: Sequence[Floats | None]) -> Floats | None:
            known = [each for each in values if each is not None]
            return np.concatenate(known) if len(known) == len(values) else None

        counts = [
            np.full(part.logged.shape, np.nan) if part.counts is None else part.counts for part in parts
        ]
        return cls(
            np.concatenate([part.logged for part in parts]),
            all_of([part.rated for part in parts]),
            all_of([part.modelled for part in parts]),
            None if all(part.counts is None for part in parts) else np.concatenate(counts),
        )

    def total(self, propensities: Floats, seen: NDArray[np.bool_] | None, values: Floats) -> Floats:
        """Return (n,) the sum of the values of positions that were looked at, each as often as it counts."""
        free = along_look(propensities, self.logged, seen, values)
        if self.counts is None:
            return free
        return np.where(np.isnan(self.counts[:, 0]), free, (self.counts * values).sum(axis=1))


def of_logged(values: Floats, slates: NDArray[np.integer], *, empty: float) -> Floats:
    """Pick from (n, K, k) marginals or their errors those of (n, K) logged columns; `empty` where -1."""
    rows, positions = np.ogrid[: slates.shape[0], : slates.shape[1]]
    return np.where(slates < 0, empty, values[rows, positions, slates])


def standard_ips(slates: Slates, *, normalised: bool = False) -> Terms:
    """V̂ = mean(w₁:K Σₖ αₖ rₖ): unbiased, whatever positions do to each other; normalised by mean(w₁:K).

    Precup, Sutton, Singh 2000: Eligibility traces for off-policy policy evaluation; Swaminathan et al. 2017:
    Off-policy evaluation for slate recommendation.
    """
    weights = np.ascontiguousarray(slates.prefix_weights[:, -1])
    total = weights * slates.valued.sum(axis=1)
    return Terms((Part(total, weights),)) if normalised else Terms.mean_of(total)


def reward_interaction_ips(slates: Slates, *, normalised: bool = False) -> Terms:
    """V̂ = mean(Σₖ w₁:ₖ αₖ rₖ): unbiased where a reward owes nothing to later positions (a cascade).

    McInerney et al. 2020: Counterfactual evaluation of slate recommendations with sequential reward
    interactions; normalised, each position by the mean of its own weights.
    """
    return _by_position(slates.prefix_weights, slates.valued, normalised)


def independent_ips(slates: Slates, marginal: Marginals, *, normalised: bool = False) -> Terms:
    """V̂ = mean(Σₖ πₖ(aₖ|x) / pₖ(aₖ|x) · αₖ rₖ) on marginals: unbiased where positions do not interact.

    Li et al. 2018: Offline evaluation of ranking policies with click models (there the item-position model).
    Marginals that were simulated (`ml.marginals`) leave an error of their own: each row's enters as `noise`.
    """
    for name, column in (("logging marginals", marginal.logging), ("target marginals", marginal.target)):
        if column.shape != slates.rewards.shape:
            raise ValueError(f"{name} must have shape {slates.rewards.shape}, not {column.shape}")
    fine = (marginal.logging > 0) & (marginal.logging <= 1)
    rule = "what was logged has a marginal above 0 and at most 1; where it is simulated, simulate more draws"
    _refuse(~fine, "logging marginals", marginal.logging, rule)
    fine = (marginal.target >= 0) & (marginal.target <= 1)
    _refuse(~fine, "target marginals", marginal.target, "a probability is 0 to 1")
    weights = marginal.target / marginal.logging
    terms = _by_position(weights, slates.valued, normalised)
    if marginal.logging_errors is None and marginal.target_errors is None:
        return terms
    none = np.zeros(weights.shape)
    above = none if marginal.target_errors is None else marginal.target_errors
    below = none if marginal.logging_errors is None else marginal.logging_errors
    # The delta method for a ratio of two means; positions of a slate share their draws, so errors add up.
    deviation = np.abs(slates.valued) * np.hypot(above, weights * below) / marginal.logging
    return Terms(terms.parts, noise=deviation.sum(axis=1))


def position_based(slates: Slates, exposures: Exposures) -> Terms:
    """V̂ = mean(s₁ Σₐ Eₐ r̂ₐ + meanⱼ tⱼ),  tⱼ = Σ_{i<j} Eᵢ eᵢ + Eⱼ eⱼ / pⱼ,  e = r - r̂, of positions seen.

    Unbiased where a widget that is seen earns the same at any position, beside any others, and where how far
    somebody looks owes nothing to what is shown: the position-based model. Li et al. 2018, Offline evaluation
    of ranking policies with click models, weigh by the marginals of both policies; here the conditional
    propensities pⱼ of the log suffice, since a slate is a sample without replacement. Given the positions
    before j, E[Eⱼ eⱼ / pⱼ] is the sum over all widgets that are left, and those before it are known: each tⱼ
    estimates the whole sum (Des Raj 1956: Some estimators in sampling with varying probabilities without
    replacement). So every widget that is left must have had a chance; where rules kept some out, `counts` of
    the exposures say what each position is worth instead (`ml.ope.covered`). It is linear in the exposures:
    where they are simulated it stays unbiased, and their error is part of each row's.
    """
    if exposures.logged.shape != slates.rewards.shape:
        raise ValueError(f"exposures must have shape {slates.rewards.shape}, not {exposures.logged.shape}")
    if slates.position_weights is not None:
        raise ValueError("weights of positions have no meaning where positions are alike")
    rated = np.zeros(slates.rewards.shape) if exposures.rated is None else exposures.rated
    looked = exposures.total(slates.propensities, slates.seen, slates.rewards - rated)
    return Terms.mean_of(looked) if exposures.modelled is None else Terms.mean_of(exposures.modelled, looked)


def along_look(
    propensities: Floats, exposures: Floats, seen: NDArray[np.bool_] | None, values: Floats
) -> Floats:
    """Return (n,) the mean of tⱼ over the positions that were seen one after the other; 0 where none was."""
    there = ~np.isnan(exposures)
    looked = looked_at(there, seen)
    owed = np.where(looked, np.where(there, exposures, 0.0) * values, 0.0)
    whole = np.cumsum(owed, axis=1) - owed + owed / propensities
    count = looked.sum(axis=1)
    return np.asarray((whole * looked).sum(axis=1) / np.maximum(count, 1), dtype=np.float64)


def looked_at(there: NDArray[np.bool_], seen: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return (n, K) whether a position that holds something was seen, and all above it."""
    return there if seen is None else there & np.logical_and.accumulate(seen | ~there, axis=1)


def cascade_dr(slates: Slates, predicted: Floats, expected: Floats) -> Terms:
    """V̂ = mean(Σₖ w₁:ₖ (αₖ rₖ - q̂ₖ) + w₁:ₖ₋₁ v̂ₖ): as reward-interaction IPS, with less variance.

    Kiyohara et al. 2022: Doubly robust off-policy evaluation for ranking policies under the cascade behavior
    model, with w₁:₀ = 1.

    Parameters
    ----------
    slates
        logged slates.
    predicted
        (n, K) q̂ₖ(x, a₁ … aₖ): what a model made out of fold expects of positions k to K, given the logged
        prefix and the target policy after it. Any numbers leave it unbiased; these take most variance away.
    expected
        (n, K) v̂ₖ = Σₐ π(a | x, a₁ … aₖ₋₁) q̂ₖ(x, a₁ … aₖ₋₁, a).

    """
    for name, column in (("predicted", predicted), ("expected", expected)):
        if column.shape != slates.rewards.shape:
            raise ValueError(f"{name} must have shape {slates.rewards.shape}, not {column.shape}")
        _refuse(~np.isfinite(column), name, column, "a predicted reward is a finite number")
    weights = slates.prefix_weights
    before = np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)
    return Terms.mean_of((weights * (slates.valued - predicted) + before * expected).sum(axis=1))


def _by_position(weights: Floats, valued: Floats, normalised: bool) -> Terms:
    if not normalised:
        return Terms.mean_of((weights * valued).sum(axis=1))
    above, below = np.ascontiguousarray((weights * valued).T), np.ascontiguousarray(weights.T)
    return Terms(tuple(Part(one, other) for one, other in zip(above, below, strict=True)))


def _refuse(wrong: NDArray[np.bool_], column: str, values: NDArray[np.generic], rule: str) -> None:
    if wrong.any():
        position = int(np.argwhere(wrong)[0][1])
        refuse(wrong[:, position], f"{column} at position {position}", values[:, position], rule)
