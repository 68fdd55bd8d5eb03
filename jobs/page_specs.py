"""Pages, conf/pages: positions, the policy that fills them, the goals and the rules that they are steered by.

Positions are counted from 1 here, as people count them, and from 0 everywhere else.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from jobs.kinds import FILL_BASKET, KINDS, Moment
from jobs.page_filters import ANY, Bought, Filters, Seen, for_every_kind

REWARD, DIVERSITY = "reward", "diversity"
GOALS = (REWARD, "click", "quality", "revenue", "freshness", DIVERSITY)
"""What a page may be drawn for; `jobs.page_goals` defines each."""

Role = Literal["consultant", "recruiter", "customer", "direct"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Diversity(_Section):
    """What redundancy costs a widget, in units of reward, by its likeness to those that stand above it.

    mmr: a widget whose labels are all those of one above it loses `strength`. dpp: it loses `strength` times
    minus the log of what is left of it beside all above it together.
    """

    kind: Literal["mmr", "dpp", "none"]
    strength: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _means_something(self) -> "Diversity":
        if (self.kind == "none") != (self.strength == 0):
            raise ValueError(
                f"kind {self.kind} at strength {self.strength}: mmr and dpp need one above 0, none 0"
            )
        return self


class Audience(_Section):
    """Whom a widget is for: these roles, in these regions, on these devices, at these parts of the day.

    An empty list means all. Devices and parts of the day count on pages that have variants of them.
    """

    roles: list[Role] = []
    regions: list[str] = []
    devices: list[str] = []
    dayparts: list[str] = []

    @model_validator(mode="after")
    def _is_some(self) -> "Audience":
        if not any((self.roles, self.regions, self.devices, self.dayparts)):
            raise ValueError("name the roles, regions, devices or dayparts of a widget, or leave it out")
        return self

    def has(self, role: str | None, region: str | None, parts: Collection[str] = ()) -> bool:
        """Tell whether someone belongs to it: never who has no known role or region, where it counts.

        parts : of the variant of the page, as phone and evening.
        """
        is_one = (not self.roles or role in self.roles) and (not self.regions or region in self.regions)
        return is_one and all(
            not some or not set(some).isdisjoint(parts) for some in (self.devices, self.dayparts)
        )


class PageRules(_Section):
    """What may stand where on a page; see `ml.rank.rules` for what each comes to.

    caps: most places by theme. spacing: least number of widgets between two of one theme. pins: widgets by
    position. blocked: pairs that never share the page. eligible: by widget whom it is for. already_bought,
    seen_too_often: what keeps a widget from a subject (`jobs.page_filters`), for all kinds or by kind.
    """

    diversity: Diversity = Diversity(kind="none")
    caps: dict[str, Annotated[int, Field(ge=0)]] = {}
    spacing: int = Field(default=0, ge=0)
    pins: dict[int, str] = {}
    blocked: list[tuple[str, str]] = []
    eligible: dict[str, Audience] = {}
    already_bought: dict[str, Bought] = {}
    seen_too_often: dict[str, Seen] = {}

    @field_validator("already_bought", "seen_too_often", mode="before")
    @classmethod
    def _of_every_kind(cls, given: object) -> object:
        return for_every_kind(given)

    @model_validator(mode="before")
    @classmethod
    def _pairs(cls, given: object) -> object:
        if isinstance(given, dict) and isinstance(given.get("blocked"), list):
            for pair in given["blocked"]:
                if not isinstance(pair, list | tuple) or len(pair) != 2 or pair[0] == pair[1]:
                    raise ValueError(f"blocked holds pairs of two widgets, as [a, b]: not {pair}")
        return given

    @field_validator("pins")
    @classmethod
    def _once(cls, pins: dict[int, str]) -> dict[int, str]:
        names = list(pins.values())
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]!r} is pinned twice; a page shows a widget once")
        return pins

    @model_validator(mode="after")
    def _can_be(self) -> "PageRules":
        pinned = set(self.pins.values())
        if both := [pair for pair in self.blocked if set(pair) <= pinned]:
            raise ValueError(f"{both[0][0]!r} and {both[0][1]!r} are pinned, and blocked beside each other")
        return self

    @property
    def filters(self) -> Filters:
        """What keeps widgets from a subject."""
        return Filters(already_bought=self.already_bought, seen_too_often=self.seen_too_often)

    @property
    def named(self) -> dict[str, str]:
        """By widget the first rule that names it."""
        found = [(name, "pins") for name in self.pins.values()]
        found += [(name, "blocked") for pair in self.blocked for name in pair]
        found += [(name, "eligible") for name in self.eligible]
        return dict(reversed(found))

    @property
    def in_words(self) -> str:
        """All that they say, in one line: two lines, two sets of rules."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        told = [f"{name} {json.dumps(said[name], sort_keys=True)}" for name in sorted(said)]
        return ", ".join(told).replace('"', "") or "rules that say nothing"


class Goals(_Section):
    """What a page is drawn for: weights by goal, and what they are weighed in.

    weights: by goal of `GOALS`, 0 or more. differences: how much each typically differs between a page's
    widgets, as `vitrine goals preview` measures and prints it; kept, so that a weight means the same every
    night. That of reward is the unit of what a page is drawn by.
    """

    weights: dict[str, float]
    differences: dict[str, float]

    @model_validator(mode="after")
    def _weigh_something(self) -> "Goals":
        check_weights(self.weights)
        needed = {REWARD, *(name for name, weight in self.weights.items() if weight > 0)}
        for name in sorted(needed | set(self.differences)):
            difference = self.differences.get(name, math.nan)
            if name not in GOALS or not (math.isfinite(difference) and difference > 0):
                raise ValueError(
                    f"differences needs a number above 0 for {name!r}, one of {', '.join(GOALS)}: copy the"
                    " lines that `vitrine goals preview` prints"
                )
        return self

    @property
    def price_of_likeness(self) -> float:
        """What it costs a widget, in units of reward, to have all labels of one above it."""
        weight = self.weights.get(DIVERSITY, 0.0)
        if weight == 0:
            return 0.0
        share = weight / sum(self.weights.values())
        return share * self.differences[REWARD] / self.differences[DIVERSITY]

    @property
    def in_words(self) -> str:
        """The weights, and what they are weighed in, in one line: two lines, two sets of goals."""
        return (
            "goals "
            + ", ".join(
                f"{name} {self.weights[name]:g} by {self.differences.get(name, 0):g}"
                for name in sorted(self.weights)
            )
            + f" in units of {self.differences[REWARD]:g}"
        )


def check_weights(weights: Mapping[str, float]) -> None:
    """Refuse weights that cannot be, with one sentence."""
    for name, weight in weights.items():
        if name not in GOALS:
            raise ValueError(f"weight of {name!r}: there is no such goal, only {', '.join(GOALS)}")
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight of {name!r} is {weight:g}, but a weight is a number of 0 or more")
    if not any(weights.values()):
        raise ValueError("all weights are 0: give at least one goal a weight above 0")
    if not any(weight for name, weight in weights.items() if name != DIVERSITY):
        raise ValueError("diversity alone says nothing of what to show: give another goal a weight above 0")


NOT_DRAWN = frozenset({"bought_products"})
"""What a page says of its products: its draws know nothing of it."""


class Page(_Section):
    """A page: its positions, the policy that fills them, its goals and its rules, if any.

    moment: it helps to fill a basket, or it is the last call at check-out, where nothing stands that sends
    the buyer back to browsing (`jobs.kinds`). variants: what it has layouts of its own for. bought_products:
    what the subject bought so lately stands behind all else of a carousel, unless that is to buy again.
    """

    page: str
    moment: Moment = FILL_BASKET
    variants: list[Literal["device", "daypart"]] = []
    positions: int = Field(gt=0)
    policy: str
    temperature: float = Field(gt=0)
    floor: float = Field(ge=0, lt=1)
    rules: PageRules | None = None
    goals: Goals | None = None
    bought_products: Bought | None = None

    @model_validator(mode="after")
    def _says_diversity_once(self) -> "Page":
        if self.goals and self.goals.price_of_likeness and self.rules and self.rules.diversity.kind != "none":
            raise ValueError("rules.diversity and goals.weights.diversity say the same: keep one of them")
        return self

    @property
    def steered(self) -> PageRules | None:
        """The rules that the page is drawn under: its own, with the diversity that its goals ask for."""
        if self.goals is None or not self.goals.price_of_likeness:
            return self.rules
        asked = Diversity(kind="mmr", strength=self.goals.price_of_likeness)
        return (self.rules or PageRules()).model_copy(update={"diversity": asked})

    @model_validator(mode="after")
    def _asks_once(self) -> "Page":
        if len(set(self.variants)) < len(self.variants):
            raise ValueError("variants names one twice")
        asked = self.rules.eligible.values() if self.rules else ()
        for name, some in (("device", "devices"), ("daypart", "dayparts")):
            if name not in self.variants and any(getattr(each, some) for each in asked):
                raise ValueError(f"rules.eligible names {some}, but the page has no variants of {name}")
        return self

    @model_validator(mode="after")
    def _has_room(self) -> "Page":
        pins = self.rules.pins if self.rules else {}
        if len(pins) > self.positions:
            raise ValueError(
                f"{len(pins)} pins do not fit a page of {self.positions} positions: take some out"
            )
        if outside := sorted(at for at in pins if not 1 <= at <= self.positions):
            raise ValueError(
                f"rules.pins names position {outside[0]}, but this page has positions 1 to {self.positions}"
            )
        return self

    def mistakes(self, themes: Collection[str]) -> Iterator[str]:
        """Say what cannot be, given the themes that widgets may have."""
        rules = self.rules
        if rules is None:
            return
        if unknown := sorted(set(rules.caps) - set(themes)):
            yield f"rules.caps: theme {unknown[0]!r} is none of conf/labels.yaml: {', '.join(sorted(themes))}"
        if not rules.pins and themes and all(rules.caps.get(theme) == 0 for theme in themes):
            yield "rules.caps gives every theme 0 places: no widget is left for the page"
        for name, by_kind in (
            ("already_bought", rules.already_bought),
            ("seen_too_often", rules.seen_too_often),
        ):
            if strange := sorted(set(by_kind) - {ANY, *KINDS}):
                known = ", ".join((*KINDS, ANY))
                yield f"rules.{name} names {strange[0]!r}, which is no kind of widget: {known}"
