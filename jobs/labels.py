"""The curated list of labels, conf/labels.yaml: what a widget's theme, core theme and intent may be.

    theme:
      bakery: {approved_by: [A. Person, B. Other], since: 2026-11-29}

Each value carries the names of the two or more people who approved it: one alone adds none.
"""

from collections.abc import Mapping
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

Label = Literal["theme", "core_theme", "intent"]

LABELS: tuple[Label, ...] = ("theme", "core_theme", "intent")
FEWEST_APPROVALS = 2


class Approval(BaseModel):
    """Who approved a value, and since when it may be used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    approved_by: tuple[str, ...]
    since: date

    @field_validator("approved_by", mode="before")
    @classmethod
    def _listed(cls, names: object) -> object:
        return tuple(names) if isinstance(names, list) else names

    @field_validator("approved_by")
    @classmethod
    def _enough(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        people = {" ".join(name.split()).casefold() for name in names if name.strip()}
        if len(people) < FEWEST_APPROVALS:
            raise ValueError("a label value needs the names of two different people who approved it")
        return names


class Labels(BaseModel):
    """By label its values, each with its approvals."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    theme: Mapping[str, Approval] = {}
    core_theme: Mapping[str, Approval] = {}
    intent: Mapping[str, Approval] = {}

    def values(self, label: Label) -> list[str]:
        """Return the values of a label, in order."""
        return sorted(getattr(self, label))
