"""LinTS: Thompson sampling; every subject is scored with coefficients drawn from what is believed of them.

    θ̃_a ~ N(θ_a, α² C_a)        score + bonus = xᵀθ̃_a

Agrawal, Goyal 2013: Thompson sampling for contextual bandits with linear payoffs (algorithm 1, α there v).
An arm is looked at with one x a subject, so that its sample is one normal number and not d: xᵀθ̃_a is normal,
with mean xᵀθ_a and variance α² xᵀC_a x. Where arms share (`ml.bandits.sharing`), C_a = O_a + L_a L_aᵀ, and

    xᵀθ̃_a = xᵀθ_a + α (√(xᵀO_a x) z_a + xᵀL_a ε)        z_a for each arm, ε (q,) for all arms at once

has the covariance between arms that the posterior has. The numbers are looked up by subject, arm and epoch
(`ml.normals`): given them, the propensities of the final draw are exact.
"""

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from ml.bandits.blocks import padded, product
from ml.bandits.linear import Block
from ml.bandits.ridge import Ridge
from ml.normals import Normals


class LinTS(Ridge):
    """LinTS over k arms of d features; parameters and attributes as for `Ridge`."""

    keeps_common = True

    def normals(
        self,
        seed: int,
        keys: NDArray[np.uint64],
        *,
        page: str,
        epoch: int | NDArray[np.integer],
        arms: Sequence[str],
    ) -> Normals:
        """Return a number for each subject and arm, and the shared ones, whatever other arms there are."""
        purposes = [f"LinTS arm {arm}" for arm in arms]
        purposes += [f"LinTS shared {number}" for number in range(self._shared)]
        return Normals.of(seed, keys, page=page, purposes=purposes, epoch=epoch)

    @property
    def _shared(self) -> int:
        return 0 if self.common_ is None else self.common_.shape[2]

    def _check_normals(self, normals: Normals | None, rows: int) -> None:
        expected = (rows, len(self.theta_) + self._shared)
        if normals is None:
            raise ValueError("Thompson sampling needs numbers to sample with: give it those of `normals`")
        if normals.shape != expected:
            raise ValueError(f"normals must have shape {expected}, not {normals.shape}")

    def _bonuses(self, contexts: Block, actions: Block, rows: slice, normals: Normals | None) -> Block:
        assert normals is not None
        arms, count = len(self.theta_), len(contexts)
        numbers = normals.rows(rows)
        squares = self._quadratic(contexts.shape[1]).squares(padded(contexts), actions)[:count]
        sampled = np.sqrt(np.maximum(squares, np.float32(0))) * numbers[:, :arms]
        if self._shared:
            moved = product(padded(numbers[:, arms:]), self._loadings())
            _add_dots(moved.reshape(len(moved), arms, -1), contexts, actions, sampled)
        return np.float32(self.alpha) * sampled

    def _loadings(self) -> Block:
        """Return (q, k·d): how the arms' coefficients move with the shared numbers."""
        if not hasattr(self, "_moves"):
            assert self.common_ is not None
            flat = self.common_.transpose(2, 0, 1).reshape(self._shared, -1)
            self._moves: Block = np.ascontiguousarray(flat.astype(np.float32))
        return self._moves


@numba.njit(cache=True, nogil=True)
def _add_dots(moved, contexts, actions, sampled):  # type: ignore[no-untyped-def]
    shared = contexts.shape[1]
    for row in range(sampled.shape[0]):
        for arm in range(sampled.shape[1]):
            total = np.float32(0.0)
            for j in range(shared):
                total += moved[row, arm, j] * contexts[row, j]
            for j in range(actions.shape[2]):
                total += moved[row, arm, shared + j] * actions[row, arm, j]
            sampled[row, arm] += total
