"""What a synthetic lake holds beside sessions: orders and their lines, and every entity."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa

from jobs.synth.people import AGES, CATEGORIES, REGIONS, ROLES, Ints, People
from jobs.synth.sessions import CAROUSELS, HOME_WIDGETS, START_WIDGETS, Sessions
from jobs.synth.size import Size, Stream

CLOSING_DAYS = 28
DEPARTMENTS = 8


def orders(size: Size, people: People, sessions: Sessions, block: int, day: int) -> tuple[pa.Table, pa.Table]:
    """Return a block's orders of a day, and their lines: what was put into the basket, and some more."""
    rng = size.numbers(Stream.ORDERS, block, day)
    visits, at = sessions.order_visit, sessions.order_at
    row_of_visit = np.full(len(sessions.user), -1)
    row_of_visit[visits] = np.arange(len(visits))
    serving = sessions.seen_serving[sessions.view_seen[sessions.basket_view]]
    of_basket = row_of_visit[sessions.serving_visit[serving]]
    more = rng.geometric(0.5, len(visits)) - 1
    order = np.concatenate([of_basket, np.repeat(np.arange(len(visits)), more)])
    zipf = np.minimum((size.products ** rng.random(int(more.sum()))).astype(np.int64), size.products) - 1
    product = np.concatenate([sessions.view_product[sessions.basket_view], zipf])
    product = product[order >= 0]
    order = order[order >= 0]
    by_order = np.argsort(order, kind="stable")
    order, product = order[by_order], product[by_order]
    line = np.arange(len(order)) - np.searchsorted(order, order) + 1
    quantity = rng.geometric(0.7, len(order))
    cents = quantity * (99 + product * 7919 % 2900)
    names = [f"o{size.date(day):%y%m%d}-{block}-{row}" for row in range(len(visits))]
    users = people.numbers[sessions.user[visits]]
    return (
        pa.table(
            {
                "order_id": names,
                "user_id": [f"u{number}" for number in users.tolist()],
                "store_id": [f"s{number % 400}" for number in users.tolist()],
                "ordered_at": pa.array(at, pa.int64()).cast(pa.timestamp("us", "UTC")),
            }
        ),
        pa.table(
            {
                "order_id": pa.array(names, pa.string()).take(pa.array(order)),
                "line": pa.array(line, pa.int32()),
                "product_id": _named("p", product),
                "quantity": pa.array(quantity, pa.int32()),
                "sales_cents": pa.array(cents, pa.int64()),
            }
        ),
    )


def order_values(orders: pa.Table, lines: pa.Table) -> list[tuple[str, int]]:
    """Number and cents of each order, in the order of the table."""
    total = lines.group_by("order_id").aggregate([("sales_cents", "sum")])
    cents = dict(zip(total["order_id"].to_pylist(), total["sales_cents_sum"].to_pylist(), strict=True))
    return [(name, cents.get(name, 0)) for name in orders["order_id"].to_pylist()]


def users(people: People) -> pa.Table:
    """Return a block's users."""
    is_known = people.ages >= 0
    sponsors = pa.array(people.sponsors, mask=people.sponsors < 0)
    unknown = pa.nulls(len(people.numbers), pa.string())
    return pa.table(
        {
            "user_id": _named("u", people.numbers),
            "role": _of(ROLES, people.roles),
            "sponsor_id": pa.array(
                [None if n is None else f"u{n}" for n in sponsors.to_pylist()], pa.string()
            ),
            "region": _of(REGIONS, people.regions),
            "has_demographics": pa.array(is_known),
            "age": pa.array([AGES[age] if age >= 0 else None for age in people.ages.tolist()], pa.string()),
            **dict.fromkeys(
                ("income", "household_size", "home_ownership", "marital_status", "kids"), unknown
            ),
        }
    )


def consents(size: Size, people: People) -> pa.Table:
    """Return a block's answers to personalisation, all given on the first day."""
    n = len(people.numbers)
    return pa.table(
        {
            "user_id": _named("u", people.numbers),
            "purpose": pa.array(["personalisation"] * n),
            "granted": pa.array(people.consents),
            "changed_at": pa.array([size.midnight(0)] * n, pa.int64()).cast(pa.timestamp("us", "UTC")),
        }
    )


def products(size: Size) -> pa.Table:
    """Return the catalogue: 40 categories in 8 departments."""
    number = np.arange(size.products)
    category = number % CATEGORIES
    return pa.table(
        {
            "product_id": _named("p", number),
            "name": _named("Product ", number),
            "department": _named("department ", category % DEPARTMENTS),
            "category": [category_name(code) for code in category.tolist()],
            "type": [
                f"{category_name(c)}|type {n // CATEGORIES % 12}"
                for c, n in zip(category.tolist(), number.tolist(), strict=True)
            ],
            "brand": _of(("national", "private"), number % 2),
            "size": _of(("small", "medium", "large"), number % 3),
            "manufacturer": _named("m", number % 900),
        }
    )


def widgets(size: Size) -> list[dict[str, object]]:
    """Return the carousels of the pages start and home."""
    made = str(size.first - timedelta(days=90))
    labels = {"core_theme": "assortment", "intent": "replenish", "size": "medium", "page_context": "any"}
    rows: list[dict[str, object]] = []
    for name in dict.fromkeys((*START_WIDGETS, *HOME_WIDGETS)):
        pages = [page for page, own in (("start", START_WIDGETS), ("home", HOME_WIDGETS)) if name in own]
        category = (
            category_name(int(name.removeprefix("category:c"))) if name.startswith("category:") else None
        )
        about = {"widget_id": name, "kind": "carousel", "pages": pages, "category": category}
        theme = "assortment" if category else "popular"
        rows.append({**about, "theme": theme, **labels, "created_date": made})
    return rows


def closings(size: Size) -> pa.Table:
    """Return the sales periods, 28 days each, that the lake's days touch."""
    firsts = [size.first + timedelta(days=n) for n in range(0, size.days, CLOSING_DAYS)]
    return pa.table(
        {
            "closing_id": [f"{first:%Y-%m-%d}" for first in firsts],
            "first_date": firsts,
            "last_date": [first + timedelta(days=CLOSING_DAYS - 1) for first in firsts],
        }
    )


def category_name(code: int) -> str:
    """Name of a category; the first ones have a carousel."""
    return f"{'SHOWN' if code < CAROUSELS else 'OTHER'} {code:02d}"


def _of(names: Sequence[str], codes: Ints) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(codes))


def _named(prefix: str, numbers: Ints) -> pa.Array:
    return pa.array([f"{prefix}{number}" for number in numbers.tolist()], pa.string())
