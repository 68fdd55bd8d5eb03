"""Feature sets: from named columns to the contexts that policies learn from.

A set is declared in conf/features.yaml and frozen: feature by feature
    x = (transform(value) - center) / scale,   x = missing where the value is missing (NaN).
So a context means the same on every day, and statistics over contexts add.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

INTERCEPT = "intercept"
MISSING = "missing/"
"""`missing/NAME` is 1 where NAME has no value, else 0: so that a model tells it from the number put there."""


class Feature(Protocol):
    """One feature: column, frozen transform and scaling, and the number that stands for a missing value."""

    @property
    def name(self) -> str: ...
    @property
    def transform(self) -> str: ...
    @property
    def center(self) -> float: ...
    @property
    def scale(self) -> float: ...
    @property
    def missing(self) -> float: ...


class FeatureSet(Protocol):
    """Features of the subject, and features of each candidate whose names hold `{widget}`."""

    @property
    def context(self) -> Sequence[Feature]: ...
    @property
    def action(self) -> Sequence[Feature]: ...


TRANSFORMS: dict[str, Callable[[Floats], Floats]] = {
    "identity": lambda value: value,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
}


def column_names(feature_set: FeatureSet, candidates: Sequence[str]) -> list[str]:
    """Return the columns that `assemble` needs for these candidates, each once, in order."""
    names = [feature.name for feature in feature_set.context if feature.name != INTERCEPT]
    names += [_of_widget(feature, widget) for widget in candidates for feature in feature_set.action]
    return list(dict.fromkeys(name.removeprefix(MISSING) for name in names))


def assemble(
    columns: Mapping[str, Floats],
    feature_set: FeatureSet,
    candidates: Sequence[str],
    *,
    rows: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return contexts and action contexts of n subjects for the same k candidates.

    Args:
        columns: for each of `column_names(feature_set, candidates)` its values, (n,), NaN where missing.
        feature_set: what to make of them; the first feature is `intercept`, always 1.
        candidates: widgets, in the order of the rows of the action context.
        rows: n, where the set is the intercept alone and has no columns to tell it.

    Returns:
        context (n, d_c) float32 and action_context (n, k, d_a) float32. The x of candidate a for subject i is
        concatenate(context[i], action_context[i, a]).

    Raises:
        ValueError: the set does not begin with the intercept, or a column is not there.

    """
    if not feature_set.context or feature_set.context[0].name != INTERCEPT:
        raise ValueError(f"A feature set begins with {INTERCEPT!r}: context[0] is 1 in every row.")
    missing = [name for name in column_names(feature_set, candidates) if name not in columns]
    if missing:
        raise ValueError(f"Features without a column: {', '.join(missing)}.")
    n = rows if rows is not None else len(next(iter(columns.values())))
    context = np.ones((n, len(feature_set.context)), dtype=np.float32)
    for j, feature in enumerate(feature_set.context[1:], start=1):
        context[:, j] = scaled(_column(columns, feature.name), feature)
    action_context = np.empty((n, len(candidates), len(feature_set.action)), dtype=np.float32)
    for a, widget in enumerate(candidates):
        for j, feature in enumerate(feature_set.action):
            action_context[:, a, j] = scaled(_column(columns, _of_widget(feature, widget)), feature)
    return context, action_context


def _of_widget(feature: Feature, widget: str) -> str:
    return feature.name.replace("{widget}", widget)


def _column(columns: Mapping[str, Floats], name: str) -> Floats:
    if name.startswith(MISSING):
        return np.isnan(columns[name.removeprefix(MISSING)]).astype(np.float64)
    return columns[name]


def scaled(values: Floats, feature: Feature) -> Floats:
    """Return a feature's x of its values: (transform(value) - center) / scale, `missing` where NaN."""
    x = (TRANSFORMS[feature.transform](values) - feature.center) / feature.scale
    return np.where(np.isnan(x), feature.missing, x)
