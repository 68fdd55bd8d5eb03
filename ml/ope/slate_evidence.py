"""What the gate looks at for a page of several positions: a candidate's and the live policy's slates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ml.ope.diagnostics import Calibration, calibration, describe
from ml.ope.evidence import Evidence, paired
from ml.ope.log import Floats, Integers, Log
from ml.ope.slates import Slates, cascade_dr, reward_interaction_ips, standard_ips
from ml.ope.terms import Terms


@dataclass(frozen=True, eq=False)
class SlateDay:
    """A day's slates, as the candidate and as the live policy would have drawn them.

    Attributes
    ----------
    layouts
        (n, K) logged widgets, columns of the page's widgets; -1 where a position holds nothing.
    candidate, live
        the same slates with each policy's probabilities.
    predicted, candidate_expected, live_expected
        (n, K) for `cascade_dr`, made without the day's rewards; None for reward-interaction IPS.
    others
        by guardrail goal its (n, K) rewards.

    """

    layouts: Integers
    candidate: Slates
    live: Slates
    predicted: Floats | None = None
    candidate_expected: Floats | None = None
    live_expected: Floats | None = None
    others: Mapping[str, Floats] = field(default_factory=dict)


def of_slates(
    days: Mapping[str, SlateDay], *, widgets: Sequence[str], goal: str = "reward", open_share: float = 0.0
) -> Evidence:
    """Gather evidence from logs of slates; cascade-DR decides where there are predictions, else its IPS.

    Parameters
    ----------
    days
        by name, in their order.
    widgets
        names of the columns of `layouts`.
    goal
        name of the rewards in the days' slates.
    open_share
        share of rows whose rewards may still come.

    Raises
    ------
    ValueError
        Without days or clusters.

    """
    if not days:
        raise ValueError("there is no log to evaluate")
    every = list(days.values())
    if any(day.candidate.clusters is None for day in every):
        raise ValueError("the gate needs clusters: whose each row is")
    candidate, live = stack([day.candidate for day in every]), stack([day.live for day in every])
    mine, theirs = (
        _estimates(every, candidate, live, of_live=False),
        _estimates(every, candidate, live, of_live=True),
    )
    decides = next(iter(mine))
    bounds = np.cumsum([len(day.layouts) for day in every])[:-1]
    differences = {goal: paired(mine[decides], theirs[decides], bounds)}
    values = {goal: theirs[decides].value}
    for name in every[0].others:
        rewards = np.concatenate([day.others[name] for day in every])
        one, other = (reward_interaction_ips(replace(each, rewards=rewards)) for each in (candidate, live))
        differences[name], values[name] = paired(one, other, bounds), other.value
    clusters = np.concatenate([day.candidate.clusters for day in every if day.candidate.clusters is not None])
    return Evidence(
        clusters=tuple(np.split(clusters, bounds)),
        differences=differences,
        live=values,
        estimates={name: terms - theirs[name] for name, terms in mine.items()},
        weights={
            name: describe(average_weights(each), clusters)
            for name, each in (("candidate", candidate), ("live", live))
        },
        unsupported={},
        calibrations=tuple(_calibrations(np.concatenate([day.layouts for day in every]), live, widgets)),
        open_share=open_share,
        variances={0.0: 1.0},
    )


def stack(parts: Sequence[Slates]) -> Slates:
    """Put slates of several days one after the other."""
    first = parts[0]
    seen = [part.seen for part in parts if part.seen is not None]
    clusters = [part.clusters for part in parts if part.clusters is not None]
    return Slates(
        np.concatenate([part.rewards for part in parts]),
        np.concatenate([part.propensities for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate(seen) if len(seen) == len(parts) else None,
        np.concatenate(clusters) if len(clusters) == len(parts) else None,
        first.position_weights,
    )


def average_weights(slates: Slates) -> Floats:
    """Return (n,) Σₖ uₖ w₁:ₖ, uₖ the share of the logged reward that position k earned."""
    earned = np.abs(slates.valued).sum(axis=0)
    return np.asarray(slates.prefix_weights @ (earned / earned.sum()))


def _estimates(
    days: Sequence[SlateDay], candidate: Slates, live: Slates, *, of_live: bool
) -> dict[str, Terms]:
    slates = live if of_live else candidate
    found = {
        "reward-interaction IPS": reward_interaction_ips(slates),
        "self-normalised reward-interaction IPS": reward_interaction_ips(slates, normalised=True),
        "standard IPS": standard_ips(slates),
    }
    predicted = [day.predicted for day in days if day.predicted is not None]
    expected = [day.live_expected if of_live else day.candidate_expected for day in days]
    known = [each for each in expected if each is not None]
    if len(predicted) == len(known) == len(days):
        modelled = cascade_dr(slates, np.concatenate(predicted), np.concatenate(known))
        found = {"cascade-DR": modelled, **found}
    return found


def _calibrations(layouts: NDArray[np.integer], slates: Slates, widgets: Sequence[str]) -> list[Calibration]:
    """Hold each position's propensities against what was drawn there, of the widgets not yet above it."""
    rows, positions = layouts.shape
    left = np.ones((rows, positions, len(widgets)), dtype=np.bool_)
    for position in range(positions - 1):
        placed = np.flatnonzero(layouts[:, position] >= 0)
        left[placed, position + 1 :, layouts[placed, position]] = False
    there = (layouts >= 0).ravel()
    clusters = None if slates.clusters is None else np.repeat(slates.clusters, positions)[there]
    log = Log.of(
        layouts.ravel()[there],
        np.ones(int(there.sum())),
        slates.propensities.ravel()[there],
        action_set=tuple(widgets),
        clusters=clusters,
    )
    return calibration(log, left.reshape(-1, len(widgets))[there])
