"""What a spec learns from: examples of earlier closings, split by time, without what cannot be learned."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from jobs.example_arrays import Rows, arrays, classes_of, expand
from jobs.model_specs import ModelSpec
from jobs.publish import Stopped
from ml.classify import Examples, Shape
from ml.classify.examples import frozen_values
from ml.classify.leakage import single_feature_power

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


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SEVERAL} more" if len(names) > SEVERAL else ""
    return ", ".join(names[:SEVERAL]) + more


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
