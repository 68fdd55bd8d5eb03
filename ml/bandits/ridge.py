"""Ridge regressions of arms, and how sure they are: what LinUCB, LinTS and their simpler kin are fitted as.

    A_a = λI + Σ x xᵀ        θ_a = A_a⁻¹ Σ r x        C_a = A_a⁻¹

or, with a shared ridge, arms that start from their labels (`ml.bandits.sharing`). Fitted from statistics
that add, in float64.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.bandits.linear import COLD, Linear
from ml.bandits.policy import GREEDY
from ml.bandits.quadratic import Quadratic
from ml.bandits.sharing import solve
from ml.bandits.statistics import Statistics, unpack
from ml.draw import DrawRule

SINGULAR = 1e-12

Floats = NDArray[np.float64]


class Ridge(Linear):
    """Arms with coefficients and the covariance of these, in units where a reward's variance is 1.

    Parameters
    ----------
    ridge
        λ, above 0 unless every arm's Σ x xᵀ is regular; in units of squared features.
    alpha
        α, reward that one standard deviation of doubt is worth; 0 explores by the draw alone.
    shared_ridge
        λ₀ of what arms share through their labels; None for arms that share nothing.
    rule
        how scores become propensities.

    Attributes
    ----------
    statistics_
        what was fitted on.
    labels_
        (k, m) labels of the arms, None when they share nothing.
    theta_
        (k, d) float64, coefficients: reward per unit of a feature.
    covariance_
        (k, d, d) float64.
    common_
        (k, d, q) float64, the part of the covariance that arms share is common commonᵀ; None when they
        share nothing, or nobody asked for it.

    """

    statistics_: Statistics
    labels_: Floats | None
    covariance_: Floats
    common_: Floats | None

    keeps_common = False

    def __init__(
        self,
        ridge: float = 1.0,
        alpha: float = 1.0,
        *,
        shared_ridge: float | None = None,
        rule: DrawRule = GREEDY,
    ) -> None:
        self.ridge = ridge
        self.alpha = alpha
        self.shared_ridge = shared_ridge
        self.rule = rule

    def fit(self, statistics: Statistics, labels: Floats | None = None) -> Self:
        """Solve every arm's ridge regression.

        Raises
        ------
        ValueError
            When an arm's λI + Σ x xᵀ is singular or not positive; it names the arm.

        """
        if not (np.isfinite(self.ridge) and self.ridge >= 0):
            raise ValueError(f"ridge must be 0 or more, not {self.ridge}")
        if (labels is None) != (self.shared_ridge is None):
            raise ValueError("arms that share need both labels and a shared_ridge, others neither")
        self.statistics_, self.labels_ = statistics, labels
        design = unpack(statistics.xx, statistics.width) + self.ridge * np.eye(statistics.width)
        roots = _roots(design, "its λI + Σxxᵀ is singular; give a ridge above 0")
        if labels is not None and self.shared_ridge is not None:
            fitted = solve(statistics, labels, ridge=self.ridge, shared_ridge=self.shared_ridge)
            common = fitted.common() if self.keeps_common else None
            return self._learned(fitted.theta, fitted.covariance(), common)
        inverse_roots = np.linalg.inv(roots)
        covariance = np.swapaxes(inverse_roots, 1, 2) @ inverse_roots
        theta = np.matmul(covariance, statistics.rx[:, :, None])[:, :, 0]
        return self._learned(theta, covariance)

    def partial_fit(self, statistics: Statistics) -> Self:
        """Learn from further days: the same as a fit on all of them, at the cost of these days."""
        known = getattr(self, "statistics_", None)
        total = statistics if known is None else known + statistics
        return self.fit(total, getattr(self, "labels_", None))

    def restore(self, theta: Floats, covariance: Floats, common: Floats | None = None) -> Self:
        """Take over the parameters of a fit: (k, d), (k, d, d) and, where arms share, (k, d, q)."""
        return self._learned(theta, covariance, common)

    def select(self, arms: NDArray[np.integer]) -> Self:
        """Return the policy over these arms, in this order; -1 is an arm never seen (θ = 0, A = λI)."""
        arms = np.asarray(arms)
        known = arms != COLD
        width = self.theta_.shape[1]
        theta = np.zeros((len(known), width))
        covariance = np.zeros((len(known), width, width))
        theta[known] = self.theta_[arms[known]]
        covariance[known] = self.covariance_[arms[known]]
        if not known.all():
            if self.ridge <= 0:
                raise ValueError("an arm never seen needs a ridge above 0")
            doubt = 1 / self.ridge + (1 / self.shared_ridge if self.shared_ridge else 0.0)
            covariance[~known] = np.eye(width) * doubt
        common = None
        if self.common_ is not None:
            common = np.zeros((len(known), *self.common_.shape[1:]))
            common[known] = self.common_[arms[known]]
        return self._like().restore(theta, covariance, common)

    def _like(self) -> Self:
        return type(self)(self.ridge, self.alpha, shared_ridge=self.shared_ridge, rule=self.rule)

    def _learned(self, theta: Floats, covariance: Floats, common: Floats | None = None) -> Self:
        arms, width = theta.shape
        if covariance.shape != (arms, width, width):
            raise ValueError(f"{arms} arms of {width} features cannot have covariances {covariance.shape}")
        if common is not None and common.shape[:2] != (arms, width):
            raise ValueError(f"{arms} arms of {width} features cannot have loadings {common.shape}")
        if not (np.isfinite(self.alpha) and self.alpha >= 0):
            raise ValueError(f"alpha must be 0 or more, not {self.alpha}")
        if not (np.isfinite(theta).all() and np.isfinite(covariance).all()):
            raise ValueError("the parameters of a policy must be finite")
        _roots(covariance, "its covariance is not positive definite")
        self.theta_, self.covariance_, self.common_ = theta, covariance, common
        self._quadratics: dict[int, Quadratic] = {}
        return self

    def _quadratic(self, shared: int) -> Quadratic:
        """Return the forms of what arms doubt independently of each other, for contexts of a width."""
        if shared not in self._quadratics:
            covariance = self.covariance_
            if self.common_ is not None:
                covariance = covariance - self.common_ @ np.swapaxes(self.common_, 1, 2)
            self._quadratics[shared] = Quadratic(covariance, shared)
        return self._quadratics[shared]


def _roots(matrices: Floats, sentence: str) -> Floats:
    """Return lower Cholesky factors; name the first arm that has none."""
    try:
        roots = np.linalg.cholesky(matrices).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        arm = next(arm for arm, matrix in enumerate(matrices) if not _is_positive(matrix))
        raise ValueError(f"arm {arm}: {sentence}") from None
    # What is left of a feature's square without the features before it: rounding alone leaves 1e-14 of it.
    left = np.diagonal(roots, axis1=1, axis2=2) ** 2
    flat = (left <= SINGULAR * np.diagonal(matrices, axis1=1, axis2=2)).any(axis=1)
    if flat.any():
        raise ValueError(f"arm {int(np.argmax(flat))}: {sentence}")
    return roots


def _is_positive(matrix: Floats) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True
