"""Policies whose scores are linear: score_a(x) = xᵀθ_a, in float32, in blocks of a fixed size."""

from typing import Self

import numba
import numpy as np
from numpy.typing import NDArray

from ml.bandits.blocks import each_block, padded, product
from ml.bandits.policy import Flags, Floats, Policy
from ml.normals import Normals

COLD = -1
NOBODY = -1
FEW_ARMS = 256
TOGETHER = 8
LEAST = np.int64(-(1 << 63))

Block = NDArray[np.float32]


class Linear(Policy):
    """k arms with d coefficients each; see `Policy` for the shapes of arguments.

    Attributes
    ----------
    theta_
        (k, d) float64, coefficients: reward per unit of a feature.

    """

    theta_: NDArray[np.float64]

    def select(self, arms: NDArray[np.integer]) -> Self:
        """Return the policy over these arms, in this order; -1 is an arm never seen (θ = 0)."""
        raise NotImplementedError

    def scores(
        self, contexts: Floats, action_contexts: Floats | None = None, *, columns: Flags | None = None
    ) -> Block:
        """Return (n, k) expected rewards.

        `columns` (k, d) are the features that count, None for all: scores by parts sum to the score.
        """
        contexts, actions = self._checked(contexts, action_contexts)
        shared, own = self._coefficients(contexts.shape[1], columns)
        scores = np.empty((len(contexts), len(self.theta_)), dtype=np.float32)

        def work(rows: slice) -> None:
            _add_own(product(padded(contexts[rows]), shared), actions[rows], own, scores[rows])

        each_block(len(contexts), work)
        return scores

    def bonuses(
        self, contexts: Floats, action_contexts: Floats | None = None, normals: Normals | None = None
    ) -> Block:
        """Return (n, k) exploration bonuses, in units of reward."""
        contexts, actions = self._checked(contexts, action_contexts)
        self._check_normals(normals, len(contexts))
        bonuses = np.empty((len(contexts), len(self.theta_)), dtype=np.float32)

        def work(rows: slice) -> None:
            bonuses[rows] = self._bonuses(contexts[rows], actions[rows], rows, normals)

        each_block(len(contexts), work)
        return bonuses

    def top(
        self,
        contexts: Floats,
        action_contexts: Floats | None = None,
        *,
        length: int,
        eligible: Flags | None = None,
        normals: Normals | None = None,
    ) -> NDArray[np.int32]:
        """Return (n, length) columns of the best arms by score and bonus, best first, the lower among equals.

        -1 stands where no eligible arm is left. Nothing of size n × k is held, however many arms there are.
        """
        contexts, actions = self._checked(contexts, action_contexts)
        self._check_normals(normals, len(contexts))
        arms = len(self.theta_)
        if eligible is not None and eligible.shape != (len(contexts), arms):
            raise ValueError(f"eligible must have shape {(len(contexts), arms)}, not {eligible.shape}")
        shared, own = self._coefficients(contexts.shape[1])
        everyone = np.ones((1, arms), dtype=np.bool_)
        best = np.empty((len(contexts), length), dtype=np.int32)

        def work(rows: slice) -> None:
            values = np.empty((len(contexts[rows]), arms), dtype=np.float32)
            _add_own(product(padded(contexts[rows]), shared), actions[rows], own, values)
            values += self._bonuses(contexts[rows], actions[rows], rows, normals)
            _best(values, everyone if eligible is None else eligible[rows], best[rows])

        each_block(len(contexts), work)
        return best

    def _bonuses(self, contexts: Block, actions: Block, rows: slice, normals: Normals | None) -> Block:  # noqa: ARG002
        """Return the bonuses of one block, (b, k)."""
        return np.zeros((len(contexts), len(self.theta_)), dtype=np.float32)

    def _check_normals(self, normals: Normals | None, rows: int) -> None:
        """Say what is wrong with the numbers to sample with."""

    def _coefficients(self, shared: int, columns: Flags | None = None) -> tuple[Block, Block]:
        theta = (self.theta_ if columns is None else self.theta_ * columns).astype(np.float32)
        return np.ascontiguousarray(theta[:, :shared].T), np.ascontiguousarray(theta[:, shared:])

    def _checked(self, contexts: Floats, action_contexts: Floats | None) -> tuple[Block, Block]:
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
            if _are_finite(values):
                continue
            wrong = ~np.isfinite(values).reshape(rows, -1).all(axis=1)
            if wrong.any():
                raise ValueError(f"the {name} of row {int(np.argmax(wrong))} holds NaN or infinity")
        return (
            np.ascontiguousarray(contexts, dtype=np.float32),
            np.ascontiguousarray(action_contexts, dtype=np.float32),
        )


def _are_finite(values: NDArray[np.floating]) -> bool:
    """Tell at a look that no number is NaN or infinite; False may also be a sum that overflows."""
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isfinite(np.add.reduce(values, axis=None)))


@numba.njit(cache=True, nogil=True)
def _add_own(shared, actions, own, scores):  # type: ignore[no-untyped-def]
    for row in range(scores.shape[0]):
        for arm in range(scores.shape[1]):
            total = shared[row, arm]
            for j in range(own.shape[1]):
                total += actions[row, arm, j] * own[arm, j]
            scores[row, arm] = total


@numba.njit(cache=True, nogil=True)
def _best(values, eligible, best):  # type: ignore[no-untyped-def]
    rows, arms = values.shape
    if arms > FEW_ARMS:
        for row in range(rows):
            _insert(values[row], eligible[row % len(eligible)], best[row])
        return
    keys = np.empty((TOGETHER, arms), dtype=np.int64)
    for first in range(0, rows, TOGETHER):
        some = slice(first, min(first + TOGETHER, rows))
        _pick(values[some], eligible if len(eligible) == 1 else eligible[some], keys, best[some])


@numba.njit(cache=True, nogil=True)
def _pick(values, allowed, keys, best):  # type: ignore[no-untyped-def]
    """Take the largest, time after time: without a branch that depends on the values.

    A row's next largest waits for the one before it: other rows are looked at meanwhile.
    """
    bits = values.view(np.int32)
    for row in range(len(values)):
        eligible = allowed[row % len(allowed)]
        for column in range(values.shape[1]):
            # Floats in the order of integers, -0 as 0; the lower column is the larger key among equals.
            wide = np.int64(bits[row, column])
            sign = wide >> 63
            keys[row, column] = (((wide ^ (sign & 0x7FFFFFFF)) - sign) << 32) - column
        for column in range(values.shape[1]):
            if not eligible[column]:
                keys[row, column] = LEAST
    for place in range(best.shape[1]):
        for row in range(len(values)):
            of_row = keys[row]
            largest = np.int64(LEAST)
            for column in range(len(of_row)):
                largest = max(largest, of_row[column])
            chosen = -largest & 0xFFFFFFFF
            if largest == LEAST:
                best[row, place] = NOBODY
            else:
                best[row, place] = chosen
                of_row[chosen] = LEAST


@numba.njit(cache=True, nogil=True)
def _insert(values, allowed, best):  # type: ignore[no-untyped-def]
    """Go through them once, keeping the best so far in order: most of many arms fail the first look."""
    length = len(best)
    kept = np.empty(length, dtype=np.float32)
    best[:] = NOBODY
    count = 0
    for column in range(len(values)):
        value = values[column]
        if not allowed[column] or (count == length and value <= kept[length - 1]):
            continue
        place = count if count < length else length - 1
        while place > 0 and kept[place - 1] < value:
            kept[place] = kept[place - 1]
            best[place] = best[place - 1]
            place -= 1
        kept[place] = value
        best[place] = column
        count = min(count + 1, length)
