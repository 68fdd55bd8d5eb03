"""The plain baseline: what happened last time to those whose last period was alike.

A table by one column: a feature cut at its deciles, or a category; each cell holds the mean outcome of its
rows, drawn towards the mean of all by `PRIOR` rows.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ml.classify.examples import Codes, Examples, Floats

PRIOR = 5.0
DECILES = np.arange(1, 10) / 10


class Table:
    """By class: where its column is, the cuts if it is a feature, and a mean by cell, missing last."""

    def __init__(self, columns: list[dict[str, Any]]) -> None:
        self.columns = columns

    @classmethod
    def fit(cls, train: Examples, *, columns: Sequence[str | None]) -> Self:
        """Learn from one column by class: a feature's name, a category's, or none for the mean alone."""
        shape, made = train.shape, []
        for number, name in enumerate(columns):
            y, w = train.targets[:, number], train.weights[:, number]
            known = ~np.isnan(y)
            column: dict[str, Any] = {"feature": None, "category": None, "cuts": [], "cells": 1}
            if name in shape.features:
                place = shape.features.index(str(name))
                values = train.features[known, place].astype(np.float64)
                values = values[~np.isnan(values)]
                cuts = np.unique(np.quantile(values, DECILES)).tolist() if len(values) else []
                column |= {"feature": place, "cuts": cuts, "cells": len(cuts) + 2}
            elif name in shape.categories:
                place = list(shape.categories).index(str(name))
                column |= {"category": place, "cells": len(shape.categories[str(name)]) + 1}
            cell = _cells(column, train.features, train.codes)[known]
            sums = np.bincount(cell, w[known] * y[known], column["cells"])
            count = np.bincount(cell, w[known], column["cells"])
            mean = float(sums.sum() / count.sum()) if count.sum() else 0.0
            weight = PRIOR * float(np.mean(w[known])) if known.any() else 1.0
            column["means"] = ((sums + weight * mean) / (count + weight)).tolist()
            made.append(column)
        return cls(made)

    def predict(self, features: NDArray[np.float32], codes: Codes) -> Floats:
        """Return (n, c)."""
        found = [np.array(column["means"])[_cells(column, features, codes)] for column in self.columns]
        return np.stack(found, axis=1)

    def dump(self) -> bytes:
        """Return the table as JSON."""
        return json.dumps(self.columns).encode()

    def digest(self) -> str:
        """Return the hash of the table."""
        return hashlib.blake2b(self.dump(), digest_size=16).hexdigest()

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Make one of `dump`'s bytes."""
        return cls(json.loads(data))


def _cells(column: dict[str, Any], features: NDArray[np.float32], codes: Codes) -> NDArray[np.intp]:
    """Return each row's cell; the last is for what is missing."""
    last = column["cells"] - 1
    if column["category"] is not None:
        code = codes[column["category"]].astype(np.intp)
        return np.where(code < 0, last, code)
    if column["feature"] is None:
        return np.zeros(len(features), dtype=np.intp)
    values = features[:, column["feature"]].astype(np.float64)
    return np.where(np.isnan(values), last, np.searchsorted(column["cuts"], values, side="right"))
