"""What sets a segment apart: standardised differences, a small tree in words, and a name to begin with."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DEPTH = 3
TELLING = 0.4
"""A difference below this many standard deviations gives no name."""


def differences(x: Floats, labels: Integers, k: int) -> Floats:
    """Return each segment's mean of scaled features x (n, d), (k, d): deviations from the mean of all."""
    return np.stack([x[labels == segment].mean(axis=0) for segment in range(k)])


def name_in_words(means: Floats, words: Sequence[tuple[str, str]]) -> list[str]:
    """Name each segment by its two most telling differences, by more where two would be the same.

    Args:
        means: (k, d) from `differences`.
        words: for each feature what a low and what a high value is called.

    """
    names: list[str] = []
    for mean in means:
        order = [j for j in np.argsort(-np.abs(mean), kind="stable") if abs(mean[j]) >= TELLING]
        told = list(dict.fromkeys(words[j][int(mean[j] > 0)] for j in order))
        longer = (", ".join(told[:count]) or "average" for count in range(2, max(len(told), 2) + 1))
        name = next((name for name in longer if name not in names), ", ".join(told[:2]) or "average")
        taken = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({taken + 1})" if taken else name)
    return names


def describe_tree(
    values: Floats,
    labels: Integers,
    names: Sequence[str],
    k: int,
    *,
    meanings: Mapping[str, str] | None = None,
) -> list[str]:
    """Fit a small decision tree (Breiman et al. 1984) and give each segment's main rule in words.

    Args:
        values: (n, d) features as people know them, not scaled.
        labels: (n,) segments.
        names: of the features.
        k: number of segments.
        meanings: what a feature is called in words; its name by default.

    """
    tree = DecisionTreeClassifier(
        max_depth=DEPTH, min_samples_leaf=max(len(values) // 100, 1), random_state=0
    ).fit(values, labels)
    called = [(meanings or {}).get(name) or name for name in names]
    paths = _paths(tree, called)
    leaves = tree.apply(values)
    told = []
    for segment in range(k):
        inside = labels == segment
        counts = {leaf: int((leaves[inside] == leaf).sum()) for leaf in paths}
        best = max(counts, key=lambda leaf: (counts[leaf], -leaf))
        of_leaf = int((leaves == best).sum())
        told.append(
            f"{paths[best]}: holds {counts[best] / max(inside.sum(), 1):.0%} of the segment;"
            f" {counts[best] / max(of_leaf, 1):.0%} of those it names belong to it"
        )
    return told


def _paths(tree: DecisionTreeClassifier, names: Sequence[str]) -> dict[int, str]:
    """By leaf, the conditions on the way to it, those of one feature joined."""
    nodes = tree.tree_
    found: dict[int, str] = {}
    waiting: list[tuple[int, dict[str, tuple[float, float]]]] = [(0, {})]
    while waiting:
        node, bounds = waiting.pop()
        if nodes.children_left[node] < 0:
            found[node] = " and ".join(_said(name, *limits) for name, limits in bounds.items()) or "everyone"
            continue
        name, cut = names[nodes.feature[node]], float(nodes.threshold[node])
        low, high = bounds.get(name, (-np.inf, np.inf))
        waiting.append((int(nodes.children_right[node]), {**bounds, name: (cut, high)}))
        waiting.append((int(nodes.children_left[node]), {**bounds, name: (low, cut)}))
    return found


def _said(name: str, low: float, high: float) -> str:
    if np.isinf(low):
        return f"{name} at most {high:.4g}"
    return f"{name} above {low:.4g}" if np.isinf(high) else f"{name} from {low:.4g} to {high:.4g}"
