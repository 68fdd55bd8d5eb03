"""Circles of parents, against walking up from every node."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.circles import on_circle


def walked(parent: list[int]) -> list[bool]:
    """The plain way: whether a walk up from a node comes back to it."""
    found = []
    for node in range(len(parent)):
        at = parent[node]
        for _ in parent:
            if at in (-1, node):
                break
            at = parent[at]
        found.append(at == node)
    return found


@st.composite
def parents(draw: st.DrawFn) -> list[int]:
    n = draw(st.integers(0, 12))
    return draw(st.lists(st.integers(-1, n - 1), min_size=n, max_size=n))


@given(parents())
def test_as_by_walking_up(parent: list[int]) -> None:
    assert on_circle(np.array(parent, np.int64)).tolist() == walked(parent)


def test_a_long_chain_ends_and_what_hangs_below_a_circle_is_not_on_it() -> None:
    chain = np.arange(1000, dtype=np.int64) - 1
    assert not on_circle(chain).any()
    chain[0] = 2  # 0 → 2 → 1 → 0, with 997 below
    assert np.flatnonzero(on_circle(chain)).tolist() == [0, 1, 2]


def test_a_parent_that_is_no_node_is_told() -> None:
    with pytest.raises(ValueError, match="A parent must be -1 to 1, not 0 to 2"):
        on_circle(np.array([0, 2]))
