"""How far the contexts of the newest day are from those of the days before it, feature by feature.

A policy's value on the log is of the contexts that were there; where tonight's are others, it says less.
Rows of `contexts` in, plain values out. Of either side at most `SAMPLE` rows come to the driver, chosen by
hash, so that a rerun takes the same.
"""

from collections.abc import Mapping
from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import FeatureSet
from ml.ope.diagnostics import population_stability

SAMPLE = 20_000
DRIFTED = 0.25
"""Population stability index from which a feature has moved, by custom."""

Drift = list[tuple[str, float]]


def by_page(contexts: DataFrame, sets: Mapping[str, FeatureSet], day: date) -> dict[str, Drift]:
    """Return by page its features with their index, the largest first; no page without both sides."""
    found: dict[str, Drift] = {}
    for declared in sets.values():
        own = contexts.where(F.col("feature_set") == declared.name)
        log, newest = (
            own.where(side)
            .orderBy(F.xxhash64("draw_id", "decision_date"))
            .limit(SAMPLE)
            .select("candidates", "context", "action_context")
            .toArrow()
            for side in (F.col("decision_date") < day, F.col("decision_date") == day)
        )
        if len(log) and len(newest):
            found[declared.page] = found.get(declared.page, []) + stability(log, newest, declared)
    return {page: sorted(drift, key=lambda each: (-each[1], each[0])) for page, drift in found.items()}


def stability(log: pa.Table, newest: pa.Table, declared: FeatureSet) -> Drift:
    """Return the index of each feature of the context, and of each of the widgets' own, over all of them."""
    drift: Drift = []
    for column, features in (("context", declared.context), ("action_context", declared.action)):
        if features:
            both = (_matrix(side[column], len(features)) for side in (log, newest))
            values = population_stability(*both).tolist()
            suffix = "" if column == "context" else " (of a widget)"
            drift += [(f.name + suffix, value) for f, value in zip(features, values, strict=True)]
    return drift


def _matrix(column: pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    return np.asarray(column.combine_chunks().flatten(), dtype=np.float32).reshape(-1, width)
