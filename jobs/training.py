"""One spec trained: its learners side by side, each with its calibration."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.example_arrays import expand, slug
from jobs.model_specs import LEARNERS, Algorithm, ModelSpec
from jobs.training_examples import Prepared
from ml.classify import Examples
from ml.classify.calibration import Calibration, calibrated, choose
from ml.classify.catboosted import CatBoosted
from ml.classify.last_period import Table
from ml.classify.linear import Linear
from ml.classify.metrics import METRICS, cell_losses, mean_loss
from ml.classify.model import Core
from ml.classify.search import search
from ml.classify.xgboosted import XGBoosted


@dataclass(frozen=True)
class Trained:
    """A learner's model."""

    algorithm: Algorithm
    core: Core
    calibration: list[Calibration]
    trees: int
    metrics: dict[str, float]


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
