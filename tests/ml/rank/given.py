"""Pages for tests: small, with any mixture of rules; and what the rules say, in plain words."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ml.rank.rules import Rules


@dataclass
class Given:
    """A page of k candidates named by their columns."""

    k: int
    positions: int
    themes: list[int]
    caps: dict[int, int] = field(default_factory=dict)
    spacing: int = 0
    pins: dict[int, int] = field(default_factory=dict)
    blocked: list[tuple[int, int]] = field(default_factory=list)
    eligible: Any = None
    seed: int = 0

    def rules(self, **more: Any) -> Rules:
        return Rules.of(
            [str(column) for column in range(self.k)],
            positions=self.positions,
            themes={str(column): f"t{theme}" for column, theme in enumerate(self.themes) if theme >= 0},
            caps={f"t{theme}": cap for theme, cap in self.caps.items()},
            spacing=self.spacing,
            pins={position: str(widget) for position, widget in self.pins.items()},
            blocked=[(str(one), str(other)) for one, other in self.blocked],
            **more,
        )


@st.composite
def page(draw: st.DrawFn) -> Given:
    k, positions = draw(st.integers(2, 7)), draw(st.integers(1, 5))
    pinned = draw(st.lists(st.integers(0, k - 1), unique=True, max_size=min(2, positions)))
    at = draw(st.permutations(range(positions)))
    themes = draw(st.lists(st.integers(-1, 2), min_size=k, max_size=k))
    pairs = st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)).filter(lambda pair: pair[0] != pair[1])
    blocked = [pair for pair in draw(st.lists(pairs, max_size=2)) if not set(pair) <= set(pinned)]
    eligible = draw(st.lists(st.booleans(), min_size=k, max_size=k))
    return Given(
        k, positions, themes,
        draw(st.dictionaries(st.sampled_from(range(3)), st.integers(0, 2), max_size=2)),
        draw(st.integers(0, 2)),
        dict(zip(at, pinned, strict=False)),
        blocked,
        np.array(eligible),
        draw(st.integers(0, 1000)),
    )  # fmt: skip


def allowed(given: Given, before: list[int], position: int) -> set[int]:
    """Who may stand at a position, as the rules are told to people."""
    pins = {place: widget for place, widget in given.pins.items() if given.eligible[widget]}
    if position in pins and pins[position] not in before:
        return {pins[position]}
    placed = {place: widget for place, widget in enumerate(before) if widget >= 0}
    there = {**pins, **placed}
    taken = {*pins.values(), *placed.values()}
    left = set()
    for widget in range(given.k):
        theme = given.themes[widget]
        count = sum(given.themes[other] == theme for other in taken)
        if (
            given.eligible[widget]
            and widget not in taken
            and not any({widget, other} == set(pair) for pair in given.blocked for other in taken)
            and (theme < 0 or count < given.caps.get(theme, 99))
        ):
            left.add(widget)
    spaced = {
        widget
        for widget in left
        if not any(
            given.themes[widget] >= 0
            and given.themes[other] == given.themes[widget]
            and abs(place - position) <= given.spacing
            for place, other in there.items()
        )
    }
    waiting = [pins[place] for place in sorted(pins) if place > position and pins[place] not in before]
    return spaced or left or set(waiting[:1])
