"""Holds the join to the truth: rewards in `feedback` that differ, and what matching by window gets wrong.

Reads   rows of feedback, or of decisions and outcomes; {home}/truth
Writes  nothing
"""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from jobs.contracts import contract
from jobs.credit import DIRECT, Rule, credit
from jobs.demo import truth
from jobs.demo.source import day_of
from jobs.demo.writer import stamp_path

NAMES = ("trace_id", "decision_id", "position")


@dataclass(frozen=True)
class Matching:
    """How well seen positions got what is theirs: of those that got anything, and of those that earned it."""

    seen: int
    precision: float
    recall: float
    equal: float  # share of positions with exactly the true reward


def window_matching(
    home: Path, decisions: pa.Table, outcomes: pa.Table, rule: Rule, *, by_product: bool
) -> Matching:
    """Match outcomes without trace and ids, and, by product, without their widget; compare with the truth.

    decisions, outcomes: rows of those tables, of the same days; only outcomes of pages are used.
    """
    happened = outcomes.filter(pc.is_in(outcomes["kind"], pa.array(DIRECT)))
    for name in (*NAMES, *(["widget"] if by_product else [])):
        place = happened.schema.get_field_index(name)
        nothing = pa.nulls(happened.num_rows, happened.schema.field(name).type)
        happened = happened.set_column(place, happened.schema.field(name), nothing)
    schema = contract("feedback").arrow_schema.remove_metadata()
    matched = credit(decisions, happened, rule, schema).to_pandas()
    days = matched["decision_date"]
    earned, true = [], []
    for page in truth.PAGES:
        known = truth.read(home, page, days.min(), days.max())
        seen = matched[(matched["page"] == page) & matched["is_seen"]]
        rows = pd.Index(known.decision_id).get_indexer(pd.Index(seen["decision_id"]))
        columns = pd.Index(known.actions).get_indexer(pd.Index(seen["widget"]))
        earned.append(seen["reward"].to_numpy()[rows >= 0])
        true.append(known.rewards[rows[rows >= 0], columns[rows >= 0]])
    got, own = np.concatenate(earned), np.concatenate(true)
    both = float(((got > 0) & (own > 0)).sum())
    return Matching(
        len(got), both / max((got > 0).sum(), 1), both / max((own > 0).sum(), 1), float((got == own).mean())
    )


def differences(home: Path, feedback: pd.DataFrame, first: date, last: date) -> pd.DataFrame:
    """Seen positions of the days `first` to `last` whose reward is not the true one.

    feedback: decision_id, position, page, widget, is_seen, reward. Returned with `true_reward`, and
    `is_planted`: an event of the decision arrives after `last`, so the lake does not hold it yet.
    """
    late = json.loads(stamp_path(home, day_of(last)).read_bytes())["late_decisions"]
    found = []
    for page in truth.PAGES:
        known = truth.read(home, page, first, last)
        seen = feedback[(feedback["page"] == page) & feedback["is_seen"]]
        rows = pd.Index(known.decision_id).get_indexer(pd.Index(seen["decision_id"]))
        columns = pd.Index(known.actions).get_indexer(pd.Index(seen["widget"]))
        rewards = np.where((rows < 0) | (columns < 0), np.nan, known.rewards[rows, columns])
        compared = seen.assign(true_reward=rewards, is_planted=seen["decision_id"].isin(late))
        found.append(compared[compared["reward"] != compared["true_reward"]])
    return pd.concat(found, ignore_index=True)
