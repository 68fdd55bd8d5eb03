"""Variants of layouts: which a page asks for, and what a draw of one knows.

Names are declared in conf/ (`variants`), a page asks for them (`variants: [device, daypart]`), and then each
subject has a layout of that page for each combination, as `phone.evening`. A page that asks for none has one,
whose variant is ''. A feature `variant/PART` is 1 on variants with that part, so that a policy may learn it.
"""

from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from jobs.page_specs import Page
from jobs.store.variants import BETWEEN

VARIANT = "variant/"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]


class VariantNames(BaseModel):
    """Kinds of device, and parts of the day by the hour they begin; the first of each is of the main one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: list[Name] = Field(default=["desktop", "phone"], min_length=1)
    daypart: dict[Name, Annotated[int, Field(ge=0, le=23)]] = Field(
        default={"day": 6, "evening": 18}, min_length=1
    )

    @model_validator(mode="after")
    def _tell_apart(self) -> "VariantNames":
        names = [*self.device, *self.daypart]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]!r} names two things")
        hours = list(self.daypart.values())
        if hours != sorted(set(hours)):
            raise ValueError("parts of the day stand in the order of their hours, each with one of its own")
        return self

    def of(self, page: Page) -> tuple[str, ...]:
        """Return a page's variants, the main one first."""
        asked = [list(getattr(self, name)) for name in page.variants]
        return tuple(BETWEEN.join(parts) for parts in product(*asked))

    def told(self, page: Page, zone: str) -> dict[str, Any]:
        """Return what `jobs.store.variants.choose` needs; empty for a page without variants."""
        found: dict[str, Any] = {}
        for name in page.variants:
            found[name] = self.device if name == "device" else [list(part) for part in self.daypart.items()]
        return found | ({"zone": zone} if "daypart" in found else {})

    def mistakes(self, page: Page) -> list[str]:
        """Say which parts a page's rules name that are none."""
        found = []
        for widget, audience in sorted((page.rules.eligible if page.rules else {}).items()):
            for name, of in (("devices", self.device), ("dayparts", list(self.daypart))):
                if strange := sorted(set(getattr(audience, name)) - set(of)):
                    known = ", ".join(of)
                    found.append(f"rules.eligible.{widget}.{name} names {strange[0]!r}, none of {known}")
        return found


NO_NAMES = VariantNames()


def parts_of(variant: str) -> frozenset[str]:
    """Return the parts of a variant, as phone and evening."""
    return frozenset(variant.split(BETWEEN)) if variant else frozenset()


def purpose(variant: str) -> str:
    """Return the purpose of the random numbers that a variant is drawn from: its own."""
    return f"draw {variant}" if variant else "draw"


def features(names: Sequence[str], variants: Sequence[str | None]) -> dict[str, NDArray[np.float64]]:
    """Return those features, (n,), that the variants of n draws tell: NaN where a draw has none."""
    own = [name for name in names if name.startswith(VARIANT)]
    parts = [parts_of(variant or "") for variant in variants] if own else []
    return {
        name: np.array([float(name.removeprefix(VARIANT) in of) if of else np.nan for of in parts])
        for name in own
    }
