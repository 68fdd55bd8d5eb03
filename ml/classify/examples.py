"""What a model takes and gives, and examples to learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = list[NDArray[np.int32]]
Task = Literal["labels", "classes", "rewards"]
MISSING = -1
"""Code of a category that is missing, or was not there when the model was trained."""
THREADS = 2
"""Of the learners that take some: a fixed number, whatever the machine has, as sums depend on it."""


@dataclass(frozen=True)
class Shape:
    """Names of a model's features, categories with their frozen values, and its c outputs, in order."""

    task: Task
    features: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...]

    def codes(self, categories: Sequence[NDArray[Any]]) -> Codes:
        """Return each category as (n,) int32 codes; None, NaN and values that are not frozen are `MISSING`.

        Integer arrays are codes already.

        Raises
        ------
        ValueError
            When there are not as many arrays as categories, or a code is none.

        """
        if len(categories) != len(self.categories):
            names = ", ".join(self.categories) or "none"
            raise ValueError(f"the model needs the categories {names}, and {len(categories)} were given")
        found = []
        for (name, frozen), values in zip(self.categories.items(), categories, strict=True):
            given = np.asarray(values)
            if np.issubdtype(given.dtype, np.integer):
                if len(given) and not (given.min() >= MISSING and given.max() < len(frozen)):
                    raise ValueError(f"a code of {name} is none of its {len(frozen)} values")
                found.append(given.astype(np.int32, copy=False))
                continue
            code = {value: number for number, value in enumerate(frozen)}
            found.append(np.array([code.get(value, MISSING) for value in given.tolist()], dtype=np.int32))
        return found

    def check(self, features: NDArray[Any]) -> None:
        """Refuse features that are not (n, f)."""
        if features.ndim != 2 or features.shape[1] != len(self.features):
            raise ValueError(f"features must have shape (n, {len(self.features)}), not {features.shape}")


@dataclass(frozen=True)
class Examples:
    """Rows to learn from.

    features : (n, f) float32, column-major, NaN for missing.
    codes : by category (n,) int32.
    targets : (n, c) float64: 0 or 1 (of `classes` one 1 in a row), or rewards; NaN where unknown.
    weights : (n, c) float64; what is unknown weighs nothing.
    """

    shape: Shape
    features: NDArray[np.float32]
    codes: Codes
    targets: Floats
    weights: Floats

    def __len__(self) -> int:
        return len(self.features)

    def of(self, rows: NDArray[Any]) -> Self:
        """Return some of the rows."""
        return replace(
            self,
            features=np.asfortranarray(self.features[rows]),
            codes=[code[rows] for code in self.codes],
            targets=self.targets[rows],
            weights=self.weights[rows],
        )

    @property
    def loss_weights(self) -> Floats:
        """Weights of the cells of `cell_losses`: (n, 1) of one among classes, else (n, c)."""
        return self.weights.max(axis=1, keepdims=True) if self.shape.task == "classes" else self.weights

    def known(self) -> NDArray[np.bool_]:
        """Tell which rows have any target."""
        return np.asarray(~np.isnan(self.targets).all(axis=1))


def frozen_values(values: Sequence[Any]) -> tuple[str, ...]:
    """Return the values of a category that a model knows: those it was trained with, sorted."""
    return tuple(sorted({value for value in values if isinstance(value, str)}))
