"""The check on the checker: what the estimators said of each policy, against what it was truly worth.

The truth has the reward of every action. On a page of one position a judgement keeps the probability of each,
so their product is the exact value of a serving, whatever was drawn. On a page of several a policy's value at
a serving is that of its draws, from its parameters and the serving's context: later positions are means over
32 seeded draws.

Which interval to judge by: that of single servings, since this truth holds the households fixed. The one by
household, which the gate uses, carries their sampling too, and so holds this truth more often than it says.

Reads   judgements, decisions, contexts, features and policies (the pipeline's), {home}/truth (the demo's)
Writes  a console
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from rich.console import Console
from rich.table import Table

from jobs import algorithms, maps
from jobs.config import Config, Page, Policy
from jobs.demo import truth, value, values
from jobs.demo.source import DemoError
from jobs.demo.truth import Truth
from jobs.servings import by_spec
from jobs.tables import Tables
from ml.ope.intervals import student_t
from ml.ope.judged import MAIN

Exact = Mapping[str, pd.Series]
"""By spec the true value of each serving, by its decision_id."""

MEANING = (
    "What off-policy evaluation said of each policy, from the log alone, beside its exact value on the same"
    " servings: ranking quality, not sales uplift. Errors are shares of the truth. Judge 95 %"
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


def exact_of_actions(judgements: pa.Table, known: Truth) -> Exact:
    """Return the exact values on a page of one position, of the servings that the truth knows."""
    places, found = pd.Index(known.decision_id), {}
    for spec, servings in by_spec(judgements).items():
        at = places.get_indexer(pd.Index(servings.decisions))
        rows = np.flatnonzero(at >= 0)
        chances = np.nan_to_num(maps.table(servings.table["first"], list(known.actions)))[rows]
        worth = (chances * known.rewards[at[rows]]).sum(axis=1) / chances.sum(axis=1)
        found[spec] = pd.Series(worth, index=servings.decisions[rows])
    return found


def exact_of_layouts(config: Config, tables: Tables, page: Page, judgements: pa.Table, known: Truth) -> Exact:
    """Return the values on a page of several positions, each by the policy that judged the serving."""
    days = pc.min_max(judgements["decision_date"]).as_py()
    names = sorted(set(judgements["spec"].to_pylist()) & config.policies.keys())
    specs = [config.policies[name] for name in names]
    served = {
        name: values.read_served(tables, page, name, days["min"], days["max"])
        for name in sorted({spec.feature_set for spec in specs})
    }
    found: dict[str, list[pd.Series]] = {}
    for spec in specs:
        decisions, contexts = served[spec.feature_set]
        policies = values.read_policies(tables, spec, days["max"])
        for day, version in _asked(judgements, spec.name):
            newest = values.newest_of(policies, spec, day)
            if newest["policy_version"] == version:
                inputs = values.Inputs(
                    decisions[decisions["decision_date"] == day],
                    contexts.filter(pc.equal(contexts["decision_date"], day)),
                    newest,
                    config.feature_sets[spec.feature_set],
                )
                found.setdefault(spec.name, []).append(_worth(inputs, page, spec, known, config.seed))
    return {spec: pd.concat(parts) for spec, parts in found.items()}


def _asked(judgements: pa.Table, spec: str) -> list[tuple[date, str]]:
    """Return the days on which a spec was judged, each with the policy that it was."""
    own = judgements.filter(pc.equal(judgements["spec"], spec))
    return sorted(set(zip(own["decision_date"].to_pylist(), own["policy_version"].to_pylist(), strict=True)))


def _worth(inputs: values.Inputs, page: Page, spec: Policy, known: Truth, seed: int) -> pd.Series:
    """Return the values of a day's servings that both the truth and the pipeline know, with contexts."""
    drawn = set(inputs.contexts["draw_id"].to_pylist())
    decisions = inputs.decisions[inputs.decisions["draw_id"].isin(drawn)].set_index("decision_id")
    own = truth.take(known, np.flatnonzero(pd.Index(known.decision_id).isin(decisions.index)))
    ordered = decisions.loc[list(own.decision_id)].reset_index()
    scores, bonuses = values.policy_scores(inputs, ordered, own.actions, spec, seed)
    weigh = values.by_scores(scores + bonuses, algorithms.rule_of(spec, page))
    worth = value.of_draws(own.rewards, weigh, page.positions, seed)
    return pd.Series(worth, index=list(own.decision_id))


def check(judgements: pa.Table, exact: Exact) -> list[Checked]:
    """Check every estimator of every policy on the servings of one page whose value is known."""
    found = []
    for spec, servings in by_spec(judgements).items():
        if spec not in exact:
            continue
        at = exact[spec].index.get_indexer(pd.Index(servings.decisions))
        if not (at >= 0).any():
            continue
        own = servings.rows(np.flatnonzero(at >= 0))
        true = float(exact[spec].to_numpy()[at[at >= 0]].mean())
        for name, terms in own.judged.terms(MAIN).items():
            subjects, rows = student_t(terms, own.judged.clusters), student_t(terms)
            found.append(
                Checked(
                    spec, name, subjects.value, subjects.lower, subjects.upper, true,
                    subjects.lower <= true <= subjects.upper, rows.lower <= true <= rows.upper,
                )
            )  # fmt: skip
    return found


def nightly(judgements: pa.Table, exact: Exact) -> list[Checked]:
    """Check every estimator of every policy on each day's servings by themselves."""
    days = sorted(set(judgements["decision_date"].to_pylist()))
    return [
        each
        for day in days
        for each in check(judgements.filter(pc.equal(judgements["decision_date"], day)), exact)
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


def read(config: Config, home: Path, page: Page) -> tuple[pa.Table, Exact]:
    """Read what was judged of a page, and what each serving of it was truly worth to each policy.

    Raises
    ------
    DemoError
        When nothing of it was judged yet.

    """
    tables = Tables(config.tables)
    judgements = tables.read("judgements", ds.field("page") == page.page)
    if not len(judgements):
        raise DemoError(f"Nothing of page {page.page} was judged yet: run make demo first.")
    days = pc.min_max(judgements["decision_date"]).as_py()
    known = truth.read(home, page.page, days["min"], days["max"])
    if page.positions == 1:
        return judgements, exact_of_actions(judgements, known)
    return judgements, exact_of_layouts(config, tables, page, judgements, known)


def show(console: Console, page: str, judgements: pa.Table, exact: Exact) -> None:
    """Print how near each estimator was to the truth, on all days and on each, and how often it held it."""
    days = len(set(judgements["decision_date"].to_pylist()))
    for about, checked in (
        (f"Page {page}, all {days} days, a check a policy", check(judgements, exact)),
        (f"Page {page}, each day by itself, a check a policy and day", nightly(judgements, exact)),
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
