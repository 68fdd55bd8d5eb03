"""Logs that several policies drew: balanced and weighted estimators.

Agarwal, Basu, Schnabel, Joachims 2017: Effective evaluation using logged bandit feedback from multiple
loggers. m logging policies p₁ … p_m with n₁ … n_m rows. For logs at hand: nightly jobs weigh each serving by
the propensity it was drawn with, since what other policies would have given it is not kept.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ml.ope.log import Floats, Integers, Log, refuse
from ml.ope.rows import Rows
from ml.ope.terms import Terms


def balanced(log: Log, propensities: NDArray[np.floating]) -> Log:
    """Return the log as if one mixture of its policies had drawn it: p̄(aᵢ|xᵢ) = Σⱼ nⱼ/n pⱼ(aᵢ|xᵢ).

    IPS over it is the balanced estimator, of no more variance than any weighting by policy; every
    other estimator may be used over it as well.

    Parameters
    ----------
    log
        rows of several policies; `policies` says whose each is.
    propensities
        (n, m) probability of the logged action under each of the policies, 0 where one never shows it.

    """
    policies = _policies(log.policies)
    count = int(policies.max()) + 1
    if propensities.shape != (len(log), count):
        raise ValueError(f"propensities must have shape ({len(log)}, {count}), not {propensities.shape}")
    for policy in range(count):
        values = propensities[:, policy]
        name = f"propensities of logging policy {policy}"
        refuse(~((values >= 0) & (values <= 1)), name, values, "a probability is 0 to 1")
    own = propensities[np.arange(len(log)), policies]
    wrong = ~np.isclose(own, log.propensities, rtol=1e-6, atol=0)
    refuse(wrong, "propensities", log.propensities, "its own policy's column says otherwise")
    mixture = propensities @ (np.bincount(policies, minlength=count) / len(log))
    return replace(log, propensities=np.minimum(mixture, 1.0), policies=None)


@dataclass(frozen=True)
class WeightedIPS:
    """IPS by logging policy, weighted by how well each can tell: V̂ = Σⱼ λⱼ Σᵢ∈ⱼ wᵢ rᵢ, Σⱼ λⱼ nⱼ = 1.

    λⱼ = 1 / (σⱼ² Σₖ nₖ/σₖ²) with σⱼ² the variance of w r among the rows of policy j (eqs. 12 and 13). The
    variances are estimated from the same rows, so it is unbiased only as n grows.
    """

    name: str = "weighted IPS"
    needs_model: bool = False

    def terms(self, rows: Rows) -> Terms:
        """Return the terms; a ValueError where a policy's rows do not vary, and so cannot be weighed."""
        policies = _policies(rows.policies)
        shares = _shares(rows.weighted_rewards, policies)
        return Terms.mean_of(len(policies) * shares[policies] * rows.weighted_rewards)


def _shares(values: Floats, policies: Integers) -> Floats:
    counts = np.bincount(policies)
    means = np.bincount(policies, weights=values) / np.maximum(counts, 1)
    squares = np.bincount(policies, weights=(values - means[policies]) ** 2)
    there = counts > 0
    flat = there & ~(squares > 0)
    if flat.any():
        raise ValueError(
            f"the weighted rewards of logging policy {int(np.argmax(flat))} do not vary: it cannot be "
            "weighed; use the balanced estimator"
        )
    precisions = np.zeros(len(counts))
    precisions[there] = (counts[there] - 1) / squares[there]
    return np.asarray(precisions / np.sum(counts * precisions))


def _policies(policies: Integers | None) -> Integers:
    if policies is None:
        raise ValueError("the log names no logging policies: give `policies`, a code for each row")
    return policies
