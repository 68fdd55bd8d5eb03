"""Ridge regressions that share: what an arm's labels say first, and what it is by itself on top.

    θ_a = Θᵀ w_a + δ_a        vec Θ ~ N(0, I/λ₀),  δ_a ~ N(0, I/λ)

w_a are the arm's labels, (m,), Θ (m, d) what they say, δ_a the arm's own departure. With z = w ⊗ x as shared
features this is the hybrid model of Li, Chu, Langford, Schapire 2010 (algorithm 2), solved from daily
statistics: with S_a = Σxxᵀ and b_a = Σrx of an arm, the arms' own parts are eliminated one by one,

    A₀ = λ₀I + Σ_a w_a w_aᵀ ⊗ λ S_a P_a        P_a = (λI + S_a)⁻¹
    b₀ =       Σ_a w_a ⊗ λ P_a b_a             vec Θ = A₀⁻¹ b₀

so that k arms cost k inversions of d × d and one of md × md. What an arm's score and its doubt need is then

    θ_a = P_a (b_a + λ Θᵀ w_a)        C_a = P_a + L_a L_aᵀ,  L_a = λ P_a (w_aᵀ ⊗ I) A₀^(-1/2)

An arm without data has θ = Θᵀw: it starts from its labels. As λ grows, arms with equal labels become one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.bandits.statistics import Statistics, unpack

Floats = NDArray[np.float64]

ARMS_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Shared:
    """k arms of d features that share m labels; q = md.

    theta : (k, d) coefficients.
    own : (k, d, d) covariance of the arms' own parts, independent of each other.
    ridge : λ, of the arms' own parts.
    labels : (k, m) w of each arm.
    root : (q, q) A₀^(-1/2): a root of the covariance of what labels say.
    """

    theta: Floats
    own: Floats
    ridge: float
    labels: Floats
    root: Floats

    def common(self, arms: slice = slice(None)) -> Floats:
        """Return L (k, d, q), the arms' loadings on the q numbers that all arms share."""
        size, many = len(self.root), self.labels.shape[1]
        spread = np.tensordot(self.labels[arms], self.root.reshape(many, size // many, size), axes=1)
        return self.ridge * self.own[arms] @ spread

    def covariance(self) -> Floats:
        """Return C (k, d, d); made a few arms at a time, as loadings of thousands of arms are large."""
        covariance = self.own.copy()
        for start in range(0, len(covariance), ARMS_AT_ONCE):
            arms = slice(start, start + ARMS_AT_ONCE)
            loadings = self.common(arms)
            covariance[arms] += loadings @ np.swapaxes(loadings, 1, 2)
        return covariance


def solve(statistics: Statistics, labels: Floats, *, ridge: float, shared_ridge: float) -> Shared:
    """Fit arms that share.

    Parameters
    ----------
    statistics
        of k arms of d features.
    labels
        (k, m), w of each arm, usually 1 and one column for each value of each label.
    ridge
        λ, above 0: how many squared units of data an arm's own departure must outweigh.
    shared_ridge
        λ₀, above 0: the same for what labels say.

    Raises
    ------
    ValueError
        On labels that are not one finite row an arm, or a ridge that is not above 0.

    """
    arms, width = statistics.rx.shape
    if labels.ndim != 2 or len(labels) != arms or not labels.shape[1]:
        raise ValueError(f"labels must have shape ({arms}, m), not {labels.shape}")
    wrong = ~np.isfinite(labels).all(axis=1)
    if wrong.any():
        raise ValueError(f"the labels of arm {int(np.argmax(wrong))} hold NaN or infinity")
    for value, name in ((ridge, "ridge"), (shared_ridge, "shared_ridge")):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"arms that share need a {name} above 0, not {value}")
    design = unpack(statistics.xx, width)
    own = np.linalg.inv(design + ridge * np.eye(width))
    own = (own + np.swapaxes(own, 1, 2)) / 2
    # λSP = λ(I - λP) would cancel where data is plenty.
    weights = ridge * design @ own
    weights = (weights + np.swapaxes(weights, 1, 2)) / 2
    told = ridge * np.einsum("kij,kj->ki", own, statistics.rx)
    many = labels.shape[1]
    precision = np.zeros((many, width, many, width))
    response = np.zeros((many, width))
    for arm in range(arms):
        said = np.flatnonzero(labels[arm])
        for i in said:
            response[i] += labels[arm, i] * told[arm]
            for j in said:
                precision[i, :, j] += labels[arm, i] * labels[arm, j] * weights[arm]
    size = many * width
    root = np.linalg.cholesky(precision.reshape(size, size) + shared_ridge * np.eye(size))
    loose = np.linalg.inv(root).T
    coefficients = (loose @ (loose.T @ response.ravel())).reshape(many, width)
    of_labels = ridge * np.einsum("kij,kj->ki", own, labels @ coefficients)
    theta = np.einsum("kij,kj->ki", own, statistics.rx) + of_labels
    return Shared(theta, own, ridge, labels, loose)
