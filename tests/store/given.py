"""Small nights to export: layouts, lists, widgets and products of whatever shape a test asks for."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from jobs.contracts import contract
from jobs.store.content import Inputs
from jobs.store.encode import COLUMNS
from jobs.store.export import Night

DAY = date(2017, 12, 30)
NOON = datetime(2017, 12, 31, 17, tzinfo=UTC)  # of the day that DAY's layouts are for, in New York
STRONGEST = ("subject", "category1", "category2")
LIST_COLUMNS = ("list_key", "kind", "subject", "category", "products")
CATEGORIES = ("SOFT DRINKS", "CHEESE", 'BREAD "FRESH"', "ÆBLER")


def hex_id(*parts: object) -> str:
    """Return 32 hex digits that depend on nothing but these."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def subject(number: int) -> str:
    return f"k1-{hex_id('subject', number)}"


def layout(who: str, page: str, epoch: int = 0, day: date = DAY, positions: int = 2) -> dict[str, Any]:
    """Return a row of `layouts` that depends on nothing but these."""
    seed = int(hex_id(who, page, epoch)[:8], 16)
    widgets = [f"category:{(seed + place) % 20}" for place in range(positions)]
    return {
        "subject": who,
        "page": page,
        "draw_id": hex_id(who, page, epoch),
        "drawn_date": day - timedelta(epoch % 7),
        "policy_version": f"linucb-{page}-{epoch % 3}",
        "widgets": widgets,
        "scores": [seed % 97 / 10 + place for place in range(positions)],
        "propensities": [1 / (2 + place) for place in range(positions)],
        "reasons": ["own_visits" if place else "explores" for place in range(positions)],
    }


def layouts(
    subjects: Iterable[int], epochs: Mapping[int, int] | None = None, pages: Sequence[str] = ("home", "start")
):
    """Return a night's rows: these subjects' and 64 default variants, for each page."""
    rows = [layout(subject(n), page, (epochs or {}).get(n, 0)) for n in subjects for page in pages]
    return rows + [layout(f"default:{page}:{n:02d}", page) for page in pages for n in range(64)]


def lists(subjects: Iterable[int] = ()) -> list[dict[str, Any]]:
    """Return lists of the shop and of these subjects."""
    shared = [
        {
            "list_key": name,
            "kind": name,
            "subject": "",
            "category": "",
            "products": [f"{n}" for n in range(start, start + 12)],
        }
        for name, start in (("bestsellers", 0), ("trending", 30))
    ]
    shared += [
        {
            "list_key": f"category:{category}",
            "kind": "category",
            "subject": "",
            "category": category,
            "products": [str(100 * place + n) for n in range(12)],
        }
        for place, category in enumerate(CATEGORIES)
    ]
    return shared + [row for n in subjects for row in own_lists(n)]


def own_lists(number: int) -> list[dict[str, Any]]:
    """Return a subject's own lists, of two categories."""
    who, first, second = subject(number), number % 4, (number + 1) % 4
    return [
        {
            "list_key": f"own:{who}:{CATEGORIES[place]}",
            "kind": "own",
            "subject": who,
            "category": CATEGORIES[place],
            "products": [str(100 * place + n) for n in (5, 50 + number % 9, 7)],
        }
        for place in (first, second)
    ]


def inputs(
    layout_rows: Sequence[Mapping[str, Any]],
    list_rows: Sequence[Mapping[str, Any]] | None = None,
    batch: int = 1000,
) -> Inputs:
    """Return these rows as an export reads them, with widgets and products that fit them."""
    all_lists = lists() if list_rows is None else list_rows
    night_layouts = _table("layouts", layout_rows, COLUMNS)
    own = [row for row in all_lists if row["kind"] == "own"]
    categories: dict[str, set[str]] = {}
    for row in own:
        of = categories.setdefault(row["subject"], set())
        of.update({row["category"]} & set(CATEGORIES))
    strongest = [
        {"subject": who, **dict(zip(STRONGEST[1:], sorted(names, key=CATEGORIES.index), strict=False))}
        for who, names in categories.items()
    ]
    shared = [row for row in all_lists if row["kind"] != "own"]
    widgets = [
        {"widget": f"category:{n}", "kind": "carousel", "category": CATEGORIES[n % 4]} for n in range(20)
    ]
    widgets += [
        {"widget": name, "kind": "carousel"} for name in ("category1", "category2", "bestsellers", "trending")
    ]
    products = [
        {
            "product_id": str(n),
            "name": f"Product {n}",
            "category": CATEGORIES[n // 100],
            "department": "GROCERY",
        }
        for n in range(400)
    ]
    return Inputs(
        layouts=lambda columns: night_layouts.select(list(columns)).to_reader(batch),
        strongest=_table("subject_features", strongest, STRONGEST).to_reader(batch),
        own_lists=_table("product_lists", own, LIST_COLUMNS).to_reader(batch),
        shared_lists=_table("product_lists", shared, LIST_COLUMNS),
        widgets=_table("widgets", widgets, None),
        products=_table("products", products, None),
    )


def night(day: date = DAY, run_id: str = "run-1") -> Night:
    """Return the terms of a night's generation in the demo."""
    return Night(day, "America/New_York", 3, datetime(2017, 12, 31, 8, tzinfo=UTC), run_id)


def _table(name: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None) -> pa.Table:
    schema = contract(name).arrow_schema
    wanted = pa.schema([schema.field(column) for column in columns or schema.names])
    return pa.Table.from_pylist([dict(row) for row in rows], schema=wanted)


def on_home(inputs: Inputs) -> Inputs:
    """Return inputs in which page home chooses from the categories."""
    pages = [
        ["home"] if name.startswith("category:") else None for name in inputs.widgets["widget"].to_pylist()
    ]
    place, kind = inputs.widgets.schema.get_field_index("pages"), pa.list_(pa.string())
    return replace(inputs, widgets=inputs.widgets.set_column(place, "pages", pa.array(pages, kind)))
