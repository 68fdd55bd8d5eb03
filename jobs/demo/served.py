"""What the logging policy served on a day of the replay, ready to be written as telemetry.

Reads, writes: nothing.
"""

import hashlib

import numpy as np

from jobs.demo.replay import START_ACTIONS, Replay
from jobs.demo.source import Baskets
from jobs.demo.telemetry import Serving

LOGGING = "logging"


def decision_id(number: int, household: int, day: int, page: str) -> str:
    """The id of a serving: fixed by who, when and where."""
    return hashlib.blake2b(f"decision:{number}:{household}:{day}:{page}".encode(), digest_size=16).hexdigest()


def servings(shown: Replay, baskets: Baskets, day: int) -> dict[int, list[Serving]]:
    """What the logging policy served on a day: household -> its pages start and home."""
    rewards, number = shown.rewards, shown.number
    rows = np.flatnonzero(rewards.day == day)
    ids = np.append(baskets.products, -1)
    at_home = np.take_along_axis(rewards.home[rows], shown.home_layout[rows], axis=1).tolist()
    home_products = ids[
        np.take_along_axis(rewards.home_product[rows], shown.home_layout[rows], axis=1)
    ].tolist()
    result = {}
    for i, row in enumerate(rows.tolist()):
        household, action = int(rewards.household[row]), int(shown.start_action[row])
        start = Serving(
            decision_id=decision_id(number, household, day, "start"),
            draw_id=decision_id(number, household, day, "start draw"),
            page="start",
            widgets=[START_ACTIONS[action]],
            candidates=START_ACTIONS,
            propensities=[float(shown.start_probabilities[row, action])],
            policy_version=LOGGING,
            seen=1,
            rewards=[int(rewards.start[row, action])],
            products=[int(ids[rewards.start_product[row, action]])],
        )
        home = Serving(
            decision_id=decision_id(number, household, day, "home"),
            draw_id=decision_id(number, household, day, "home draw"),
            page="home",
            widgets=[shown.home_actions[a] for a in shown.home_layout[row]],
            candidates=shown.home_actions,
            propensities=shown.home_propensities[row].tolist(),
            policy_version=LOGGING,
            seen=int(shown.seen[row]),
            rewards=at_home[i],
            products=home_products[i],
        )
        result[household] = [start, home]
    return result
