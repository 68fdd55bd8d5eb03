"""What the widgets of a layout show: products, each with what a tile needs."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jobs.store.backends import Colour
    from jobs.store.reader import Layout

TILES = 12
OWN_TILES = 6
PERSONAL = ("category1", "category2")
OF_PURPOSE = ("buy again", "recently viewed", "bought together")
"""Purposes of widgets that show a subject's own list of that name."""
BOUGHT = "bought in "


def bought_list(days: int) -> str:
    """Return the name of a subject's own list of what it bought in the last days."""
    return f"{BOUGHT}{days} days"


def own_categories(own: Mapping[str, Any]) -> list[str]:
    """Return the categories that a subject's own lists name: by category, or as its strongest."""
    named = (value if isinstance(value, str) else name for name, value in own.items())
    return [name for name in named if name not in OF_PURPOSE and not name.startswith(BOUGHT)]


class Tile(NamedTuple):
    """A product as it stands in a carousel."""

    product_id: str
    name: str
    department: str
    category: str
    brand: str
    size: str
    is_own: bool


class Slot(NamedTuple):
    """A position of a layout: its widget, what it shows, and why it is there."""

    position: int
    widget: str
    category: str
    labels: Mapping[str, Any]
    tiles: tuple[Tile, ...]
    reason: str
    score: float
    propensity: float


class Page(NamedTuple):
    """A layout with what its widgets show."""

    layout: "Layout"
    slots: tuple[Slot, ...]


def product_lists(colour: "Colour", names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return lists by name, empty where there is none."""
    wanted = list(names)
    values = colour.get_all(f"list:{name}".encode() for name in wanted)
    return {
        name: tuple(json.loads(value)) if value else () for name, value in zip(wanted, values, strict=True)
    }


def compose(colour: "Colour", subject: str, layout: "Layout", about: Mapping[str, Any]) -> tuple[Slot, ...]:
    """Fill each widget with products: the subject's own first, then the list's, 12 in all, none twice.

    about : what is said of the page; where it says so, what the subject bought lately comes last.
    """
    widgets = [
        _parsed(value) for value in colour.get_all(f"widget:{name}".encode() for name in layout.widgets)
    ]
    nobody, mine = map(_parsed, colour.get_all([b"own:", f"own:{subject}".encode()]))
    own = {**nobody, **mine}
    lately = frozenset(own.get(bought_list(about["bought_days"]), ()) if "bought_days" in about else ())
    chosen = [_own(name, labels, own) for name, labels in zip(layout.widgets, widgets, strict=True)]
    names = [
        f"category:{category}" if category else widget
        for widget, (category, _) in zip(layout.widgets, chosen, strict=True)
    ]
    lists = product_lists(colour, names)
    picked = [
        _picked([*mine, *lists[name]], frozenset() if _is_again(labels) else lately)
        for (_, mine), name, labels in zip(chosen, names, widgets, strict=True)
    ]
    ids = sorted({product for products in picked for product in products})
    products = dict(
        zip(ids, map(_parsed, colour.get_all(f"product:{key}".encode() for key in ids)), strict=True)
    )
    return tuple(
        Slot(
            position,
            widget,
            chosen[position][0],
            widgets[position],
            _tiles(picked[position], products, _bought(widgets[position], chosen[position][1])),
            layout.reasons[position],
            layout.scores[position],
            layout.propensities[position],
        )
        for position, widget in enumerate(layout.widgets)
    )


def _picked(products: Iterable[str], last: Collection[str]) -> list[str]:
    """Return what a widget shows, each once and some of them last."""
    return sorted(dict.fromkeys(products), key=lambda product: product in last)[:TILES]


def _is_again(labels: Mapping[str, Any]) -> bool:
    return labels.get("purpose") == OF_PURPOSE[0]


def _own(widget: str, labels: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
    """Return a widget's category (empty: it shows the whole shop) and the subject's own products in it."""
    if (purpose := labels.get("purpose")) in OF_PURPOSE:
        return "", own.get(str(purpose), ())[:TILES]
    category = str(own.get(widget) if widget in PERSONAL else labels.get("category") or "")
    return category, own.get(category, ())[:OWN_TILES]


def _bought(labels: Mapping[str, Any], mine: Sequence[str]) -> Sequence[str]:
    """Return which of the subject's own list it has bought before: not what goes with it or was looked at."""
    return mine if labels.get("purpose") in (None, OF_PURPOSE[0]) else ()


def _tiles(
    ids: Sequence[str], products: Mapping[str, Mapping[str, Any]], own: Sequence[str]
) -> tuple[Tile, ...]:
    """Leave out what has left the catalogue."""
    return tuple(_tile(key, products[key], key in own) for key in ids if products[key])


def _tile(product_id: str, product: Mapping[str, str], is_own: bool) -> Tile:
    texts = {name: product.get(name, "") for name in ("name", "department", "category", "brand", "size")}
    return Tile(product_id, is_own=is_own, **texts)


def _parsed(value: bytes | None) -> dict[str, Any]:
    return json.loads(value) if value else {}
