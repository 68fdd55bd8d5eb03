"""product_lists: the lists that carousels show, as of the end of a day, against a plain count."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from jobs import product_lists
from jobs.demo.history import History
from jobs.demo.source import FIRST_DATE, Baskets
from tests.jobs.given import among, rows, table

DAY = date(2017, 11, 3)
SIZES = {"window_days": 28, "trend_days": 7, "trend_least": 5, "trend_prior": 5.0}


def build(*frames: DataFrame, days: list[date], lists: tuple[int, int, int] = (12, 18, 6)) -> DataFrame:
    lengths = dict(zip(("list_length", "category_length", "own_length"), lists, strict=True))
    return product_lists.build(*frames, days=days, **SIZES, **lengths)


def inputs(
    spark: SparkSession,
    lines: list[dict[str, Any]],
    products: list[dict[str, Any]],
    widgets: Sequence[dict[str, Any]] = (),
    features: Sequence[dict[str, Any]] = (),
) -> list[DataFrame]:
    named = {"order_lines": lines, "products": products, "widgets": widgets, "subject_features": features}
    return [table(spark, name, told) for name, told in named.items()]


def bought(product: str, subject: str, ago: int = 0, day: date = DAY) -> dict[str, Any]:
    return {"subject": subject, "product_id": product, "order_date": day - timedelta(ago)}


def product(
    product_id: str, category: str = "TEA", changed: date = date(2017, 1, 1), **more: Any
) -> dict[str, Any]:
    return {"product_id": product_id, "category": category, "changed_date": changed, **more}


def widget(name: str, category: str | None, changed: date = date(2017, 1, 1), **more: Any) -> dict[str, Any]:
    return {"widget": name, "changed_date": changed, "pages": ["home"], "category": category, **more}


def features(subject: str, first: str, second: str, day: date = DAY) -> dict[str, Any]:
    return {"subject": subject, "feature_date": day, "category1": first, "category2": second}


def lists(frame: DataFrame) -> dict[str, list[str]]:
    return {row["list_key"]: row["products"] for row in rows(frame)}


def test_bestsellers_count_subject_days_of_the_window_and_ties_go_to_the_lower_number(
    spark: SparkSession,
) -> None:
    lines = [bought("9", "a"), bought("9", "a"), bought("9", "a", 1), bought("9", "b")]  # three visits
    lines += [bought("100", who) for who in "ab"] + [bought("20", who, 27) for who in "ab"]
    lines += (
        [bought("7", who, 28) for who in "abcd"] + [bought("x", who) for who in "ab"] + [bought("5", "a")]
    )
    told = inputs(spark, lines, [product(name) for name in ("9", "100", "20", "7", "x", "5")])
    found = rows(build(*told, days=[DAY], lists=(4, 18, 6)), "list_key")
    assert found[0] == {
        "list_key": "bestsellers",
        "list_date": DAY,
        "kind": "bestsellers",
        "subject": None,
        "category": None,
        "products": ["9", "20", "100", "x"],
    }
    assert (found[1]["list_key"], found[1]["category"]) == ("category:TEA", "TEA")
    assert found[1]["products"] == ["9", "20", "100", "x", "5"]


def test_trending_is_growth_over_the_weeks_before(spark: SparkSession) -> None:
    lines = [bought("1", f"s{n}", 0) for n in range(20)] + [bought("1", f"s{n}", 7 + n) for n in range(28)]
    lines += [bought("2", f"s{n}", 6) for n in range(6)] + [bought("2", "s0", 35)]  # (6 + 5) / 5 = 2.2
    lines += [bought("3", f"s{n}", 3) for n in range(4)]  # too few to trend
    lines += [bought("4", f"s{n}", 3) for n in range(6)] + [bought("4", "s1", 34)]  # 11 / 5.25
    found = lists(build(*inputs(spark, lines, [product(name) for name in "1234"]), days=[DAY]))
    assert found["trending"] == ["2", "4", "1"]  # "1": 25 / 12


def test_own_products_are_those_of_shown_and_strongest_categories(spark: SparkSession) -> None:
    lines = [
        bought("1", "a", 90),
        bought("1", "a", 80),
        bought("2", "a", 70),
        bought("3", "a", 60),
        bought("4", "a", 60),
    ]
    lines += [bought("5", "a", 3), bought("6", "a", 3), bought("7", "b", 3), bought("5", "b", 2)]
    told = inputs(
        spark,
        lines,
        [product(name) for name in "1234"]
        + [product("5", "BEER"), product("6", "SOAP"), product("7", "WINE")],
        [
            widget("category:tea", "TEA"),
            widget("category:wine", "WINE", pages=[]),
            widget("category:soap", "SOAP"),
            widget("category:soap", "SOAP", DAY, is_deleted=True),
            widget("trending", None),
        ],
        [features("a", "BEER", "TEA"), features("b", "SOAP", "TEA")],
    )
    found = {
        key: products
        for key, products in lists(build(*told, days=[DAY], lists=(12, 18, 3))).items()
        if "own" in key
    }
    assert found == {"own:a:TEA": ["1", "3", "4"], "own:a:BEER": ["5"]}
    before = DAY - timedelta(3)
    known = [features("a", "BEER", "TEA", before)]
    told = inputs(
        spark, [*lines, bought("6", "gone", 3)], [product("6", "SOAP")], [widget("s", "SOAP")], known
    )
    day_before = lists(build(*told, days=[before]))
    assert day_before["own:a:SOAP"] == ["6"]
    assert "own:gone:SOAP" not in day_before


def test_a_product_that_left_or_moved_counts_by_the_catalogue_of_the_day(spark: SparkSession) -> None:
    yesterday = DAY - timedelta(1)
    products = [
        product("1"),
        product("1", "BEER", DAY),
        product("2"),
        product("2", changed=DAY, is_deleted=True),
    ]
    told = inputs(spark, [bought("1", "a", 5), bought("2", "a", 5), bought("unlisted", "a", 5)], products)
    found = {
        (row["list_date"], row["list_key"]): row["products"]
        for row in rows(build(*told, days=[yesterday, DAY]))
    }
    assert found == {
        (yesterday, "bestsellers"): ["1", "2"],
        (yesterday, "category:TEA"): ["1", "2"],
        (DAY, "bestsellers"): ["1"],
        (DAY, "category:BEER"): ["1"],
    }


def plain(lines: list[dict[str, Any]], category: dict[str, str], day: date) -> dict[str, list[str]]:
    """Count all lists of a day again; every category has a widget."""
    visits = {
        (row["subject"], row["product_id"], row["order_date"]) for row in lines if row["order_date"] <= day
    }
    ages = [(name, (day - at).days) for _, name, at in visits]
    w28, w7 = Counter(name for name, age in ages if age < 28), Counter(name for name, age in ages if age < 7)
    p28 = Counter(name for name, age in ages if 7 <= age < 35)
    growth = {name: (n + 5) / (p28[name] / 4 + 5) for name, n in w7.items() if n >= 5}
    best = sorted(w28, key=lambda name: (-w28[name], int(name)))
    made = {
        "bestsellers": best[:12],
        "trending": sorted(growth, key=lambda name: (-growth[name], int(name)))[:12],
    }
    for kind in set(category.values()):
        made[f"category:{kind}"] = [name for name in best if category[name] == kind][:18]
        for who in {who for who, _, _ in visits}:
            own = [(name, at) for whose, name, at in visits if whose == who and category[name] == kind]
            count, last = (
                Counter(name for name, _ in own),
                dict(sorted(own, key=lambda x: x[1])),
            )
            made[f"own:{who}:{kind}"] = sorted(
                count, key=lambda name: (-count[name], -last[name].toordinal(), int(name))
            )[:6]
    return {key: products for key, products in made.items() if products}


def demo(lines: list[dict[str, Any]], category: dict[str, str], day: date) -> dict[str, list[str]]:
    """The lists that the demo's replay knows before the next day: its NumPy code is another hand's."""
    visits = sorted({((row["order_date"] - FIRST_DATE).days, row["subject"]) for row in lines})
    subjects, names = sorted({who for _, who in visits}), sorted(category, key=int)
    kinds = sorted(set(category.values()))
    rows = sorted(
        {
            (
                visits.index(((row["order_date"] - FIRST_DATE).days, row["subject"])),
                names.index(row["product_id"]),
            )
            for row in lines
        }
    )
    baskets = Baskets(
        households=np.arange(len(subjects)),
        products=np.array([int(name) for name in names]),
        categories=kinds,
        product_category=np.array([kinds.index(category[name]) for name in names]),
        product_type=np.zeros(len(names), np.int64),
        visit_household=np.array([subjects.index(who) for _, who in visits]),
        visit_day=np.array([at for at, _ in visits]),
        row_visit=np.array([visit for visit, _ in rows]),
        row_product=np.array([product for _, product in rows]),
    )
    history = History(baskets)
    history.advance((day - FIRST_DATE).days + 1)

    def named(codes: Iterable[int]) -> list[str]:
        return [names[code] for code in codes if code >= 0]

    made = {
        "bestsellers": named(code for code in history.bestsellers() if history.w28[code] > 0),
        "trending": named(code for code in history.trending() if history.w7[code] >= 5),
    }
    sellers = history.category_bestsellers()
    slots = np.tile(np.arange(len(kinds)), (len(subjects), 1))
    own = history.own_products(np.arange(len(subjects)), slots, len(kinds))
    for n, kind in enumerate(kinds):
        made[f"category:{kind}"] = named(sellers[n])
        made |= {f"own:{who}:{kind}": named(own[u, n]) for u, who in enumerate(subjects)}
    return {key: products for key, products in made.items() if products}


def test_many_days_at_once_equal_day_by_day_and_the_plain_count(spark: SparkSession) -> None:
    rng = random.Random(11)
    category = {str(n): rng.choice(["TEA", "BEER"]) for n in range(1, 60)}
    lines = [
        bought(str(min(59, int(rng.expovariate(0.05)) + 1)), f"s{rng.randrange(8)}", rng.randrange(60), DAY)
        for _ in range(1500)
    ]
    days = [DAY - timedelta(n) for n in (9, 1, 0)]
    known = [features(f"s{n}", "TEA", "BEER", day) for n in range(8) for day in days]
    shown = [widget("t", "TEA"), widget("b", "BEER")]
    told = inputs(spark, lines, [product(*pair) for pair in category.items()], shown, known)
    told = [frame.cache() for frame in told]
    whole = build(*told, days=days)
    by_day: dict[date, dict[str, list[str]]] = {day: {} for day in days}
    for row in rows(whole):
        by_day[row["list_date"]][row["list_key"]] = row["products"]
    assert by_day == {day: plain(lines, category, day) for day in days}
    for day in days:
        assert {key: products[:12] for key, products in by_day[day].items()} == demo(lines, category, day)
    alone = build(among(told[0], "order_date", [DAY], before=999), *told[1:], days=[DAY])
    assert lists(alone) == by_day[DAY]
