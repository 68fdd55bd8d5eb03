"""asked_lists: lists that are made where a widget asks for them, against a plain count."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import SparkSession

from jobs import asked_lists, product_lists
from jobs.config import Page
from jobs.page_filters import Bought
from tests.jobs.given import table
from tests.jobs.test_product_lists import DAY, SIZES, bought, inputs, lists, product, widget

LENGTHS = {"list_length": 3, "category_length": 3, "own_length": 3}


def look(product_id: str, subject: str, ago: int, minute: int, kind: str = "detail") -> dict[str, Any]:
    at = (
        datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC)
        - timedelta(days=ago)
        + timedelta(minutes=minute)
    )
    return {"subject": subject, "product_id": product_id, "outcome_date": DAY - timedelta(ago), "kind": kind,
            "happened_at": at, "outcome_id": f"{subject}{product_id}{ago}{minute}"}  # fmt: skip


def test_lists_that_a_widget_asks_for_are_made_and_no_others(spark: SparkSession) -> None:
    asking = [
        widget("again", None, purpose="buy again"), widget("seen", None, purpose="recently viewed"),
        widget("with", None, purpose="bought together"), widget("trending:region:North", None),
        widget("trending:season", None),
    ]  # fmt: skip
    # tea and cake together on five visits, tea and jam on six, cake alone on one more.
    lines = [bought(name, f"s{n}", 3) for n in range(5) for name in ("tea", "cake")]
    lines += [bought(name, f"t{n}", 9) for n in range(6) for name in ("tea", "jam")] + [
        bought("cake", "t0", 2)
    ]
    lines += [bought("tea", "a"), bought("oil", "a", 8), bought("oil", "a", 20), bought("rice", "a", 3)]
    lines += [bought("rice", "a", 50), bought("salt", "a", 30)]
    lines += [bought("fan", f"s{n}", 364 - 5) for n in range(6)] + [
        bought("sled", f"s{n}", 364 + 5) for n in range(9)
    ]
    catalogue = [product(name) for name in ("tea", "cake", "jam", "oil", "rice", "salt", "fan", "sled")]
    people = [{"subject": "a", "feature_date": DAY, "region": "North"}]
    people += [
        {"subject": f"s{n}", "feature_date": DAY, "region": "South" if n else "North"} for n in range(5)
    ]
    looks = [look("rice", "a", 1, 0), look("tea", "a", 0, 5), look("rice", "a", 0, 9, "basket"),
             look("oil", "a", 27, 0), look("jam", "a", 28, 0), look("tea", "nobody", 0, 0),
             look("gone", "a", 0, 1)]  # fmt: skip

    frames = inputs(spark, lines, catalogue, asking, people)
    found = lists(
        product_lists.build(
            *frames,
            outcomes=table(spark, "outcomes", looks),
            days=[DAY],
            **{**SIZES, "trend_least": 2},
            **LENGTHS,
        )
    )
    personal = {
        key: products for key, products in found.items() if key.endswith(("again", "viewed", "together"))
    }
    near = {"cake": 5 / math.sqrt(12 * 6), "jam": 6 / math.sqrt(12 * 6)}
    assert sorted(near, key=near.get, reverse=True) == ["jam", "cake"]  # type: ignore[arg-type]
    assert personal == {
        "own:a:buy again": ["oil"],  # rice was bought again three days ago, salt once
        "own:a:recently viewed": ["rice", "tea", "oil"],
        "own:a:bought together": ["jam", "cake"],
        # Whose last visit was tea and cake.
        **{f"own:s{n}:bought together": ["jam"] for n in range(5)},
    }
    assert found["trending:region:South"] == ["cake", "tea"]  # four visits each; cake is the lower id
    assert found["trending:region:North"] == ["tea"]  # of a and s0; all else once
    assert found["trending:season"] == ["fan"]
    # What nobody asks for is not made.
    plain = [widget("dairy", "MILK", purpose="any"), widget("trending", None)]
    assert asked_lists.asked(table(spark, "widgets", plain)) == set()


def test_what_was_bought_lately_is_listed_for_the_days_that_pages_ask(spark: SparkSession) -> None:
    page = Page(page="home", positions=1, policy="p", temperature=0.1, floor=0.0)
    pages = {"other": page} | {
        name: page.model_copy(update={"bought_products": Bought(days=days)})
        for name, days in (("home", 7), ("start", 2))
    }
    lines = [bought("tea", "a", 6), bought("tea", "a", 1), bought("oil", "a", 7), bought("jam", "a", 0)]
    lines += [bought("oil", "b", 6), bought("gone", "b"), bought("tea", "left")]
    lines += [bought(f"p{n:02d}", "b", 3) for n in range(20)]  # more than a carousel shows
    catalogue = [product(name) for name in ("tea", "oil", "jam", *(f"p{n:02d}" for n in range(20)))]
    people = [{"subject": name, "feature_date": DAY} for name in ("a", "b")]
    frames = inputs(spark, lines, catalogue, [widget("trending", None)], people)
    plain, asked = (
        lists(product_lists.build(*frames, days=[DAY], **SIZES, **LENGTHS, pages=of)) for of in ({}, pages)
    )
    assert {key: products for key, products in asked.items() if key not in plain} == {
        "own:a:bought in 2 days": ["jam", "tea"],
        "own:a:bought in 7 days": ["jam", "tea"],
        "own:b:bought in 7 days": [*(f"p{n:02d}" for n in range(20)), "oil"],
    }
