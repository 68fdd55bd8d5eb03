"""What differs from the truth is found, and told apart from what was planted."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from jobs.demo import files, truth
from jobs.demo.reconcile import differences
from jobs.demo.source import day_of
from jobs.demo.truth import Truth
from jobs.demo.writer import stamp_path

DAY = date(2017, 10, 12)


def write_truth(home: Path, page: str, rewards: list[list[float]]) -> None:
    truth.write(
        home,
        Truth(
            page=page,
            actions=("bestsellers", "trending"),
            decision_id=[f"{page}{i}" for i in range(len(rewards))],
            household=np.arange(len(rewards)),
            day=np.full(len(rewards), day_of(DAY)),
            rewards=np.array(rewards),
            logging=np.full((len(rewards), 2), 0.5),
        ),
    )


def test_differences_of_seen_positions(home: Path) -> None:
    write_truth(home, "start", [[3, 0], [1, 0], [3, 1]])
    write_truth(home, "home", [[0, 1]])
    files.put(stamp_path(home, day_of(DAY)), json.dumps({"late_decisions": ["start2"]}).encode())
    columns = ["decision_id", "position", "page", "widget", "is_seen", "reward"]
    feedback = pd.DataFrame(
        [
            ("start0", 0, "start", "bestsellers", True, 3.0),  # as it was
            ("start1", 0, "start", "bestsellers", True, 3.0),  # wrong
            ("start2", 0, "start", "bestsellers", True, 1.0),  # its basket add comes tomorrow
            ("home0", 0, "home", "bestsellers", True, 0.0),  # as it was
            ("home0", 1, "home", "trending", False, 0.0),  # nobody saw it
            ("home9", 0, "home", "trending", True, 1.0),  # served by nobody
        ],
        columns=columns,
    )
    found = differences(home, feedback, DAY, DAY).set_index("decision_id")
    assert found["is_planted"].to_dict() == {"start1": False, "start2": True, "home9": False}
    assert found.loc[["start1", "start2"], "true_reward"].tolist() == [1.0, 3.0]
    assert np.isnan(found.loc["home9", "true_reward"])


def test_truth_reads_back_as_written(home: Path) -> None:
    write_truth(home, "start", [[3, 0], [1, 2]])
    known = truth.read(home, "start", DAY, DAY)
    assert known.rewards.tolist() == [[3, 0], [1, 2]]
    assert known.actions == ("bestsellers", "trending")
    assert known.decision_id == ["start0", "start1"]
    assert known.logging.tolist() == [[0.5, 0.5]] * 2
