"""The demo's examination curve, 0.8^k, is recovered from what a log holds: sightings, or clicks alone."""

import numpy as np
from numpy.typing import NDArray

from jobs.demo.replay import HOME_POSITIONS, SEEN_BASE, Replay
from ml.position_bias import from_seen, from_swaps, swap_weight

EXAMINATION = SEEN_BASE ** np.arange(HOME_POSITIONS)
SLICE = (229, 285)


def of_days(full: Replay, first: int, last: int) -> NDArray[np.bool_]:
    return (full.rewards.day >= first) & (full.rewards.day < last)


def is_seen(full: Replay) -> NDArray[np.bool_]:
    return np.arange(HOME_POSITIONS) < full.seen[:, None]


def test_from_sightings(full: Replay) -> None:
    seen = is_seen(full)[of_days(full, *SLICE)]
    found = from_seen(np.full(HOME_POSITIONS, len(seen)), seen.sum(axis=0))
    np.testing.assert_allclose(found, EXAMINATION, atol=0.02)


def test_from_clicks_alone(full: Replay) -> None:
    rewards = np.take_along_axis(full.rewards.home, full.home_layout, axis=1)
    clicks = (rewards > 0) & is_seen(full)
    weight = swap_weight(full.home_propensities[:, :-1], full.home_propensities[:, 1:])
    found = from_swaps((weight * clicks[:, :-1]).sum(axis=0), (weight * clicks[:, 1:]).sum(axis=0))
    np.testing.assert_allclose(found, EXAMINATION, atol=0.02)
    # The policy sets above what the household buys: click rates by position alone are far off.
    naive = clicks.sum(axis=0) / clicks[:, 0].sum()
    assert abs(naive - EXAMINATION).max() > 0.06
