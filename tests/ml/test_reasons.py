"""Reasons: the part of a score that sets a widget apart, in words."""

from dataclasses import dataclass

import numpy as np

from ml.bandits.linucb import LinUCB
from ml.reasons import EXPLORED, PARTS, part_columns, phrase, reasons


@dataclass
class Feature:
    name: str


WORDS = [words for _, words in PARTS]


def test_what_is_known_of_a_widget_speaks_for_that_widget_only() -> None:
    context = [
        Feature(name) for name in ("intercept", "category1_share", "reward_mean/start/trending", "recency")
    ]
    parts = part_columns(context, [], ["category1", "trending"])
    named = [[next(w for w in WORDS if parts[w][arm, j]) for j in range(4)] for arm in range(2)]
    assert named == [
        ["popular now", "bought often", "liked by similar shoppers", "liked by similar shoppers"],
        ["popular now", "liked by similar shoppers", "chosen before", "liked by similar shoppers"],
    ]


def test_features_of_the_action_are_the_widgets_own() -> None:
    action = [
        Feature("share/{widget}"),
        Feature("reward_mean/home/{widget}"),
        Feature("lately/after/{widget}"),
    ]
    parts = part_columns([Feature("intercept")], action, ["category:a", "trending"])
    assert parts["bought often"].tolist() == [[False, True, False, False]] * 2
    assert parts["chosen before"].tolist() == [[False, False, True, False]] * 2
    assert parts["after it now"].tolist() == [[False, False, False, True]] * 2
    assert sum(mask.astype(int) for mask in parts.values()).tolist() == [[1, 1, 1, 1]] * 2


def test_the_reason_is_the_part_that_lifts_a_widget_most_or_that_it_was_explored() -> None:
    context, action = (
        [Feature("intercept")],
        [Feature("share/{widget}"), Feature("reward_mean/home/{widget}")],
    )
    widgets = ["a", "b", "trending"]
    theta = np.array([[0.2, 1.0, 1.0], [0.2, 1.0, 1.0], [0.9, 1.0, 1.0]])
    model = LinUCB(1.0, 0.0).restore(theta, np.tile(np.eye(3), (3, 1, 1)))
    shared = np.ones((2, 1), dtype=np.float32)
    own = np.array(
        [[[0.9, 0.1], [0.2, 0.7], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.1], [0.0, 0.0]]], dtype=np.float32
    )
    parts = part_columns(context, action, widgets)
    scores = model.scores(shared, own)
    numbers = reasons(model, shared, own, scores, np.array([[0, 1], [2, 0]], dtype=np.int32), parts)
    words = [*parts, EXPLORED]
    assert [[words[number] for number in row] for row in numbers] == [
        ["bought often", "chosen before"],
        ["popular now", "explored"],
    ]
    assert phrase("trending", "popular now") == "trending"
    assert phrase("bestsellers", "popular now") == "popular now"
