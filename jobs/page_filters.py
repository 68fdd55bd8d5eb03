"""Filters of a page: widgets that a subject needs no more, or has looked past too often.

    already_bought   the widget shows a category of which the subject bought within the last `days`
    seen_too_often   the subject saw the widget on this page `times` times or more in the last `days`, and
                     nothing came of any of them

Both ask features of the day of the draw (`jobs.lately`), so what came later never counts. They act before the
draw, on who may stand at all: propensities stay exact. A pinned widget stands whatever they say, and where
they would leave a page shorter than it could be, they give way. Arrays in, arrays out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from jobs import maps

ANY = "any"
"""The kind that stands for every kind of widget that is not named itself."""
BETWEEN = ": "
LONGEST_DAYS = 84
BOUGHT, UNCLICKED = "lately/bought", "lately/unclicked"

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Labels = Mapping[str, Mapping[str, Any]]


class Bought(BaseModel):
    """Kept out for `days` days after a purchase."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(gt=0, le=LONGEST_DAYS)

    def key(self, _page: str, widget: str) -> str:
        """Return the feature that tells the days since the purchase."""
        return f"{BOUGHT}/{widget}"

    def speaks(self, values: Floats) -> Flags:
        """Tell where the feature speaks against the widget."""
        return values <= self.days

    def words(self, value: float) -> str:
        """Say why, as one of a list of reasons."""
        return "bought the day before" if value <= 1 else f"bought {value:.0f} days before"


class Seen(BaseModel):
    """Kept out once seen `times` times in the last `days` days without a click."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    times: int = Field(gt=0)
    days: int = Field(gt=0, le=LONGEST_DAYS)

    def key(self, page: str, widget: str) -> str:
        """Return the feature that tells the sights without a click."""
        return f"{UNCLICKED}/{self.days}/{page}/{widget}"

    def speaks(self, values: Floats) -> Flags:
        """Tell where the feature speaks against the widget."""
        return values >= self.times

    def words(self, value: float) -> str:
        """Say why, as one of a list of reasons."""
        often = "once" if value == 1 else f"{value:.0f} times"
        return f"seen {often} in {self.days} days without a click"


class Filters(BaseModel):
    """What keeps widgets from a subject's page, by kind of widget; `any` is every kind not named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    already_bought: dict[str, Bought] = {}
    seen_too_often: dict[str, Seen] = {}

    def of(self, kind: str | None) -> list[Bought | Seen]:
        """Return the filters of a kind of widget."""
        both: list[Mapping[str, Any]] = [self.already_bought, self.seen_too_often]
        found = (each.get(kind or ANY, each.get(ANY)) for each in both)
        return [one for one in found if one is not None]

    @property
    def text(self) -> dict[str, Any]:
        """All that they say, as plain values; empty where they say nothing."""
        return self.model_dump(mode="json", exclude_defaults=True)


def for_every_kind(given: object) -> object:
    """Take a filter given without kinds, as {days: 14}, for one of every kind."""
    is_plain = isinstance(given, dict) and given and set(given) <= {"times", "days"}
    return {ANY: given} if is_plain else given


class Spoken:
    """What filters say of n subjects and k candidates."""

    def __init__(
        self,
        filters: Filters,
        page: str,
        candidates: Sequence[str],
        labels: Labels,
        lately: pa.MapArray,
        *,
        pinned: Sequence[str] = (),
    ) -> None:
        """Ask the features of subjects, `lately` (n,)."""
        self.candidates = candidates
        self.asked = [
            (column, one, one.key(page, widget))
            for column, widget in enumerate(candidates)
            if widget not in pinned
            for one in filters.of(labels.get(widget, {}).get("kind"))
        ]
        keys = [key for _, _, key in self.asked]
        self.values = maps.table(lately, list(dict.fromkeys(keys)))
        self.at = [list(dict.fromkeys(keys)).index(key) for key in keys]

    @property
    def against(self) -> Flags:
        """(n, k) whether anything speaks against a candidate."""
        found = np.zeros((len(self.values), len(self.candidates)), dtype=np.bool_)
        for (column, one, _), at in zip(self.asked, self.at, strict=True):
            found[:, column] |= one.speaks(self.values[:, at])
        return found

    def words(self, against: Flags) -> pa.ListArray:
        """Return for each subject what is said, as WIDGET: WHY, of those (n, k) that are wanted."""
        told: list[dict[str, str]] = [{} for _ in self.values]
        for (column, one, _), at in zip(self.asked, self.at, strict=True):
            values, widget = self.values[:, at], self.candidates[column]
            for row in np.flatnonzero(one.speaks(values) & against[:, column]):
                before = f"{told[row][widget]}, " if widget in told[row] else ""
                told[row][widget] = before + one.words(values[row])
        listed = [[f"{widget}{BETWEEN}{why}" for widget, why in of.items()] for of in told]
        return pa.array(listed, pa.list_(pa.string()))


def give_way(audience: Flags, against: Flags, stands: Flags, positions: int) -> Flags:
    """Return (n, k) who may stand: whom nothing speaks against, but everyone where that leaves too few.

    audience: (n, k) for whom a candidate is. stands: (k,) whom the page's other rules let stand at all.
    """
    kept = audience & ~against
    full = np.minimum((audience & stands).sum(axis=1), positions)
    is_short = (kept & stands).sum(axis=1) < full
    return np.where(is_short[:, None], audience, kept)
