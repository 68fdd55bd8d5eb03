"""What may stand where on a page: pins, caps per theme, spacing, blocked pairs; and what variety is worth.

A page is filled position after position; who may stand at one follows from what stands before it and from the
pins, which are known ahead:

- A pinned widget stands at its position, for whoever it is eligible for, and nowhere else. Pins are kept free
  room: they count against the caps, and what is blocked beside them is out, from the first position on.
- A theme takes at most `caps` places. Where pins alone take more, pins win.
- Two widgets of a theme have at least `spacing` others between them, pins further down included. Where that
  leaves nobody for a position, it does not count there.
- Two widgets that are blocked never share a page.

Caps and blocks only ever take away: once they leave nobody, the pins that are left follow, and then the page
ends, shorter than it could be (-1).

Compiled callers keep on disk what they were compiled with here: after a change of this file, or of
`ml.rank.redundancy` and `ml.rank.alike`, remove the __pycache__ of ml/rank and ml/ope.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numba
import numpy as np
from numpy.typing import NDArray

NOBODY = -1
NO_CAP = np.iinfo(np.int32).max
NONE, MMR, DPP = 0, 1, 2
KINDS = {"none": NONE, "mmr": MMR, "dpp": DPP}


class Arrays(NamedTuple):
    """Rules as compiled functions take them; see `Rules`."""

    pins: NDArray[np.int32]
    themes: NDArray[np.int32]
    caps: NDArray[np.int32]
    spacing: np.int64
    blocked: NDArray[np.bool_]
    kind: np.int64
    strength: np.float64
    likeness: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rules:
    """The rules of a page over its k candidates.

    Attributes
    ----------
    pins
        (positions,) int32 columns of the pinned candidates, -1 where none is.
    themes
        (k,) int32 code of each candidate's theme, -1 for none.
    caps
        (m,) int32 most places by theme.
    spacing
        least number of others between two of one theme.
    blocked
        (k, k) bool, symmetric: pairs that never share a page.
    kind, strength, likeness
        how redundancy with what stands before is counted (`ml.rank.redundancy`), what it costs, in units of
        the scores, and the (k, k) float64 similarity that it is counted by.

    """

    pins: NDArray[np.int32]
    themes: NDArray[np.int32]
    caps: NDArray[np.int32]
    spacing: int
    blocked: NDArray[np.bool_]
    kind: int = NONE
    strength: float = 0.0
    likeness: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        candidates: Sequence[str],
        *,
        positions: int,
        themes: Mapping[str, str] | None = None,
        caps: Mapping[str, int] | None = None,
        spacing: int = 0,
        pins: Mapping[int, str] | None = None,
        blocked: Sequence[Sequence[str]] = (),
        kind: str = "none",
        strength: float = 0.0,
        likeness: NDArray[np.floating] | None = None,
    ) -> Self:
        """Bind rules by name to columns; a rule about a widget that is no candidate does nothing.

        `pins` are by position from 0, `themes` by widget; of a theme without a cap any number may stand.

        Raises
        ------
        ValueError
            On an unknown kind, a negative cap, spacing or strength, a pin outside the page, or a similarity
            that does not fit the candidates.

        """
        place = {widget: column for column, widget in enumerate(candidates)}
        names = sorted({*(themes or {}).values(), *(caps or {})})
        codes = {name: code for code, name in enumerate(names)}
        columns = np.full(positions, NOBODY, dtype=np.int32)
        for position, widget in (pins or {}).items():
            if not 0 <= position < positions:
                raise ValueError(f"a pin at position {position} lies outside a page of {positions} positions")
            columns[position] = place.get(widget, NOBODY)
        pairs = np.zeros((len(candidates), len(candidates)), dtype=np.bool_)
        for one, other in blocked:
            if one in place and other in place:
                pairs[place[one], place[other]] = pairs[place[other], place[one]] = True
        limits = [(caps or {}).get(name, NO_CAP) for name in names]
        if spacing < 0 or min(limits, default=0) < 0:
            raise ValueError("caps and spacing must be 0 or more")
        if kind not in KINDS or not strength >= 0:
            raise ValueError(
                f"variety is {', '.join(KINDS)} at a strength of 0 or more: not {kind}, {strength}"
            )
        themed = [codes.get((themes or {}).get(widget, ""), NOBODY) for widget in candidates]
        return cls(
            columns,
            np.array(themed, dtype=np.int32),
            np.array(limits, dtype=np.int32),
            spacing,
            pairs,
            KINDS[kind],
            strength,
            None if likeness is None else np.ascontiguousarray(likeness, dtype=np.float64),
        )

    def __post_init__(self) -> None:
        """Check that all are about the same candidates."""
        k = len(self.themes)
        if self.blocked.shape != (k, k):
            raise ValueError(f"blocked must have shape {(k, k)}, not {self.blocked.shape}")
        if self.kind != NONE and (self.likeness is None or self.likeness.shape != (k, k)):
            shape = None if self.likeness is None else self.likeness.shape
            raise ValueError(f"variety needs a similarity of shape {(k, k)}, not {shape}")
        if self.likeness is not None and not np.allclose(np.diag(self.likeness), 1.0):
            raise ValueError("similarity is 1 on its diagonal: every candidate is wholly similar to itself")
        if k and (self.pins.max(initial=NOBODY) >= k or self.themes.max() >= len(self.caps)):
            raise ValueError("a pin or theme names none of the candidates or caps")

    @property
    def stands(self) -> NDArray[np.bool_]:
        """(k,) whom they let stand anywhere: who is pinned, or of a theme that may have a place."""
        capped = self.caps[self.themes] == 0 if len(self.caps) else np.zeros(len(self.themes), dtype=np.bool_)
        found = ~(capped & (self.themes >= 0))
        found[self.pins[self.pins >= 0]] = True
        return found

    @property
    def is_empty(self) -> bool:
        """Whether they leave nobody, of all candidates, for any position."""
        return not self.stands.any()

    @property
    def arrays(self) -> Arrays:
        """What compiled functions take."""
        likeness = np.zeros((0, 0)) if self.likeness is None else self.likeness
        spacing, kind, strength = np.int64(self.spacing), np.int64(self.kind), np.float64(self.strength)
        return Arrays(self.pins, self.themes, self.caps, spacing, self.blocked, kind, strength, likeness)


@numba.njit(cache=True, nogil=True)
def pin_of(position, eligible, rules):  # type: ignore[no-untyped-def]
    """Return who is pinned to a position of this row, -1 for nobody."""
    pins = rules.pins
    if position < len(pins) and pins[position] >= 0 and eligible[pins[position]]:
        return pins[position]
    return -1


@numba.njit(cache=True, nogil=True)
def is_pinned(column, eligible, rules):  # type: ignore[no-untyped-def]
    """Tell whether a candidate is pinned to any position of this row."""
    for position in range(len(rules.pins)):  # noqa: SIM110 - compiled
        if pin_of(position, eligible, rules) == column:
            return True
    return False


@numba.njit(cache=True, nogil=True)
def begin(eligible, rules, left, counts):  # type: ignore[no-untyped-def]
    """Fill `left` with those who may stand at free positions at all, and `counts` with places by theme."""
    themes, caps = rules.themes, rules.caps
    counts[:] = 0
    for column in range(len(left)):
        left[column] = eligible[column] and (themes[column] < 0 or caps[themes[column]] > 0)
    for position in range(len(rules.pins)):
        pin = pin_of(position, eligible, rules)
        if pin >= 0:
            _take(pin, rules, left, counts)


@numba.njit(cache=True, nogil=True)
def options(position, slate, eligible, rules, left, allowed):  # type: ignore[no-untyped-def]
    """Fill `allowed` with those who may stand at a position, given the slate before it; return how many."""
    pin = pin_of(position, eligible, rules)
    if pin >= 0 and pin not in slate[:position]:
        allowed[:] = False
        allowed[pin] = True
        return 1
    if _spaced(position, slate, eligible, rules, left, allowed) > 0:
        return allowed.sum()
    allowed[:] = left
    if left.any():
        return left.sum()
    for later in range(position + 1, len(rules.pins)):
        pin = pin_of(later, eligible, rules)
        if pin >= 0 and pin not in slate[:position]:
            allowed[pin] = True
            return 1
    return 0


@numba.njit(cache=True, nogil=True)
def _spaced(position, slate, eligible, rules, left, allowed):  # type: ignore[no-untyped-def]
    """Fill `allowed` with those of `left` that are no near neighbour of their theme; return how many."""
    themes = rules.themes
    allowed[:] = left
    first, last = max(0, position - rules.spacing), min(len(rules.pins) - 1, position + rules.spacing)
    for there in range(first, last + 1):
        neighbour = slate[there] if there < position else pin_of(there, eligible, rules)
        if there != position and neighbour >= 0 and themes[neighbour] >= 0:
            for column in range(len(allowed)):
                if themes[column] == themes[neighbour]:
                    allowed[column] = False
    return allowed.sum()


@numba.njit(cache=True, nogil=True)
def place(chosen, eligible, rules, left, counts):  # type: ignore[no-untyped-def]
    """Note that the chosen one stands on the page; pins have been noted from the beginning."""
    if not is_pinned(chosen, eligible, rules):
        _take(chosen, rules, left, counts)


@numba.njit(cache=True, nogil=True)
def _take(chosen, rules, left, counts):  # type: ignore[no-untyped-def]
    """Take the chosen one, and whom it shuts out, from `left`."""
    themes, caps, blocked = rules.themes, rules.caps, rules.blocked
    theme = themes[chosen]
    left[chosen] = False
    if theme >= 0:
        counts[theme] += 1
    is_full = theme >= 0 and counts[theme] >= caps[theme]
    for column in range(len(left)):
        if blocked[chosen, column] or (is_full and themes[column] == theme):
            left[column] = False
