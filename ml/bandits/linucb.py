"""Disjoint LinUCB: a ridge regression of its own for every arm, with a bonus for doubt.

    A_a = λI + Σ x xᵀ        θ_a = A_a⁻¹ Σ r x
    score_a(x) = xᵀθ_a       bonus_a(x) = α · √(xᵀ A_a⁻¹ x)

Li, Chu, Langford, Schapire 2010: A contextual-bandit approach to personalized news article
recommendation, algorithm 1 (there λ = 1). Fitted from statistics that add, in float64; scored in float32,
in blocks of a fixed size, so that a row's score does not depend on the rows beside it.
"""

from typing import Self

import numba
import numpy as np
from numpy.typing import NDArray

from ml.bandits.statistics import Statistics, unpack

BLOCK = 1024
COLD = -1
SINGULAR = 1e-12


class LinUCB:
    """Disjoint LinUCB over k arms of d features; x of arm a is (context, its row of the action context).

    Parameters
    ----------
    ridge
        λ, above 0 unless every arm's Σ x xᵀ is regular; in units of squared features.
    alpha
        α, reward that one standard deviation of doubt is worth; 0 is a plain ridge regression.

    Attributes
    ----------
    statistics_
        what was fitted on.
    theta_
        (k, d) float64, coefficients: reward per unit of a feature.
    covariance_
        (k, d, d) float64, A⁻¹.

    """

    statistics_: Statistics
    theta_: NDArray[np.float64]
    covariance_: NDArray[np.float64]
    _factors: NDArray[np.float32]

    def __init__(self, ridge: float = 1.0, alpha: float = 1.0) -> None:
        self.ridge = ridge
        self.alpha = alpha

    def fit(self, statistics: Statistics) -> Self:
        """Solve every arm's ridge regression.

        Raises
        ------
        ValueError
            When an arm's λI + Σ x xᵀ is singular or not positive; it names the arm.

        """
        if not (np.isfinite(self.ridge) and self.ridge >= 0):
            raise ValueError(f"ridge must be 0 or more, not {self.ridge}")
        self.statistics_ = statistics
        design = unpack(statistics.xx, statistics.width) + self.ridge * np.eye(statistics.width)
        roots = _roots(design, "its λI + Σxxᵀ is singular; give a ridge above 0")
        inverse_roots = np.linalg.inv(roots)
        covariance = np.swapaxes(inverse_roots, 1, 2) @ inverse_roots
        theta = np.matmul(covariance, statistics.rx[:, :, None])[:, :, 0]
        return self._learned(theta, covariance)

    def partial_fit(self, statistics: Statistics) -> Self:
        """Learn from further days: the same as a fit on all of them."""
        known = getattr(self, "statistics_", None)
        return self.fit(statistics if known is None else known + statistics)

    @classmethod
    def of_parameters(
        cls, theta: NDArray[np.float64], covariance: NDArray[np.float64], *, ridge: float, alpha: float
    ) -> Self:
        """Rebuild a fitted policy from (k, d) coefficients and (k, d, d) inverse matrices."""
        return cls(ridge, alpha)._learned(theta, covariance)

    def select(self, arms: NDArray[np.integer]) -> Self:
        """Return the policy over these arms, in this order; -1 is an arm never seen (θ = 0, A = λI)."""
        known = np.asarray(arms) != COLD
        width = self.theta_.shape[1]
        theta = np.zeros((len(known), width))
        covariance = np.zeros((len(known), width, width))
        theta[known] = self.theta_[arms[known]]
        covariance[known] = self.covariance_[arms[known]]
        if not known.all():
            if self.ridge <= 0:
                raise ValueError("an arm never seen needs a ridge above 0")
            covariance[~known] = np.eye(width) / self.ridge
        return type(self).of_parameters(theta, covariance, ridge=self.ridge, alpha=self.alpha)

    def scores(
        self,
        contexts: NDArray[np.floating],
        action_contexts: NDArray[np.floating] | None = None,
        *,
        columns: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Return (n, k) expected rewards.

        Parameters
        ----------
        contexts
            (n, c) features that all arms share.
        action_contexts
            (n, k, d - c) features of each arm; None when d = c.
        columns
            (k, d) features that count, None for all: scores by parts sum to the score.

        """
        contexts, actions = self._checked(contexts, action_contexts)
        theta = (self.theta_ if columns is None else self.theta_ * columns).astype(np.float32)
        shared, own = theta[:, : contexts.shape[1]].T, theta[:, contexts.shape[1] :]
        scores = np.empty((len(contexts), len(theta)), dtype=np.float32)
        for start in range(0, len(contexts), BLOCK):
            rows = slice(start, min(start + BLOCK, len(contexts)))
            block = _in_block(contexts[rows]) @ np.ascontiguousarray(shared)
            _add_own(block, actions[rows], np.ascontiguousarray(own), scores[rows])
        return scores

    def bonuses(
        self, contexts: NDArray[np.floating], action_contexts: NDArray[np.floating] | None = None
    ) -> NDArray[np.float32]:
        """Return (n, k) exploration bonuses, in units of reward; parameters as for `scores`."""
        contexts, actions = self._checked(contexts, action_contexts)
        shared_width = contexts.shape[1]
        arms, width, _ = self._factors.shape
        shared = np.ascontiguousarray(self._factors[:, :shared_width].transpose(1, 0, 2)).reshape(
            shared_width, -1
        )
        own = np.ascontiguousarray(self._factors[:, shared_width:])
        bonuses = np.empty((len(contexts), arms), dtype=np.float32)
        for start in range(0, len(contexts), BLOCK):
            rows = slice(start, min(start + BLOCK, len(contexts)))
            projected = (_in_block(contexts[rows]) @ shared).reshape(BLOCK, arms, width)
            _add_norms(projected, actions[rows], own, np.float32(self.alpha), bonuses[rows])
        return bonuses

    def _learned(self, theta: NDArray[np.float64], covariance: NDArray[np.float64]) -> Self:
        arms, width = theta.shape
        if covariance.shape != (arms, width, width):
            raise ValueError(f"{arms} arms of {width} features cannot have covariances {covariance.shape}")
        if not (np.isfinite(self.alpha) and self.alpha >= 0):
            raise ValueError(f"alpha must be 0 or more, not {self.alpha}")
        if not (np.isfinite(theta).all() and np.isfinite(covariance).all()):
            raise ValueError("the parameters of a policy must be finite")
        self.theta_ = theta
        self.covariance_ = covariance
        # ‖Fᵀx‖² with A⁻¹ = F Fᵀ cannot turn negative in float32, as xᵀA⁻¹x can.
        self._factors = _roots(covariance, "its covariance is not positive definite").astype(np.float32)
        return self

    def _checked(
        self, contexts: NDArray[np.floating], action_contexts: NDArray[np.floating] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if not hasattr(self, "theta_"):
            raise ValueError("this policy is not fitted yet: call fit or partial_fit first")
        arms, width = self.theta_.shape
        if contexts.ndim != 2 or contexts.shape[1] > width:
            raise ValueError(f"contexts must have shape (n, {width} or fewer), not {contexts.shape}")
        rows, shared = contexts.shape
        if action_contexts is None:
            action_contexts = np.empty((rows, arms, 0), dtype=np.float32)
        if action_contexts.shape != (rows, arms, width - shared):
            expected = (rows, arms, width - shared)
            raise ValueError(f"action contexts must have shape {expected}, not {action_contexts.shape}")
        for values, name in ((contexts, "context"), (action_contexts, "action context")):
            wrong = ~np.isfinite(values).reshape(rows, -1).all(axis=1)
            if wrong.any():
                raise ValueError(f"the {name} of row {int(np.argmax(wrong))} holds NaN or infinity")
        return (
            np.ascontiguousarray(contexts, dtype=np.float32),
            np.ascontiguousarray(action_contexts, dtype=np.float32),
        )


def _roots(matrices: NDArray[np.float64], sentence: str) -> NDArray[np.float64]:
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


def _is_positive(matrix: NDArray[np.float64]) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def _in_block(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pad to a whole block: BLAS then takes the same path whatever the number of rows."""
    if len(rows) == BLOCK:
        return rows
    block = np.zeros((BLOCK, rows.shape[1]), dtype=np.float32)
    block[: len(rows)] = rows
    return block


@numba.njit(cache=True, nogil=True)
def _add_own(shared, actions, own, scores):  # type: ignore[no-untyped-def]
    for row in range(scores.shape[0]):
        for arm in range(scores.shape[1]):
            total = shared[row, arm]
            for j in range(own.shape[1]):
                total += actions[row, arm, j] * own[arm, j]
            scores[row, arm] = total


@numba.njit(cache=True, nogil=True)
def _add_norms(shared, actions, own, alpha, bonuses):  # type: ignore[no-untyped-def]
    width = shared.shape[2]
    projected = np.empty(width, dtype=np.float32)
    for row in range(bonuses.shape[0]):
        for arm in range(bonuses.shape[1]):
            projected[:] = shared[row, arm]
            for j in range(own.shape[1]):
                value = actions[row, arm, j]
                for i in range(width):
                    projected[i] += value * own[arm, j, i]
            total = np.float32(0.0)
            for i in range(width):
                total += projected[i] * projected[i]
            bonuses[row, arm] = alpha * np.sqrt(total)
