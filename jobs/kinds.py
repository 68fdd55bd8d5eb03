"""Kinds of widgets and what one of a kind may be for, conf/kinds.yaml.

    banner:
      any: {browsing: true}                              # of a banner that says nothing else
      bank offer: {browsing: false, reward: {click: 1}}

`browsing` says that it sends the buyer back to browsing: it has no place on a page of the last call. `reward`
is what counts for it in place of what conf/ says of rewards, as for a role: Σ worth · goal.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

Moment = Literal["fill basket", "last call"]
FILL_BASKET: Moment = "fill basket"
LAST_CALL: Moment = "last call"
ANY = "any"
KINDS = ("carousel", "banner", "call_to_action")
"""As the contract of `widgets` has them."""

Goal = Literal[
    "click", "detail", "basket", "revenue", "reorders", "team_sales", "recruits", "display_seconds"
]


class Purpose(BaseModel):
    """What holds for widgets of a kind that are for one thing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    browsing: bool
    reward: dict[Goal, Annotated[float, Field(ge=0)]] | None = None


class Kinds(BaseModel):
    """By kind its purposes; `any` holds where a widget names none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    carousel: Mapping[str, Purpose] = {}
    banner: Mapping[str, Purpose] = {}
    call_to_action: Mapping[str, Purpose] = {}

    def purposes(self, kind: str) -> Mapping[str, Purpose]:
        """Return the purposes of a kind."""
        return dict(getattr(self, kind)) if kind in KINDS else {}

    def may_stand(self, moment: Moment, kind: str | None, purpose: str | None) -> bool:
        """Tell whether a widget has a place on a page of a moment; one that nothing is said of sends back."""
        about = self.purposes(kind or "").get(purpose or ANY)
        return moment == FILL_BASKET or (about is not None and not about.browsing)

    def rewards(self) -> Iterator[tuple[str, str, dict[str, float]]]:
        """Yield kind and purpose of what has a reward of its own, with worths by goal."""
        for kind in KINDS:
            for purpose, about in sorted(self.purposes(kind).items()):
                if about.reward is not None:
                    yield kind, purpose, {str(goal): worth for goal, worth in about.reward.items()}


def reward_name(kind: str, purpose: str) -> str:
    """Return what a reward of a widget's own is called in `decisions`."""
    return f"{kind}/{purpose}"


NOTHING_SAID = Kinds()


def standing(widgets: pa.Table, moments: Mapping[str, Moment], kinds: Kinds) -> pa.Table:
    """Take from the `pages` of widgets those on which they have no place; `moments` are by page."""
    if all(moment == FILL_BASKET for moment in moments.values()) or not widgets.num_rows:
        return widgets
    columns = (widgets[name].to_pylist() for name in ("pages", "kind", "purpose"))
    kept = [
        [page for page in pages or () if kinds.may_stand(moments.get(page, FILL_BASKET), kind, purpose)]
        for pages, kind, purpose in zip(*columns, strict=True)
    ]
    place = widgets.schema.get_field_index("pages")
    return widgets.set_column(place, widgets.schema.field(place), pa.array(kept, pa.list_(pa.string())))
