"""Why a widget stands where it stands, in a word or two: the part of its score that sets it apart.

A score is a sum over features, θ_a·x. Features fall into parts, each with a phrase; a widget's reason is the
part that lifts it most above the mean candidate. A widget that its expected reward (with the
page's goals) alone would not have brought onto the page was explored, and so was one that nothing lifts.
"""

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ml.bandits.linear import Linear

EXPLORED = "explored"
PINNED = "pinned"
POPULAR = "popular now"
TRENDING = "trending"
AFTER = "after it now"
SIMILAR = "liked by similar shoppers"

# The first pattern that matches says which part a feature belongs to. WIDGET stands for the candidate's name,
# so that what is known of the subject and one widget speaks for that widget only.
PARTS = (
    (r"^lately/after(_last|_most)?/WIDGET$", AFTER),
    (r"^reward_mean/(.*/)?WIDGET$|^WIDGET_reward_mean", "chosen before"),
    (r"^share/WIDGET$|^WIDGET_(share|lift)", "bought often"),
    (r"^intercept$", POPULAR),
    (r"^(day_of_week|week_of_month)$", "right for the day"),
    (r"", SIMILAR),
)
SAID_OTHERWISE = {("trending", POPULAR): TRENDING}


class Named(Protocol):
    """A feature with a name."""

    @property
    def name(self) -> str:
        """The feature's name."""


def part_columns(
    context: Sequence[Named], action: Sequence[Named], candidates: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    """Return for each phrase the (k, d) features of each arm that belong to it; each belongs to one."""
    names = [[_of_widget(feature.name, widget) for feature in (*context, *action)] for widget in candidates]
    parts = [
        [_part(name, widget) for name in of_widget]
        for widget, of_widget in zip(candidates, names, strict=True)
    ]
    phrases = [words for _, words in PARTS]
    return {words: np.array([[part == words for part in row] for row in parts]) for words in phrases}


def reasons(
    model: Linear,
    contexts: NDArray[np.float32],
    action_contexts: NDArray[np.float32],
    scores: NDArray[np.floating],
    slates: NDArray[np.int32],
    parts: dict[str, NDArray[np.bool_]],
) -> NDArray[np.int64]:
    """Return (n, positions) numbers of the reason: a part in the order of `parts`, len(parts) for explored.

    Parameters
    ----------
    model
        fitted over the k candidates.
    contexts, action_contexts
        (n, c) and (n, k, d - c), as for `Linear.scores`.
    scores
        (n, k) expected rewards, or what the page's goals make of them.
    slates
        (n, positions) columns of the candidates, -1 for none (its number means nothing).
    parts
        from `part_columns`.

    """
    rows = np.arange(len(slates))[:, None]
    leads = []
    for columns in parts.values():
        if not columns.any():
            leads.append(np.zeros(slates.shape))
            continue
        part = model.scores(contexts, action_contexts, columns=columns)
        leads.append((part - part.mean(axis=1, keepdims=True))[rows, slates])
    strongest = np.where(np.max(leads, axis=0) > 0, np.argmax(leads, axis=0), len(parts))
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable")
    return np.where(ranks[rows, slates] >= slates.shape[1], len(parts), strongest)


def leads(
    theta: NDArray[np.floating], context: NDArray[np.floating], own: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return (k, d) by how much each feature lifts each candidate above the mean of all: θ_aj x_aj - mean.

    theta : (k, d) coefficients. context : (c,) what candidates share. own : (k, d - c) features of each.
    """
    shared = np.broadcast_to(context, (len(own), len(context)))
    parts = np.asarray(theta, dtype=np.float64) * np.hstack([shared, own])
    return np.asarray(parts - parts.mean(axis=0))


def phrase(widget: str, part: str) -> str:
    """Return the words for a widget and its part."""
    return SAID_OTHERWISE.get((widget, part), part)


def _of_widget(name: str, widget: str) -> str:
    return name.replace("{widget}", widget)


def _part(name: str, widget: str) -> str:
    own = re.escape(widget)
    return next(words for pattern, words in PARTS if re.search(pattern.replace("WIDGET", own), name))
