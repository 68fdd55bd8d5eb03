"""One spec trained on the examples of earlier closings: split by time, learners, calibration, notes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from jobs.example_arrays import Rows, arrays, classes_of, expand, slug
from jobs.model_specs import LEARNERS, Algorithm, ModelSpec
from jobs.publish import Stopped
from ml.classify import Examples, Shape
from ml.classify.calibration import Calibration, calibrated, choose
from ml.classify.catboosted import CatBoosted
from ml.classify.examples import frozen_values
from ml.classify.last_period import Table
from ml.classify.leakage import single_feature_power
from ml.classify.linear import Linear
from ml.classify.metrics import METRICS, cell_losses, mean_loss
from ml.classify.model import Core
from ml.classify.search import search
from ml.classify.xgboosted import XGBoosted

SEVERAL = 3
"""Told names of a list; the rest is counted."""


@dataclass(frozen=True)
class Split:
    """Closings by their part, oldest first."""

    train: list[str]
    validate: list[str]
    test: list[str]

    @classmethod
    def of(cls, closings: list[str], spec: ModelSpec, test_closings: int) -> Self:
        """Test on the last, validate on the one before, train on those before.

        Raises
        ------
        Stopped
            When there are too few.

        """
        needed = test_closings + 2
        if len(closings) < needed:
            raise Stopped(
                f"{spec.name}: of {len(closings)} closings it is known what came after, and {needed} are"
                f" needed: one to train on, one to validate, {test_closings} to test. It is trained once more"
                " have ended."
            )
        test, validate = closings[-test_closings:], closings[-test_closings - 1]
        train = closings[: -test_closings - 1]
        return cls(train[-(spec.train_closings or len(train)) :], [validate], test)


@dataclass
class Prepared:
    """A spec's examples, and what was left out of them."""

    spec: ModelSpec
    split: Split
    train: Examples
    validate: Examples
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Trained:
    """A learner's model."""

    algorithm: Algorithm
    core: Core
    calibration: list[Calibration]
    trees: int
    metrics: dict[str, float]


def prepare(rows: Rows, spec: ModelSpec, test_closings: int) -> Prepared:
    """Put a spec's examples together.

    Raises
    ------
    Stopped
        When it cannot be learned: too few closings, a feature that nobody has, one answer only, a leak.

    """
    known = rows.known(spec)
    split = Split.of(known.closings(), spec, test_closings)
    train_rows, validate_rows = known.of(split.train), known.of(split.validate)
    notes: list[str] = []
    features = _features(train_rows, spec, notes)
    categories = {name: frozen_values(train_rows.category(name).tolist()) for name in spec.categories}
    if empty := [name for name, values in categories.items() if not values]:
        notes.append(f"No example has {_list(empty)}: left out.")
    kept = {name: values for name, values in categories.items() if values}
    shape = Shape(spec.task, tuple(features), kept, tuple(classes_of(train_rows, spec)))
    shape = Shape(
        spec.task, shape.features, kept, tuple(_classes(arrays(train_rows, shape, spec), spec, notes))
    )
    train, validate = (_answered(arrays(part, shape, spec)) for part in (train_rows, validate_rows))
    if not len(validate):
        raise Stopped(
            f"{spec.name}: no example of {split.validate[0]}, which is to validate, is of a known class."
        )
    _refuse_leaks(train, spec)
    return Prepared(spec, split, train, validate, notes)


def train(prepared: Prepared, *, seed: int, trials: int, home: Path) -> Iterator[Trained]:
    """Train the spec's learners, and give each with its calibration."""
    spec, validate = prepared.spec, prepared.validate
    weighted = _class_weighted(prepared.train, spec)
    parameters = spec.learning.model_dump()
    monotone = {name: sign for name, sign in spec.monotone.items() if name in validate.shape.features}
    own: dict[str, Any] = {"seed": seed, "monotone": monotone}
    boosted: dict[str, Any] = dict(parameters)
    if trials:
        home.mkdir(parents=True, exist_ok=True)
        name = f"{spec.name}-{spec.digest}-{prepared.split.validate[0]}"
        boosted = search(
            weighted, validate, name=name, storage=f"sqlite:///{home / 'search.db'}", trials=trials,
            seed=seed, base=parameters, monotone=monotone,
        )  # fmt: skip
        found = ", ".join(f"{key} {boosted[key]:.4g}" for key in ("depth", "learning_rate", "l2"))
        prepared.notes.append(f"Parameters of {trials} searched: {found}.")
    for algorithm in LEARNERS:
        core: Core
        if algorithm == "catboost":
            core = CatBoosted.fit(weighted, validate, **boosted, **own)
            trees = int(core.model.tree_count_)
        elif algorithm == "xgboost":
            core = XGBoosted.fit(weighted, validate, **boosted, **own)
            trees = sum(booster.num_boosted_rounds() for booster in core.boosters)
        elif algorithm == "logistic":
            core, trees = Linear.fit(prepared.train, features=_small(prepared)), 0
        else:
            core, trees = Table.fit(prepared.train, columns=_columns(prepared)), 0
        p = core.predict(validate.features, validate.codes)
        calibration = [] if algorithm == "last_period" else _calibration(p, validate, seed)
        calibration = calibration or [Calibration()] * p.shape[1]
        measures = _measures(calibrated(p, calibration, spec.task), validate)
        yield Trained(algorithm, core, calibration, trees, measures)


def _features(rows: Rows, spec: ModelSpec, notes: list[str]) -> list[str]:
    there = rows.names("features")
    ignored = set(expand(spec.ignored, there))
    named = [name for name in expand(spec.features, there) if name not in ignored]
    if gone := [name for name in named if name not in there]:
        notes.append(f"No example has {_list(gone)}: left out.")
    named = [name for name in named if name in there]
    if not named:
        raise Stopped(
            f"{spec.name}: no example has any of its features ({_list(list(spec.features))}): mend their"
            " spelling in conf/models, or see why closing_examples has none."
        )
    values = rows.matrix("features", named, np.float32)
    with np.errstate(invalid="ignore"):
        constant = [
            name
            for j, name in enumerate(named)
            if not np.isnan(values[:, j]).any() and values[:, j].min() == values[:, j].max()
        ]
    if constant:
        notes.append(f"{_list(constant)} {_are(constant)} the same in all {len(rows):,} examples: left out.")
    left = [name for name in named if name not in constant]
    if not left:
        raise Stopped(
            f"{spec.name}: every feature is the same in all examples; nothing can be learned from them."
        )
    return left


def _classes(examples: Examples, spec: ModelSpec, notes: list[str]) -> list[str]:
    """Leave out the classes that cannot be learned; refuse where none is left."""
    few: list[str] = []
    left: list[str] = []
    for number, name in enumerate(examples.shape.classes):
        own = examples.targets[:, number]
        own = own[~np.isnan(own)]
        if spec.task == "rewards":
            learnable = len(own) >= spec.fewest and own.min() < own.max()
        elif spec.task == "labels":
            learnable = min((own == 1).sum(), (own == 0).sum()) >= spec.fewest
        else:
            learnable = (own == 1).sum() >= spec.fewest
        (left if learnable else few).append(name)
    if few:
        notes.append(
            f"{_list(few)} {_are(few)} in fewer than {spec.fewest} examples, or in all but so few: left out."
        )
    if not left or (spec.task == "classes" and len(left) < 2):
        raise Stopped(
            f"{spec.name}: fewer than {spec.fewest} of {len(examples):,} examples have one of the answers"
            f" ({_list(few)}): nothing can be learned from so few. Lower `fewest` in"
            f" conf/models/{spec.name}.yaml, or wait for more closings."
        )
    return left


def _answered(examples: Examples) -> Examples:
    return examples.of(np.flatnonzero(examples.known()))


def _refuse_leaks(examples: Examples, spec: ModelSpec) -> None:
    if spec.task == "rewards":
        return
    power = single_feature_power(examples)
    worst = max(power, key=lambda name: power[name])
    # Where a category starts from is no leak for where it ends: the plain table is allowed to be good.
    if power[worst] > spec.bounds.single_feature and worst != spec.last_period:
        raise Stopped(
            f"{spec.name}: {worst} alone tells the answer with AUC {power[worst]:.3f}, above"
            f" {spec.bounds.single_feature:g}: it has most likely seen it. Find out, or list it under ignored"
            f" in conf/models/{spec.name}.yaml."
        )


def _class_weighted(examples: Examples, spec: ModelSpec) -> Examples:
    """Weigh rows by their class: `balanced` gives each the same sum."""
    if not spec.class_weights:
        return examples
    if spec.task == "labels":
        number = np.nan_to_num(examples.targets[:, 0]).astype(int)
        names = ["no", *examples.shape.classes]
    else:
        number, names = examples.targets.argmax(axis=1), list(examples.shape.classes)
    counts = np.bincount(number, minlength=len(names))
    if spec.class_weights == "balanced":
        by_class = len(number) / (len(names) * np.maximum(counts, 1))
    else:
        by_class = np.array([spec.class_weights.get(name, 1.0) for name in names])
    weights = examples.weights * by_class[number][:, None]
    return Examples(examples.shape, examples.features, examples.codes, examples.targets, weights)


def _small(prepared: Prepared) -> list[str]:
    there = list(prepared.train.shape.features)
    found = [name for name in expand(prepared.spec.small, there) if name in there]
    return found or there[:1]


def _columns(prepared: Prepared) -> list[str | None]:
    pattern = prepared.spec.last_period or ""
    named = [pattern.format(**{"class": name, "slug": slug(name)}) for name in prepared.train.shape.classes]
    return [name or None for name in named]


def _calibration(p: np.ndarray[Any, Any], validate: Examples, seed: int) -> list[Calibration]:
    if validate.shape.task == "rewards":
        return []
    found = []
    for number in range(p.shape[1]):
        known = ~np.isnan(validate.targets[:, number])
        found.append(choose(p[known, number], validate.targets[known, number], seed))
    return found


def _measures(p: np.ndarray[Any, Any], validate: Examples) -> dict[str, float]:
    one = np.ones((1, len(validate)))
    losses = cell_losses(p, validate.targets, validate.shape.task)
    name = "squared_error" if validate.shape.task == "rewards" else "log_loss"
    found = {name: float(mean_loss(losses, validate.loss_weights, one)[0])}
    if validate.shape.task == "labels" and p.shape[1] == 1:
        found["auc"] = float(METRICS["auc"](p[:, 0], validate.targets[:, 0], one)[0])
    return found


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SEVERAL} more" if len(names) > SEVERAL else ""
    return ", ".join(names[:SEVERAL]) + more


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
