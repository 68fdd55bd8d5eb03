"""Values of a target policy by several estimators, with bootstrap intervals over the same resamples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.ope.bootstrap import Kind, bootstrap
from ml.ope.estimator import Estimator
from ml.ope.log import Log
from ml.ope.rows import rows_of
from ml.ope.target import Target


@dataclass(frozen=True)
class Value:
    """What one estimator says of one goal.

    value, lower, upper, error : in units of the reward; lower and upper are the ends of the interval.
    level : probability that it is meant to hold the true value with.
    interval : how it was made, in words, and what was drawn: clusters or rows.
    rows, clusters : what it rests on.
    """

    estimator: str
    goal: str
    value: float
    lower: float
    upper: float
    error: float
    level: float
    interval: str
    rows: int
    clusters: int


def evaluate(
    log: Log,
    target: Target,
    estimators: Sequence[Estimator],
    *,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
    kind: Kind = "poisson",
) -> list[Value]:
    """Return each estimator's value of each goal; those that need a model are an error without one."""
    terms, names = [], []
    for goal in log.goals:
        rows = rows_of(log, target, goal)
        for estimator in estimators:
            terms.append(estimator.terms(rows))
            names.append((estimator.name, goal))
    drawn = "rows" if log.clusters is None else "clusters"
    clusters = len(log) if log.clusters is None else len(np.unique(log.clusters))
    said = f"{kind} bootstrap of {drawn}, {resamples} resamples"
    intervals = bootstrap(terms, log.clusters, resamples=resamples, seed=seed, level=level, kind=kind)
    return [
        Value(*name, *interval, level, said, len(log), clusters)
        for name, interval in zip(names, intervals, strict=True)
    ]
