"""The check on the checker: what the estimators said of each policy, against what it was truly worth.

A judgement keeps the probabilities of the first position, and the truth the reward of every action: on a
page of one position their product is the exact value of a serving, whatever was drawn.

Which interval to judge by: that of single servings, since this truth holds the households fixed. The one by
household, which the gate uses, carries their sampling too, and so holds this truth more often than it says.

Reads   judgements (the pipeline's), {home}/truth (the demo's)
Writes  a console
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from rich.console import Console
from rich.table import Table

from jobs import maps
from jobs.demo import truth
from jobs.demo.source import DemoError
from jobs.demo.truth import Truth
from jobs.servings import by_spec
from jobs.tables import Tables
from ml.ope.intervals import student_t
from ml.ope.judged import MAIN

PAGE = "start"
MEANING = (
    "What off-policy evaluation said of each policy on page start, from the log alone, beside its exact value"
    " on the same servings: ranking quality, not sales uplift. Errors are shares of the truth. Judge 95 %"
    " intervals by those of single servings; those by household, which the gate uses, also carry which"
    " households came, and hold this truth more often. Checks of one day share its log, so they are not"
    " as many as they look."
)


@dataclass(frozen=True)
class Checked:
    """An estimate beside the truth.

    by_subject : whether the interval clustered by subject holds the truth, as the gate's does.
    by_serving : whether the interval of single servings does: the one to judge by.
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
        if not (at >= 0).any():
            continue
        own, at = servings.rows(np.flatnonzero(at >= 0)), at[at >= 0]
        chances = np.nan_to_num(maps.table(own.table["first"], list(known.actions)))
        exact = float((chances * known.rewards[at]).sum(axis=1).mean() / chances.sum(axis=1).mean())
        for name, terms in own.judged.terms(MAIN).items():
            subjects, rows = student_t(terms, own.judged.clusters), student_t(terms)
            found.append(
                Checked(
                    spec, name, subjects.value, subjects.lower, subjects.upper, exact,
                    subjects.lower <= exact <= subjects.upper, rows.lower <= exact <= rows.upper,
                )
            )  # fmt: skip
    return found


def nightly(judgements: pa.Table, known: Truth) -> list[Checked]:
    """Check every estimator of every policy on each day's servings by themselves."""
    days = sorted(set(judgements["decision_date"].to_pylist()))
    return [
        each
        for day in days
        for each in check(judgements.filter(pc.equal(judgements["decision_date"], day)), known)
    ]


@dataclass(frozen=True)
class Record:
    """An estimator's record: mean absolute error as a share of the truth, how often intervals held it."""

    estimator: str
    checks: int
    error: float
    bias: float
    by_subject: float
    by_serving: float


def summary(checked: Sequence[Checked]) -> list[Record]:
    """Return the record of each estimator, the nearest to the truth first."""
    found = []
    for name in dict.fromkeys(each.estimator for each in checked):
        own = [each for each in checked if each.estimator == name]
        found.append(
            Record(
                name,
                len(own),
                float(np.mean([abs(each.error) for each in own])),
                float(np.mean([each.error for each in own])),
                float(np.mean([each.by_subject for each in own])),
                float(np.mean([each.by_serving for each in own])),
            )
        )
    return sorted(found, key=lambda each: each.error)


def read(tables: Tables, home: Path) -> tuple[pa.Table, Truth]:
    """Read what was judged of the page of one position, and the truth of the same days.

    Raises
    ------
    DemoError
        When nothing was judged yet.

    """
    judgements = tables.read("judgements", ds.field("page") == PAGE)
    if not len(judgements):
        raise DemoError(f"Nothing of page {PAGE} was judged yet: run make demo first.")
    days = pc.min_max(judgements["decision_date"]).as_py()
    return judgements, truth.read(home, PAGE, days["min"], days["max"])


def show(console: Console, judgements: pa.Table, known: Truth) -> None:
    """Print how near each estimator was to the truth, on all days and on each, and how often it held it."""
    days = len(set(judgements["decision_date"].to_pylist()))
    console.print(MEANING)
    for about, checked in (
        (f"All {days} days, a check a policy", check(judgements, known)),
        ("Each day by itself, a check a policy and day", nightly(judgements, known)),
    ):
        table = Table(title=about, title_justify="left", box=None, pad_edge=False)
        table.add_column("estimator", no_wrap=True)
        for head in ("checks", "mean absolute error", "mean error", "held, by serving", "held, by household"):
            table.add_column(head, justify="right")
        for row in summary(checked):
            shares = f"{row.error:.1%}", f"{row.bias:+.1%}", f"{row.by_serving:.0%}", f"{row.by_subject:.0%}"
            table.add_row(row.estimator, f"{row.checks:,}", *shares)
        console.print()
        console.print(table)
