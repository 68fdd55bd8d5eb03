"""Circles in a tree that should have none: who is, by following parents, an ancestor of itself."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def on_circle(parent: Integers) -> NDArray[np.bool_]:
    """Tell which nodes lie on a circle; those that only hang below one do not.

    Whoever is left after enough steps up has come to lie on a circle, and every node of a circle is reached
    from it. Steps are doubled (Wyllie 1979, pointer jumping) until no more nodes fall out: from then on
    parents only permute those that are left. That takes the logarithm of the longest chain.

    Parameters
    ----------
    parent
        (n,) int64: each node's parent, a number below n; -1 for none.

    Raises
    ------
    ValueError
        When a parent is no node.

    """
    n = len(parent)
    if n and not (parent.min() >= -1 and parent.max() < n):
        raise ValueError(f"A parent must be -1 to {n - 1}, not {parent.min()} to {parent.max()}.")
    # Node n stands for none, and is its own parent.
    above = np.append(np.where(parent < 0, n, parent), n)
    reached = np.unique(above)
    while True:
        above = above[above]
        further = np.unique(above)
        if len(further) == len(reached):
            break
        reached = further
    found = np.zeros(n + 1, dtype=bool)
    found[reached] = True
    return found[:n]
