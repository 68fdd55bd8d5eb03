"""Figures of a candidate and what stands beside it, on closings that it has not seen: plain rows out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.champions import model_of
from jobs.example_arrays import SLICES, Rows, arrays
from jobs.model_specs import ModelSpec
from ml.classify import Examples, Model, Shape
from ml.classify.catboosted import CatBoosted
from ml.classify.drift import drift
from ml.classify.examples import Floats
from ml.classify.metrics import METRICS, cell_losses, gains, mean_loss, reliability
from ml.classify.resampling import interval, subject_weights

CHAMPION = "champion"
ALL = "all"
CHANGES = {
    "champion": "change_from_champion",
    "logistic": "change_from_small",
    "last_period": "change_from_last_period",
}
SHAP_ROWS = 2_000
MOST_CLASSES = 60
"""Classes whose own figures are kept; of more, only their mean."""


@dataclass(frozen=True)
class Figure:
    """A row of model_values, but for what all rows of a model share."""

    learner: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    slice: str = ALL
    class_: str = ALL
    rows: int = 0
    against: str | None = None


@dataclass(frozen=True)
class Judged:
    """One model's predictions (n, c), and its losses, on the same rows and classes as the others'."""

    version: str
    p: Floats
    losses: Floats


@dataclass(frozen=True)
class Table:
    """The rows that all are judged on: answers, weights of the bootstrap, slices."""

    spec: ModelSpec
    test: Examples
    resamples: Floats
    slices: Mapping[str, NDArray[np.bool_]]

    def loss(self, judged: Judged, rows: NDArray[np.bool_] | slice = slice(None)) -> Floats:
        """Return (1 + resamples,) mean losses over some rows."""
        return mean_loss(judged.losses[rows], self.test.loss_weights[rows], self.resamples[:, rows])


def figures(
    rows: Rows,
    spec: ModelSpec,
    learners: Mapping[str, Mapping[str, Any]],
    champion: Mapping[str, Any] | None,
    *,
    resamples: int,
    seed: int,
) -> Iterator[Figure]:
    """Measure the learners of a spec, and the champion, on the candidate's test closings.

    learners : rows of models by algorithm; champion : its row, None when there is none.
    """
    candidate = learners[spec.algorithm]
    known = rows.known(spec)
    part = known.of(candidate["test"])
    models = {name: model_of(row) for name, row in learners.items()}
    shape = models[spec.algorithm].shape
    test = arrays(part, shape, spec)
    answered = np.flatnonzero(test.known())
    table = Table(
        spec,
        test.of(answered),
        subject_weights(part.values("subject")[answered], resamples, seed),
        _slices(part, answered),
    )
    judged = {name: _judge(table, model, learners[name]["model_version"]) for name, model in models.items()}
    if champion is not None:
        there = set(rows.names("features"))
        lacks = [name for name in champion["features"] if name not in there]
        yield from (Figure(CHAMPION, "lacks", 1.0, slice=f"feature/{name}", rows=len(part)) for name in lacks)
        if not lacks:
            other = _as_shape(part, model_of(champion), spec, answered, shape)
            judged[CHAMPION] = Judged(
                champion["model_version"], other, cell_losses(other, table.test.targets, spec.task)
            )
    for name, one in judged.items():
        yield from _quality(table, name, one)
    yield from _changes(table, judged, spec)
    yield from _shown(table, judged[spec.algorithm], spec)
    core = models[spec.algorithm].core
    if isinstance(core, CatBoosted):
        yield from _shap(core, table.test)
    yield from _drift(known, spec, shape, champion or candidate, table.test)


def _judge(table: Table, model: Model, version: str) -> Judged:
    p = model.predict(table.test.features, table.test.codes)
    return Judged(version, p, cell_losses(p, table.test.targets, table.spec.task))


def _as_shape(part: Rows, model: Model, spec: ModelSpec, rows: NDArray[Any], shape: Shape) -> Floats:
    """Return another model's predictions for our classes; one it does not know has the mean."""
    examples = arrays(part, model.shape, spec).of(rows)
    p = model.predict(examples.features, examples.codes)
    place = {name: number for number, name in enumerate(model.shape.classes)}
    absent = float(p.mean()) if spec.task == "rewards" else 1e-6
    columns = [p[:, place[name]] if name in place else np.full(len(p), absent) for name in shape.classes]
    return np.stack(columns, axis=1)


def _slices(part: Rows, rows: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
    found = {}
    for column in SLICES:
        values = part.values(column)[rows]
        for value in sorted({value for value in values if value is not None}):
            found[f"{column}/{value}"] = values == value
    return found


def _quality(table: Table, name: str, judged: Judged) -> Iterator[Figure]:
    """Every metric, with its interval: of all, by class, and the primary one by slice."""
    spec, test, n = table.spec, table.test, len(table.test)
    yield Figure(name, spec.metric, *interval(table.loss(judged)), rows=n)
    for label, rows in table.slices.items():
        if rows.sum() >= spec.bounds.slice_rows:
            value = interval(table.loss(judged, rows))
            yield Figure(name, spec.metric, *value, slice=label, rows=int(rows.sum()))
            yield from _slice_auc(table, name, judged, label, rows)
    if spec.task == "rewards":
        yield Figure(name, "reward", *interval(_greedy(table, judged)), rows=n)
        return
    for metric, measure in METRICS.items():
        if metric == spec.metric and spec.task == "classes":
            continue
        by_class = []
        for number, label in enumerate(test.shape.classes):
            known = ~np.isnan(test.targets[:, number])
            y, p = test.targets[known, number], judged.p[known, number]
            if not 0 < y.mean() < 1:
                continue
            values = measure(p, y, table.resamples[:, known])
            by_class.append(values)
            if 1 < len(test.shape.classes) <= MOST_CLASSES:
                yield Figure(name, metric, *interval(values), class_=label, rows=int(known.sum()))
        if by_class and metric != spec.metric:
            yield Figure(name, metric, *interval(np.mean(by_class, axis=0)), rows=n)


def _greedy(table: Table, judged: Judged) -> Floats:
    """Return (1 + resamples,) mean rewards where the best predicted action was shown, weighted."""
    best = judged.p.argmax(axis=1)
    rows = np.arange(len(best))
    shown = np.nan_to_num(table.test.targets[rows, best])[:, None]
    return mean_loss(shown, table.test.weights[rows, best][:, None], table.resamples)


def _slice_auc(
    table: Table, name: str, judged: Judged, label: str, rows: NDArray[np.bool_]
) -> Iterator[Figure]:
    y = table.test.targets[rows]
    if table.spec.task == "labels" and y.shape[1] == 1 and 0 < y.mean() < 1:
        values = METRICS["auc"](judged.p[rows, 0], y[:, 0], table.resamples[:, rows])
        yield Figure(name, "auc", *interval(values), slice=label, rows=int(rows.sum()))


def _changes(table: Table, judged: Mapping[str, Judged], spec: ModelSpec) -> Iterator[Figure]:
    """The candidate's loss against the others', paired by subject: of all and by slice."""
    mine = judged[spec.algorithm]
    for name, metric in CHANGES.items():
        if name not in judged or name == spec.algorithm:
            continue
        parts: dict[str, NDArray[np.bool_]] = {ALL: np.ones(len(table.test), dtype=bool)}
        parts |= {label: rows for label, rows in table.slices.items() if rows.sum() >= spec.bounds.slice_rows}
        for label, rows in parts.items():
            other = table.loss(judged[name], rows)
            with np.errstate(invalid="ignore", divide="ignore"):
                change = interval(table.loss(mine, rows) / other - 1)
            if np.isfinite(change[0]):
                yield Figure(spec.algorithm, metric, *change, slice=label, rows=int(rows.sum()),
                             against=judged[name].version)  # fmt: skip


def _shown(table: Table, judged: Judged, spec: ModelSpec) -> Iterator[Figure]:
    """Reliability, lift and gains: of the one question, or of all questions' rows together."""
    if spec.task == "rewards":
        return
    known = ~np.isnan(table.test.targets)
    p, y = judged.p[known], table.test.targets[known]
    for number, (predicted, observed, rows) in enumerate(reliability(p, y)):
        yield Figure(spec.algorithm, "predicted", predicted, slice=f"bin/{number}", rows=rows)
        yield Figure(spec.algorithm, "observed", observed, slice=f"bin/{number}", rows=rows)
    for number, (lift, gain) in enumerate(gains(p, y), 1):
        yield Figure(spec.algorithm, "lift", lift, slice=f"decile/{number}", rows=len(p) // 10)
        yield Figure(spec.algorithm, "gain", gain, slice=f"decile/{number}", rows=len(p) // 10)


def _shap(core: CatBoosted, test: Examples) -> Iterator[Figure]:
    """The mean of |SHAP value| by feature, over the classes."""
    step = max(len(test) // SHAP_ROWS, 1)
    some = test.of(np.arange(0, len(test), step))
    means = np.abs(core.shap(some)).mean(axis=(0, 2))
    for name, value in zip([*test.shape.features, *test.shape.categories], means, strict=True):
        yield Figure("catboost", "shap", float(value), slice=f"feature/{name}", rows=len(some))


def _drift(
    rows: Rows, spec: ModelSpec, shape: Shape, trained: Mapping[str, Any], test: Examples
) -> Iterator[Figure]:
    """PSI of what the candidate sees, from the closings the champion (or itself) was trained on on."""
    then = arrays(rows.of(trained["train"]), shape, spec)
    found = drift(shape, (then.features, then.codes), (test.features, test.codes)) if len(then) else {}
    for name, value in found.items():
        yield Figure(spec.algorithm, "psi", value, slice=f"feature/{name}", rows=len(test),
                     against=trained["model_version"])  # fmt: skip


def row_of(figure: Figure, candidate: Mapping[str, Any]) -> dict[str, Any]:
    """Return a figure as a row of model_values."""
    return {
        "model_version": candidate["model_version"],
        "name": candidate["name"],
        "closing_id": candidate["closing_id"],
        "as_of_date": candidate["as_of_date"],
        "learner": figure.learner,
        "metric": figure.metric,
        "slice": figure.slice,
        "class": figure.class_,
        "value": figure.value,
        "low": _number(figure.low),
        "high": _number(figure.high),
        "rows": figure.rows,
        "against": figure.against,
    }


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def candidates(models: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return by spec the current models of one closing by algorithm."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in models:
        if row["is_current"]:
            found.setdefault(row["name"], {})[row["algorithm"]] = row
    return found
