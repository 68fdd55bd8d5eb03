"""Leak check: a feature that alone tells the answer nearly surely has most likely seen it."""

import numpy as np

from ml.classify.examples import MISSING, Examples, Floats
from ml.classify.metrics import auc

PRIOR = 5.0


def single_feature_power(examples: Examples) -> dict[str, float]:
    """Return by feature and category the largest AUC, over the classes, that it has all by itself.

    Either direction counts, and missing values at whichever end they tell more; a category is ranked by its
    mean outcome, drawn towards that of all by five rows.
    """
    found: dict[str, float] = {}
    for number in range(examples.targets.shape[1]):
        known = ~np.isnan(examples.targets[:, number])
        y = examples.targets[known, number]
        if not len(y) or not 0 < y.mean() < 1:
            continue
        for j, name in enumerate(examples.shape.features):
            values = examples.features[known, j].astype(np.float64)
            found[name] = max(found.get(name, 0.5), *(_either(filled, y) for filled in _filled(values)))
        for code, name in zip(examples.codes, examples.shape.categories, strict=True):
            cell = code[known] - MISSING
            sums, count = np.bincount(cell, y), np.bincount(cell)
            means = (sums + PRIOR * y.mean()) / (count + PRIOR)
            found[name] = max(found.get(name, 0.5), _either(means[cell], y))
    return found


def _filled(values: Floats) -> list[Floats]:
    missing = np.isnan(values)
    if missing.all() or not missing.any():
        return [np.nan_to_num(values)]
    low, high = np.nanmin(values) - 1, np.nanmax(values) + 1
    return [np.where(missing, end, values) for end in (low, high)]


def _either(values: Floats, y: Floats) -> float:
    found = float(auc(values, y, np.ones((1, len(y))))[0])
    return max(found, 1 - found)
