"""What estimators need of a target policy at the rows of a log: a few numbers a row, not k probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ml.ope.log import Floats, Log, refuse, same_length
from ml.threads import block_count, in_blocks

TOLERANCE = 1e-5
"""How far a row of probabilities may sum from 1: what float32 leaves of a hundred of them."""


NEGLIGIBLE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A target policy π at the n rows of a log, with predictions q̂ of the rewards of g goals.

    Attributes
    ----------
    probabilities
        (n,) π(aᵢ | xᵢ) of the logged action.
    predicted
        (n, g) q̂(xᵢ, aᵢ), the predicted reward of the logged action; None without a model.
    expected
        (n, g) Σₐ π(a | xᵢ) q̂(xᵢ, a); None without a model.
    shares
        (k,) mean of π(a | xᵢ) over rows; None when only the logged actions' probabilities are known.

    """

    probabilities: Floats
    predicted: Floats | None = None
    expected: Floats | None = None
    shares: Floats | None = None

    def __post_init__(self) -> None:
        """Check that probabilities are some, and that what is predicted is finite."""
        if (self.predicted is None) != (self.expected is None):
            raise ValueError("predicted and expected rewards come together: give both or none")
        refuse(
            ~((self.probabilities >= 0) & (self.probabilities <= 1 + TOLERANCE)),
            "target probabilities",
            self.probabilities,
            "a probability is 0 to 1",
        )
        for name in ("predicted", "expected"):
            values = getattr(self, name)
            if values is not None:
                _refuse_infinite(name, values)

    def rows(self, wanted: NDArray[Any] | slice) -> "Target":
        """Return the target at some of the rows; its shares stay those of all."""
        predicted = None if self.predicted is None else self.predicted[wanted]
        expected = None if self.expected is None else self.expected[wanted]
        return Target(self.probabilities[wanted], predicted, expected, self.shares)


def join_targets(targets: Sequence[Target]) -> Target:
    """Put one policy's targets, such as of days, one after the other."""
    counts = [len(each.probabilities) for each in targets]
    models = [each for each in targets if each.predicted is not None and each.expected is not None]
    if models and len(models) != len(targets):
        raise ValueError("some of the targets have predictions and some have none")
    shares = [each.shares for each in targets if each.shares is not None]
    return Target(
        np.concatenate([each.probabilities for each in targets]),
        np.concatenate([each.predicted for each in models if each.predicted is not None]) if models else None,
        np.concatenate([each.expected for each in models if each.expected is not None]) if models else None,
        np.average(shares, axis=0, weights=counts) if len(shares) == len(targets) else None,
    )


def target_of(
    log: Log,
    probabilities: NDArray[np.floating],
    predictions: NDArray[np.floating] | Sequence[NDArray[np.floating]] | None = None,
) -> Target:
    """Look once through a policy's probabilities and a model's predictions.

    Parameters
    ----------
    log
        the log of n rows and k actions.
    probabilities
        (n, k) π(a | xᵢ), float32 or float64; every row sums to 1.
    predictions
        (n, k) q̂(xᵢ, a), made without the rewards of row i's cluster (`ml.ope.crossfit`); for several goals a
        sequence of them, one a goal. None for estimators that need no model.

    Raises
    ------
    ValueError
        When a row does not sum to 1 or holds a negative or missing probability, or a prediction is not
        finite; it names row and action.

    """
    same_length(log, {"target probabilities": probabilities}, (len(log.action_set),))
    models = [predictions] if isinstance(predictions, np.ndarray) else list(predictions or [])
    if models and len(models) != len(log.goals):
        raise ValueError(f"{len(log.goals)} goals need as many arrays of predictions, not {len(models)}")
    for name, model in zip(log.goals, models, strict=False):
        same_length(log, {f"predictions of {name!r}": model}, (len(log.action_set),))
    if len({model.dtype for model in models}) > 1:
        models = [model.astype(np.float64, copy=False) for model in models]
    rows, width = probabilities.shape
    chosen = np.empty(rows)
    shares = np.zeros((block_count(rows), width))
    # A compiled function has no empty tuple: without a model the probabilities stand in for one.
    read = models or [probabilities]
    predicted, expected = np.empty((rows, len(read))), np.empty((rows, len(read)))

    def look(number: int, start: int, stop: int) -> None:
        part = slice(start, stop)
        of_block = (probabilities[part], log.actions[part], tuple(model[part] for model in read))
        # Sums are looked at while they are in the cache, and cost no memory of the size of the log.
        sums = np.empty(stop - start)
        _look(*of_block, sums, chosen[part], shares[number], predicted[part], expected[part])
        _refuse_probabilities(log, probabilities, sums, start)
        for goal, model in enumerate(models):
            _refuse_predictions(log, goal, model, expected[part, goal], start)

    in_blocks(look, rows)
    mean = shares.sum(axis=0) / rows
    return Target(chosen, predicted, expected, mean) if models else Target(chosen, shares=mean)


def _refuse_infinite(name: str, values: Floats) -> None:
    wrong = ~np.isfinite(values)
    if wrong.any():
        goal = int(np.argmax(wrong.any(axis=0)))
        rule = f"a reward {name} by the model is a finite number"
        refuse(wrong[:, goal], name, values[:, goal], rule)


def _refuse_probabilities(log: Log, probabilities: NDArray[np.floating], sums: Floats, start: int) -> None:
    """Name the first of a block's rows, which begin at `start`, that does not sum to 1."""
    wrong = ~(np.abs(sums - 1) <= TOLERANCE)
    if not wrong.any():
        return
    row = start + int(np.argmax(wrong))
    values = probabilities[row]
    impossible = ~(values >= 0)
    if impossible.any():
        action = int(np.argmax(impossible))
        said = "missing" if np.isnan(values[action]) else f"{values[action]:.6g}"
        name = log.action_set[action]
        raise ValueError(
            f"target probabilities, row {row}, action {name!r}: {said}, but a probability is 0 to 1"
        )
    raise ValueError(
        f"target probabilities, row {row}: they sum to {values.sum():.6g}, but a row sums to 1 "
        f"(within {TOLERANCE:g})"
    )


def _refuse_predictions(
    log: Log, goal: int, model: NDArray[np.floating], expected: Floats, start: int
) -> None:
    wrong = ~np.isfinite(expected)
    if wrong.any():
        row = start + int(np.argmax(wrong))
        action = int(np.argmax(~np.isfinite(model[row])))
        raise ValueError(
            f"predictions of {log.goals[goal]!r}, row {row}, action {log.action_set[action]!r}: "
            f"{model[row, action]}, but a predicted reward is a finite number"
        )


@numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
def _look(probabilities, actions, models, sums, chosen, shares, predicted, expected):  # type: ignore[no-untyped-def]
    """Read a row's probabilities once: their sum (NaN where one is negative), and models' rewards by them."""
    width = probabilities.shape[1]
    for row in range(probabilities.shape[0]):
        total = 0.0
        size = 0.0
        for action in range(width):
            value = np.float64(probabilities[row, action])
            total += value
            size += abs(value)
        for action in range(width):
            shares[action] += probabilities[row, action]
        sums[row] = total if size - total <= NEGLIGIBLE else np.nan
        chosen[row] = probabilities[row, actions[row]]
        for goal in range(len(models)):
            model = models[goal]
            product = 0.0
            for action in range(width):
                product += np.float64(probabilities[row, action]) * np.float64(model[row, action])
            predicted[row, goal] = model[row, actions[row]]
            expected[row, goal] = product / total
