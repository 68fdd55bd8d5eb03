"""What ranks a page for who has no layout: the live policy's coefficients, and widgets as anybody sees them.

The export puts it beside the layouts (key `policy:PAGE`), and jobs/on_request.py ranks by it. The policy is
the one that drew the page's newest default variant. What a request cannot tell of a widget (`share/{widget}`,
`reward_mean/PAGE/{widget}`) is the mean over the seen positions of the last 28 days. With a page that has
goals, rules or variants goes what it is drawn for and under: the page itself, what its widgets are worth, and
their labels as of the night, where its rules are about them.

Reads   the night's default variants in layouts, policies, bandit_statistics; widgets, for pages with rules
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs import algorithms, page_goals, standing
from jobs.config import Config, FeatureSet, Page
from jobs.epochs import CHANGES, Epochs, widgets_as_of
from jobs.labels import LABELS
from jobs.page_specs import NOT_DRAWN
from ml.bandits.linear import COLD, Linear
from ml.features.sets import MISSING

Rows = Callable[[str, Sequence[str], ds.Expression], pa.RecordBatchReader]

FORMAT, STEERED_FORMAT = 1, 2
WINDOW_DAYS = 28
DIGITS = 9  # of float32, in which scores are computed
DEFAULTS = ("layout_date", "page", "drawn_date", "policy_version", "feature_set", "candidates")
FITTED = ("policy_version", "spec_digest", "widgets", "worths", *algorithms.PARAMETERS)
SUMS = ("widget", "n", "xx")
INVERSE: dict[str, Callable[[float], float]] = {
    "identity": lambda x: x, "log1p": math.expm1, "sqrt": lambda x: x * x
}  # fmt: skip


def of_night(config: Config, rows: Rows, day: date) -> dict[str, dict[str, Any]]:
    """Return by page what ranks it; `rows` opens columns of a table where a condition holds.

    A page is left out whose policy conf/ does not hold as it was fitted.
    """
    found = {}
    changes: list[dict[str, Any]] = []
    if any(page.steered is not None for page in config.pages.values()):
        changes = rows("widgets", CHANGES, ds.field("changed_date") <= day).read_all().to_pylist()
    for page, drawn in sorted(_newest_defaults(rows, day).items()):
        about, features = config.pages.get(page), config.feature_sets.get(drawn["feature_set"])
        version = str(drawn["policy_version"])
        spec = config.policies.get(version.partition("@")[0])
        if about is None or features is None or spec is None:
            continue
        row = _fitted(rows, version)
        if row is not None and row["spec_digest"] != spec.digest:
            continue
        candidates, widgets = drawn["candidates"], {}
        if about.steered is not None:  # what is kept are those that anybody may see
            widgets = widgets_as_of(changes, day)
            candidates = Epochs(about, (), (), changes, 1, kinds=config.kinds).candidates(day)
        if not candidates:
            continue
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
        } | _steered(config, about, row, candidates, widgets)
    return found


def _steered(
    config: Config,
    page: Page,
    row: Mapping[str, Any] | None,
    candidates: Sequence[str],
    widgets: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what a page is drawn for and under; nothing for a page without goals, rules and variants."""
    if page.goals is None and page.rules is None and not page.variants:
        return {}
    worths = page_goals.worths_of(row, candidates) if page.goals else None
    labels = {
        widget: {label: value for label in LABELS if (value := widgets.get(widget, {}).get(label))}
        for widget in candidates
    }
    return {
        "format": STEERED_FORMAT,
        "drawn": page.model_dump(mode="json", exclude_defaults=True, exclude=set(NOT_DRAWN)),
        "main": config.variants.of(page)[0],
        "worths": None if worths is None else [[_short(value) for value in of] for of in worths.tolist()],
        "labels": {widget: told for widget, told in labels.items() if told},
    }


def _newest_defaults(rows: Rows, day: date) -> dict[str, dict[str, Any]]:
    """Return a default variant of each page, of those that were drawn last; no draw outlives its nights."""
    nights = (ds.field("layout_date") <= day) & (ds.field("layout_date") > day - timedelta(standing.NIGHTS))
    newest = itemgetter("layout_date", "drawn_date")
    found: dict[str, dict[str, Any]] = {}
    for row in rows("layouts", DEFAULTS, nights & standing.DEFAULTS).read_all().to_pylist():
        before = found.get(row["page"])
        if before is None or newest(row) > newest(before):
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
