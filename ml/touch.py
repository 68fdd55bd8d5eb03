"""Last touch: of what was shown to a subject, the latest of the same kind before something happened."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
NONE = -1


def last_touch(
    shown: tuple[Ints, Ints, Ints, Ints], happened: tuple[Ints, Ints, Ints], *, kinds: int, skew: int
) -> Ints:
    """Return for each thing that happened the row of what was shown last, or -1.

    Parameters
    ----------
    shown
        subject, time, kind and rank of what was shown, each (n,), sorted by subject, then time. Of those
        shown at once, the highest rank counts as last.
    happened
        subject, time and kind of what happened, each (m,), sorted by subject, then time.
    kinds
        kinds are 0 to kinds - 1; any other, as -1, matches nothing.
    skew
        what was shown up to so much later than it happened still counts as before it.

    Returns
    -------
    (m,) int64. Both sides are walked once, in step: O(n + m + kinds).

    """
    return np.asarray(_last_touch(*shown, *happened, kinds, skew))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _last_touch(subject, at, kind, rank, of, when, like, kinds, skew):  # type: ignore[no-untyped-def]
    last = np.full(kinds, NONE, np.int64)
    owner = np.full(kinds, NONE, np.int64)
    found = np.full(len(of), NONE, np.int64)
    row, n = 0, len(subject)
    for i in range(len(of)):
        while row < n and subject[row] < of[i]:
            row += 1
        while row < n and subject[row] == of[i] and at[row] <= when[i] + skew:
            k = kind[row]
            if 0 <= k < kinds:
                before = last[k]
                if owner[k] != of[i] or at[before] < at[row] or rank[before] < rank[row]:
                    last[k], owner[k] = row, of[i]
            row += 1
        k = like[i]
        if 0 <= k < kinds and owner[k] == of[i]:
            found[i] = last[k]
    return found
