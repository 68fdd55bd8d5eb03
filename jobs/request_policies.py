"""What ranks a page for who has no layout: the live policy's coefficients, and widgets as anybody sees them.

The export puts it beside the layouts (key `policy:PAGE`), and jobs/on_request.py ranks by it. The policy is
the one that drew the page's newest default variant. What a request cannot tell of a widget (`share/{widget}`,
`reward_mean/PAGE/{widget}`) is the mean over the seen positions of the last 28 days. A page with goals or
rules has none: its default variants are drawn for the goals, and keep rules that evaluation knows of them.

Reads   the night's default variants in layouts, policies, bandit_statistics
"""

import math
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs import algorithms
from jobs.config import Config, FeatureSet
from jobs.scenarios import LIVE
from ml.bandits.linear import COLD, Linear
from ml.features.sets import MISSING

Rows = Callable[[str, Sequence[str], ds.Expression], pa.RecordBatchReader]

FORMAT = 1
WINDOW_DAYS = 28
DIGITS = 9  # of float32, in which scores are computed
DEFAULTS = ("page", "drawn_date", "policy_version", "feature_set", "candidates", "rules")
FITTED = ("policy_version", "spec_digest", "widgets", *algorithms.PARAMETERS)
SUMS = ("widget", "n", "xx")
INVERSE: dict[str, Callable[[float], float]] = {
    "identity": lambda x: x, "log1p": math.expm1, "sqrt": lambda x: x * x
}  # fmt: skip


def of_night(config: Config, rows: Rows, day: date) -> dict[str, dict[str, Any]]:
    """Return by page what ranks it; `rows` opens columns of a table where a condition holds.

    A page is left out whose policy conf/ does not hold as it was fitted.
    """
    found = {}
    for page, drawn in sorted(_newest_defaults(rows, day).items()):
        about, features = config.pages.get(page), config.feature_sets.get(drawn["feature_set"])
        version = str(drawn["policy_version"])
        spec = config.policies.get(version.partition("@")[0])
        if about is None or features is None or spec is None:
            continue
        if about.goals or about.rules or about.variants or drawn["rules"] is not None:
            continue
        row = _fitted(rows, version)
        if row is not None and row["spec_digest"] != spec.digest:
            continue
        candidates = drawn["candidates"]
        if row is None:
            model = algorithms.before_anything_was_seen(spec, features, candidates, about)
        else:
            places = {widget: place for place, widget in enumerate(row["widgets"])}
            arms = np.array([places.get(widget, COLD) for widget in candidates])
            model = algorithms.restore(spec, features, row, about).select(arms)
        found[page] = {
            "format": FORMAT,
            "page": page,
            "policy_version": version,
            "positions": about.positions,
            "seed": config.seed,
            "rule": {name: getattr(model.rule, name) for name in ("temperature", "floor", "epsilon")},
            "candidates": candidates,
            "context": _features(features.context),
            "action": _features(features.action),
            "theta": _theta(model),
            "static": _static(rows, features, config.reward.version, day),
        }
    return found


def _newest_defaults(rows: Rows, day: date) -> dict[str, dict[str, Any]]:
    """Return a default variant of each page, of those that were drawn last."""
    # A range, not a pattern: files and row groups without defaults are not even opened.
    defaults = (ds.field("subject") >= "default:") & (ds.field("subject") < "default;")
    of_night = (ds.field("layout_date") == day) & (ds.field("scenario") == LIVE) & defaults
    found: dict[str, dict[str, Any]] = {}
    for row in rows("layouts", DEFAULTS, of_night).read_all().to_pylist():
        before = found.get(row["page"])
        if before is None or row["drawn_date"] > before["drawn_date"]:
            found[row["page"]] = row
    return found


def _fitted(rows: Rows, version: str) -> dict[str, Any] | None:
    for row in rows("policies", FITTED, ds.field("policy_version") == version).read_all().to_pylist():
        return row | {name: np.array(row[name] or (), dtype=np.float64) for name in algorithms.PARAMETERS}
    return None


def _features(features: list[Any]) -> list[dict[str, Any]]:
    return [
        feature.model_dump(include={"name", "transform", "center", "scale", "missing"})
        for feature in features
    ]


def _theta(model: Linear) -> list[list[float]]:
    return [[_short(value) for value in row] for row in model.theta_.tolist()]


def _static(rows: Rows, features: FeatureSet, reward_version: str, day: date) -> dict[str, float]:
    """Return the mean of each widget's own features over its seen positions, as a value of the feature."""
    if not features.action:
        return {}
    of_set = (ds.field("page") == features.page) & (ds.field("feature_set") == features.name)
    lately = (ds.field("decision_date") <= day) & (ds.field("decision_date") > day - timedelta(WINDOW_DAYS))
    where = of_set & lately & (ds.field("reward_version") == reward_version)
    seen: dict[str, int] = {}
    sums: dict[str, list[NDArray[np.float64]]] = {}
    for batch in rows("bandit_statistics", SUMS, where):
        for widget, n, first in zip(
            batch["widget"].to_pylist(), batch["n"].to_pylist(), _firsts(batch, features), strict=True
        ):
            seen[widget] = seen.get(widget, 0) + n
            sums.setdefault(widget, []).append(first)
    static = {}
    for widget in sorted(widget for widget, n in seen.items() if n):
        for column, feature in enumerate(features.action, start=len(features.context)):
            if feature.name.startswith(MISSING):
                continue
            # Exactly rounded, so that the order of rows does not show.
            mean = math.fsum(float(first[column]) for first in sums[widget]) / seen[widget]
            value = INVERSE[feature.transform](mean * feature.scale + feature.center)
            static[feature.name.replace("{widget}", widget)] = _short(value)
    return static


def _firsts(batch: pa.RecordBatch, features: FeatureSet) -> NDArray[np.float64]:
    """Return (rows, d) Σ x of each row: the first of Σ x xᵀ, since the first feature is always 1."""
    firsts = pc.list_flatten(pc.list_slice(batch["xx"], 0, features.width))
    return firsts.to_numpy(zero_copy_only=False).reshape(len(batch), features.width)


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
