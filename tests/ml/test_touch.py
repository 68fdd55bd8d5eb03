"""Last touch agrees with its plain definition."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.touch import last_touch

few = st.integers(0, 3)
shows = st.lists(st.tuples(few, st.integers(0, 9), st.integers(-1, 2), st.integers(0, 5)), max_size=12)
acts = st.lists(st.tuples(few, st.integers(0, 9), st.integers(-1, 3)), max_size=12)


@settings(max_examples=300, deadline=None)
@given(shows, acts, st.integers(0, 2))
def test_the_latest_of_the_same_kind_is_found(
    shown: list[tuple[int, ...]], happened: list[tuple[int, ...]], skew: int
) -> None:
    shown, happened = sorted(shown, key=lambda row: row[:2]), sorted(happened)
    found = last_touch(
        tuple(np.array([row[c] for row in shown], np.int64) for c in range(4)),  # type: ignore[arg-type]
        tuple(np.array([row[c] for row in happened], np.int64) for c in range(3)),  # type: ignore[arg-type]
        kinds=3,
        skew=skew,
    )
    for (subject, when, kind), row in zip(happened, found.tolist(), strict=True):
        before = [
            (at, rank)
            for of, at, like, rank in shown
            if of == subject and like == kind and 0 <= kind < 3 and at <= when + skew
        ]
        assert (row == -1) == (not before)
        if before:
            assert (shown[row][1], shown[row][3]) == max(before)
            assert (shown[row][0], shown[row][2]) == (subject, kind)
