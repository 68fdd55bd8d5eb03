"""The check on the checker: what the estimators said of each policy, against what it was truly worth.

A judgement keeps the probabilities of the first position, and the truth the reward of every action: on a
page of one position their product is the exact value of a serving, whatever was drawn.

Reads   judgements (the pipeline's), {home}/truth (the demo's)
Writes  nothing
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from jobs import maps
from jobs.demo.truth import Truth
from jobs.servings import by_spec
from ml.ope.intervals import student_t
from ml.ope.judged import MAIN


@dataclass(frozen=True)
class Checked:
    """An estimate beside the truth.

    by_subject : whether the interval clustered by subject holds the truth, as the gate's does; it carries the
        sampling of households too, which this truth holds fixed, and so holds it more often than it says.
    by_serving : whether the interval of single servings does.
    """

    spec: str
    estimator: str
    value: float
    lower: float
    upper: float
    truth: float
    by_subject: bool
    by_serving: bool

    @property
    def error(self) -> float:
        """How far it was off, as a share of the truth."""
        return self.value / self.truth - 1


def check(judgements: pa.Table, known: Truth) -> list[Checked]:
    """Check every estimator of every policy on the servings of one page that the truth knows."""
    found = []
    places = pd.Index(known.decision_id)
    for spec, servings in by_spec(judgements).items():
        at = places.get_indexer(pd.Index(servings.decisions))
        own, at = servings.rows(np.flatnonzero(at >= 0)), at[at >= 0]
        chances = np.nan_to_num(maps.table(own.table["first"], list(known.actions)))
        truth = float((chances * known.rewards[at]).sum(axis=1).mean() / chances.sum(axis=1).mean())
        for name, terms in own.judged.terms(MAIN).items():
            subjects, rows = student_t(terms, own.judged.clusters), student_t(terms)
            found.append(
                Checked(
                    spec, name, subjects.value, subjects.lower, subjects.upper, truth,
                    subjects.lower <= truth <= subjects.upper, rows.lower <= truth <= rows.upper,
                )
            )  # fmt: skip
    return found


def summary(checked: Sequence[Checked]) -> list[tuple[str, float, float, float]]:
    """Return by estimator the mean absolute error, as a share, and how often intervals held the truth."""
    names = list(dict.fromkeys(each.estimator for each in checked))
    rows = []
    for name in names:
        own = [each for each in checked if each.estimator == name]
        rows.append(
            (
                name,
                float(np.mean([abs(each.error) for each in own])),
                float(np.mean([each.by_subject for each in own])),
                float(np.mean([each.by_serving for each in own])),
            )
        )
    return rows
