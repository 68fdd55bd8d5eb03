"""Holds the join service to the truth: where rewards in `feedback` differ, and whether that was planted.

Reads   rows of feedback, {home}/truth
Writes  nothing
"""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from jobs.demo import truth
from jobs.demo.source import day_of
from jobs.demo.writer import stamp_path


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
