"""The truth: every action's reward at every visit, kept outside the lake for the report and the tests.

Reads   a replay
Writes  {home}/truth/start.parquet and home.parquet (a file a day in each), {home}/truth/planted.json
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from jobs.demo import files
from jobs.demo.history import Floats
from jobs.demo.replay import START_ACTIONS, Replay
from jobs.demo.served import decision_id
from jobs.demo.source import Ints, date_of

PAGES = ("start", "home")
KEYS = ("decision_id", "household", "day", "date")
LOGGED = "p_"


@dataclass(frozen=True)
class Truth:
    """Visits of a page: the reward of every action, and the logging policy's first position."""

    page: str
    actions: tuple[str, ...]
    decision_id: Sequence[str]
    household: Ints  # (n,)
    day: Ints  # (n,)
    rewards: Floats  # (n, k)
    logging: Floats  # (n, k)


def of_replay(shown: Replay, page: str) -> Truth:
    """The truth of a replay's visits."""
    rewards, at_start = shown.rewards, page == "start"
    weights = shown.start_probabilities if at_start else shown.home_weights
    pairs = zip(rewards.household.tolist(), rewards.day.tolist(), strict=True)
    return Truth(
        page=page,
        actions=START_ACTIONS if at_start else shown.home_actions,
        decision_id=[decision_id(shown.number, household, day, page) for household, day in pairs],
        household=rewards.household,
        day=rewards.day,
        rewards=(rewards.start if at_start else rewards.home).astype(np.float64),
        logging=weights / weights.sum(axis=1, keepdims=True),
    )


def take(truth: Truth, rows: Ints) -> Truth:
    """Some visits, in the order of `rows`."""
    ids = np.asarray(truth.decision_id, dtype=object)[rows].tolist()
    return Truth(
        truth.page,
        truth.actions,
        ids,
        truth.household[rows],
        truth.day[rows],
        truth.rewards[rows],
        truth.logging[rows],
    )


def write(home: Path, truth: Truth) -> None:
    """Write a page's truth, a file a day."""
    head = pd.DataFrame(
        {
            "decision_id": truth.decision_id,
            "household": truth.household,
            "day": truth.day,
            "date": [str(date_of(day)) for day in truth.day],
        }
    )
    rewards = pd.DataFrame(truth.rewards.astype(np.int8), columns=list(truth.actions))
    logged = pd.DataFrame(truth.logging, columns=[f"{LOGGED}{action}" for action in truth.actions])
    table = pd.concat([head, rewards, logged], axis=1)
    for day, rows in table.groupby("date", sort=True):
        files.put_parquet(home / "truth" / f"{truth.page}.parquet" / f"{day}.parquet", rows)


def read(home: Path, page: str, first: date, last: date) -> Truth:
    """Read a page's truth of the days `first` to `last`, both included."""
    days = (ds.field("date") >= str(first)) & (ds.field("date") <= str(last))
    table = ds.dataset(home / "truth" / f"{page}.parquet").to_table(filter=days).to_pandas()
    table = table.sort_values(["day", "household"], kind="stable")
    actions = [name for name in table.columns if name not in KEYS and not name.startswith(LOGGED)]
    return Truth(
        page=page,
        actions=tuple(actions),
        decision_id=table["decision_id"].tolist(),
        household=table["household"].to_numpy(),
        day=table["day"].to_numpy(),
        rewards=table[actions].to_numpy(np.float64),
        logging=table[[f"{LOGGED}{action}" for action in actions]].to_numpy(),
    )


def write_planted(home: Path) -> None:
    """Sum the planted losses of all days into one file."""
    total: Counter[str] = Counter()
    for path in sorted((home / "truth" / "days").glob("*.json")):
        total.update(json.loads(path.read_bytes())["planted"])
    files.put(home / "truth" / "planted.json", json.dumps(dict(sorted(total.items())), indent=2).encode())
