"""Doubt: √(xᵀCx) for many contexts and arms, by one matrix product.

A symmetric form is linear in the products of features, xᵀCx = vec(xxᵀ)·vec(C): d(d+1)/2 columns, made once
a row and multiplied with all arms' matrices at once, which is half the work of ‖Fᵀx‖² with C = F Fᵀ.

What arms share (u) and what is an arm's own (v) are parted by completing the square,

    xᵀCx = uᵀSu + ‖Gᵀ(v + Hu)‖²     S = C_uu - C_uv C_vv⁻¹ C_vu,  H = C_vv⁻¹ C_vu,  G Gᵀ = C_vv

so that no part is below 0 but for rounding. Float32 is enough, as u is turned first: y = Rᵀu, where R Rᵀ is
the inverse of the arms' mean precision. The arms' forms in y lie near multiples of the identity, while in u
collinear features would cancel.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from ml.bandits.blocks import padded, product
from ml.bandits.pairs import pairs, products


class Quadratic:
    """The forms of k arms, ready for blocks of contexts.

    Parameters
    ----------
    covariance
        (k, d, d) float64, positive definite.
    shared
        c, how many of the d features are shared by all arms; they come first.

    """

    def __init__(self, covariance: NDArray[np.float64], shared: int) -> None:
        arms, width, _ = covariance.shape
        own = width - shared
        of_shared, across = covariance[:, :shared, :shared], covariance[:, shared:, :shared]
        of_own = covariance[:, shared:, shared:]
        ahead = np.linalg.solve(of_own, across) if own else np.zeros((arms, 0, shared))
        schur = of_shared - np.swapaxes(across, 1, 2) @ ahead
        schur = (schur + np.swapaxes(schur, 1, 2)) / 2
        self.turn, turned = _turned(schur)
        rows, columns = pairs(shared)
        doubled = np.where(rows == columns, 1.0, 2.0)
        self.forms = np.ascontiguousarray((turned[:, rows, columns] * doubled).T.astype(np.float32))
        self.ahead = np.ascontiguousarray(ahead.reshape(arms * own, shared).T.astype(np.float32))
        self.roots = np.ascontiguousarray(np.linalg.cholesky(of_own).astype(np.float32))

    def squares(self, contexts: NDArray[np.float32], own: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return xᵀCx of a block: contexts (b, c) padded to a whole block, own (b, k, d - c); (b, k)."""
        turned = product(contexts, self.turn)
        paired = np.empty((len(contexts), len(self.forms)), dtype=np.float32)
        products(turned, paired)
        squares = product(paired, self.forms)
        if self.roots.shape[1]:
            _add_own(squares, product(contexts, self.ahead), padded(own), self.roots)
        return squares


def _turned(schur: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return R (c, c) and the forms R⁻¹ S R⁻ᵀ (k, c, c)."""
    width = schur.shape[1]
    if not len(schur) or not width:
        return np.eye(width, dtype=np.float32), schur
    precision = np.linalg.inv(schur).mean(axis=0)
    root = np.linalg.cholesky((precision + precision.T) / 2)
    # precision = L Lᵀ, so R = L⁻ᵀ and R⁻¹ S R⁻ᵀ = Lᵀ S L.
    turn = np.linalg.inv(root).T
    return np.ascontiguousarray(turn.astype(np.float32)), root.T @ schur @ root


@numba.njit(cache=True, nogil=True)
def _add_own(squares, ahead, own, roots):  # type: ignore[no-untyped-def]
    width = roots.shape[1]
    moved = np.empty(width, dtype=np.float32)
    for row in range(squares.shape[0]):
        for arm in range(squares.shape[1]):
            for i in range(width):
                moved[i] = own[row, arm, i] + ahead[row, arm * width + i]
            total = np.float32(0.0)
            for j in range(width):
                part = np.float32(0.0)
                for i in range(j, width):
                    part += roots[arm, i, j] * moved[i]
                total += part * part
            squares[row, arm] += total
