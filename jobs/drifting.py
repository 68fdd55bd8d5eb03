"""What has moved, from rows of `drift`: what is news of a day, what moves by nature, and how far, in words.

Plain values in, plain values out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

from jobs.drift_counts import ALARM, EVERYONE, STEADY, TRAINING, WATCH
from jobs.model_specs import ModelSpec

MOST_NAMED = 3
MOST_DISTANT = 100
RANK = {STEADY: 0, WATCH: 1, ALARM: 2}

Row = Mapping[str, Any]
Key = tuple[str, str, str]


@dataclass(frozen=True)
class News:
    """What came to a level on a day on which it was lower the time before, the strongest first."""

    day: date
    level: str
    rows: Sequence[Row]

    @property
    def why(self) -> str:
        """The strongest of them in words."""
        named = "; ".join(in_words(row) for row in self.rows[:MOST_NAMED])
        more = len(self.rows) - MOST_NAMED
        return f"{named}; and {more} more" if more > 0 else named


def by_nature(specs: Mapping[str, ModelSpec], names: Iterable[str]) -> set[str]:
    """Return those of these names that grow by nature, as some spec of conf/models has it: no drift."""
    patterns = {pattern for spec in specs.values() for pattern in spec.bounds.grows}
    return {name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}


def news(rows: Iterable[Row], day: date, grown: Iterable[str] = ()) -> News | None:
    """Return what is new of a day among everyone's rows: alarms, else what is watched; None where nothing is.

    What came to its level on the day before already, or moves by nature, is no news.
    """
    left_out, nights = set(grown), dict[date, list[Row]]()
    for row in rows:
        if row["who"] == EVERYONE and row["name"] not in left_out and row["drift_date"] <= day:
            nights.setdefault(row["drift_date"], []).append(row)
    levels = {
        night: {key: by[EVERYONE] for key, by in strongest(own).items()} for night, own in nights.items()
    }
    today = levels.pop(day, {})
    before = levels[max(levels)] if levels else {}
    for level in (ALARM, WATCH):
        new = [
            row
            for key, row in today.items()
            if row["level"] == level and RANK[before[key]["level"] if key in before else STEADY] < RANK[level]
        ]
        if new:
            return News(day, level, sorted(new, key=strength, reverse=True))
    return None


def in_words(row: Row) -> str:
    """Say how far a quantity has gone."""
    since = "since training" if row["against"] == TRAINING else "since the last sales period"
    shift = row["shift"]  # rows of before the column was have none
    far = "distance unknown" if shift is None else f"{distance(shift)} standard deviations"
    return f"{row['kind']} {row['name']} {since} (index {row['psi']:.2f}, {far})"


def distance(shift: float) -> str:
    """Return a distance in standard deviations of before as a figure."""
    return f"{shift:.1f}" if shift < MOST_DISTANT else f"over {MOST_DISTANT}"


def strongest(rows: Iterable[Row]) -> dict[Key, dict[str, Row]]:
    """By quantity and group the row that moved most: of several champions the one that is furthest."""
    found: dict[Key, dict[str, Row]] = {}
    for row in rows:
        own = found.setdefault(key_of(row), {})
        known = own.get(row["who"])
        if known is None or strength(row) > strength(known):
            own[row["who"]] = row
    return found


def key_of(row: Row) -> Key:
    """Name the quantity that was compared, and with what."""
    return row["kind"], row["name"], row["against"]


def strength(row: Row) -> tuple[int, float]:
    """Rank a comparison: by its level, then by its index."""
    return RANK[row["level"]], row["psi"]
