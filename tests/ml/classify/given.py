"""Planted examples: what decides is known."""

import numpy as np

from ml.classify import Examples, Shape
from ml.classify.examples import Task

CLASSES = {"labels": ("churn",), "classes": ("a", "b", "c"), "rewards": ("start/x", "start/y")}


def planted(n: int = 1200, task: Task = "labels", seed: int = 3, **more: object) -> Examples:
    """Return n examples: the first feature and the category's value `hot` decide, the others are noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    x[rng.random((n, 4)) < 0.1] = np.nan
    kind = rng.integers(-1, 3, n).astype(np.int32)
    z = np.nan_to_num(x[:, 0]) * 1.5 + (kind == 1) * 2.0 - 1.0
    classes = CLASSES[task]
    shape = Shape(task, ("first", "second", "third", "fourth"), {"kind": ("cold", "hot", "mild")}, classes)
    if task == "labels":
        targets = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.float64)[:, None]
    elif task == "classes":
        targets = np.eye(3)[np.clip(np.round(z + rng.normal(0, 0.5, n)) + 1, 0, 2).astype(int)]
    else:
        targets = np.stack([z + rng.normal(0, 0.3, n), 0.5 - z], axis=1)
        targets[rng.random((n, 2)) < 0.4] = np.nan
    weights = np.where(np.isnan(targets), 0.0, 1.0)
    return Examples(shape, np.asfortranarray(x), [kind], targets, weights)
