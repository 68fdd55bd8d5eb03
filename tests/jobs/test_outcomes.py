"""outcomes: what people did after a page was shown, and what that led to."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import outcomes
from jobs.config import ConfigError, Consent
from jobs.contracts import contract
from tests.jobs.given import ZONE, event, local, rows, table
from tests.jobs.sources.door import judged

NOON, FRIDAY = local("2017-11-03 12:00:00"), date(2017, 11, 3)
NAMES = ("page_view", "layout_served", "widget_seen", "product_view", "basket_add", "order_placed")


def build(spark: SparkSession, reorder_days: int = 84, **told: list[dict[str, Any]]) -> DataFrame:
    names = ("events", "orders", "order_lines", "products", "users", "consents")
    return outcomes.build(
        *(table(spark, name, told.get(name, [])) for name in names),
        days=[FRIDAY],
        business_time_zone=ZONE,
        subject_buckets=2,
        reorder_days=reorder_days,
        consent=Consent(purpose="personalisation", by_default=True),
    )


def test_views_baskets_and_orders_of_people_are_outcomes(spark: SparkSession) -> None:
    more = {
        "trace_id": "t",
        "page": "home",
        "decision_id": "d",
        "position": 2,
        "widget": "w",
        "product_id": "7",
    }
    told = [event(name, NOON, **{**more, "event_id": name}) for name in NAMES]
    told[-1].update(order_id="o1", value_cents=1250, product_id=None)
    told += [event("basket_add", NOON, is_bot=True), event("order_placed", NOON, event_id="x", is_bot=None)]
    # Who did not agree is nobody, whatever the row says of an answer.
    told += [event("basket_add", NOON, event_id=f"no-{yes}", is_consented=yes) for yes in (False, None)]
    told += [event("basket_add", NOON - timedelta(days=1))]  # of the day before: only what follows matters
    tea = [{"product_id": "7", "changed_date": date(2017, 11, day), "category": name} for day, name in
           ((1, "BEER"), (3, "TEA"), (4, "WINE"))]  # fmt: skip
    built = rows(build(spark, events=told, products=tea), "outcome_id")
    assert [(row["outcome_id"], row["kind"], row["value_cents"]) for row in built] == [
        ("basket_add", "basket", None),
        ("order_placed", "order", 1250),
        ("product_view", "detail", None),
        ("x", "order", None),
    ]
    assert built[0] == {
        "outcome_id": "basket_add",
        "outcome_date": FRIDAY,
        "happened_at": NOON,
        "subject": "u1",
        "subject_bucket": 0,
        "kind": "basket",
        **more,
        "category": "TEA",
        "order_id": None,
        "value_cents": None,
        "_reason": None,
    }
    assert set(built[0]) == {*contract("outcomes").columns, "_reason"}


def order(order_id: str, subject: str, at: datetime = NOON, day: date = FRIDAY) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "subject": subject,
        "subject_bucket": 1,
        "ordered_at": at,
        "order_date": day,
    }


def line(
    order_id: str, number: int, subject: str, product: str, cents: int, day: date = FRIDAY
) -> dict[str, Any]:
    told = {
        "order_id": order_id,
        "line": number,
        "subject": subject,
        "product_id": product,
        "order_date": day,
    }
    return {**told, "subject_bucket": 1, "category": "TEA", "quantity": 1, "sales_cents": cents}


def person(subject: str, day: int, sponsor: str | None) -> dict[str, Any]:
    return {"subject": subject, "changed_date": date(2017, 11, day), "sponsor": sponsor, "role": "customer"}


def test_what_was_bought_sold_and_won(spark: SparkSession) -> None:
    thursday = FRIDAY - timedelta(days=1)
    told = [
        event("product_view", NOON, subject="ann", product_id="7"),
        event("product_view", NOON, subject="ann", product_id="7", event_id="again"),
        event("basket_add", NOON - timedelta(days=1), subject="ann", product_id="8"),
        event("basket_add", NOON, subject="phone", product_id="9"),  # logged out, and orders as bob
        event("order_placed", NOON, subject="phone", order_id="o2", event_id="placed"),
    ]
    orders = [order("o1", "ann"), order("o2", "bob")]
    lines = [
        line("o1", 1, "ann", "7", 250), line("o1", 2, "ann", "8", 100), line("o1", 3, "ann", "11", 999),
        line("o2", 1, "bob", "9", 40),
        line("o0", 1, "ann", "8", 1, thursday), line("o0", 2, "ann", "7", 1, FRIDAY - timedelta(days=85)),
        line("o0", 3, "bob", "9", 1, FRIDAY - timedelta(days=84)),
    ]  # fmt: skip
    people = [
        person("ann", 1, "u000a"), person("ann", 4, "late"), person("bob", 1, None),
        person("new", 3, "u000b"), person("new", 4, "u000b"), person("alone", 3, None),
        person("old", 2, "u000b"), person("u000a", 1, None), person("u000b", 1, None),
    ]  # fmt: skip
    built = rows(build(spark, events=told, orders=orders, order_lines=lines, users=people), "outcome_id")
    found = [
        (
            row["kind"],
            row["subject"],
            row["subject_bucket"],
            row["product_id"],
            row["value_cents"],
            row["happened_at"],
        )
        for row in built
        if row["kind"] not in ("detail", "basket", "order")
    ]
    assert found == [
        ("purchase", "ann", 1, "7", 250, NOON),  # bought before, but too long ago
        ("reorder", "ann", 1, "8", 100, NOON),
        ("team_sale", "u000a", 0, None, 1349, NOON),
        ("reorder", "phone", 1, "9", 40, NOON),
        ("recruit", "u000b", 1, None, None, local("2017-11-03 23:59:59")),
    ]


def refusal(subject: str, day: date = FRIDAY) -> dict[str, Any]:
    return {
        "subject": subject,
        "purpose": "personalisation",
        "is_granted": False,
        "changed_date": day,
    }


def test_nobody_is_bought_for_or_recruited_without_consent(spark: SparkSession) -> None:
    """A refusal of that day counts, though the product was looked at before; no id leads to a recruit."""
    told = [
        event("basket_add", NOON - timedelta(days=1), subject=who, product_id="8") for who in ("ann", "bob")
    ]
    lines = [line("o1", 1, "ann", "8", 100), line("o2", 1, "bob", "8", 100)]
    people = [person("u000a", 1, None), person("u000b", 1, None)]
    people += [person("shy", 3, "u000a"), person("new", 3, "u000b")]
    built = build(
        spark,
        events=told,
        orders=[order("o1", "ann"), order("o2", "bob")],
        order_lines=lines,
        users=people,
        consents=[refusal("ann"), refusal("shy"), refusal("bob", FRIDAY + timedelta(days=1))],
    )
    found = {row["outcome_id"]: (row["kind"], row["subject"]) for row in rows(built, "outcome_id")}
    assert found == {"o2/1": ("purchase", "bob"), "recruit-2017-11-03-new": ("recruit", "u000b")}
    assert set(built.columns) == {*contract("outcomes").columns, "_reason"}


def test_a_circle_of_sponsors_sells_and_recruits_nothing(spark: SparkSession) -> None:
    """Only while it is one: of a day's own tree, and not for who hangs below it."""
    people = [
        person("u001a", 1, "u001b"), person("u001b", 1, "u001c"), person("u001c", 2, "u001a"),
        person("below", 1, "u001a"), person("u002a", 1, "u002b"), person("u002b", 1, "u002a"),
        person("u002b", 3, None), person("u003a", 1, "u003a"), person("u004a", 1, "u004z"),
        person("new", 3, "u001a"), person("u004z", 4, None), person("u005a", 3, "u005b"),
        person("u005b", 1, "u005a"),
    ]  # fmt: skip
    buyers = ("u001b", "below", "u002a", "u003a", "u004a")
    built = build(
        spark,
        orders=[order(f"of-{who}", who) for who in buyers],
        order_lines=[line(f"of-{who}", 1, who, "7", 100) for who in buyers],
        users=people,
    )
    good, bad = judged("outcomes", built, [FRIDAY])
    assert sorted((row["kind"], row["subject"]) for row in good) == [
        ("recruit", "u001a"),
        ("team_sale", "u001a"),
        ("team_sale", "u002b"),
    ]
    circle = "a team sale or recruit must not come from a circle of sponsors"
    unknown = "a team sale or recruit needs a sponsor that users knows"
    assert sorted(row["reason"] for row in bad) == [circle, circle, circle, unknown]
    found = rows(built.where("_reason is not null").select("kind", "subject", "_reason"))
    assert [(row["kind"], row["subject"]) for row in found if row["_reason"] == circle] == [
        ("recruit", "u005b"),
        ("team_sale", "u001c"),
        ("team_sale", "u003a"),
    ]


def test_the_first_day_of_users_recruits_nobody_and_an_order_of_the_next_day_places_nothing(
    spark: SparkSession,
) -> None:
    looked = [
        event("product_view", NOON, subject=who, product_id="8", event_id=who) for who in ("ann", "phone")
    ]
    placed = event(
        "order_placed", NOON + timedelta(days=1), subject="phone", order_id="o1", event_id="placed"
    )
    built = build(
        spark,
        events=[*looked, placed],
        orders=[order("o1", "ann")],
        order_lines=[line("o1", 1, "ann", "8", 100)],
        users=[person("new", 3, "u000b")],
    )
    found = [(row["kind"], row["subject"]) for row in rows(built, "outcome_id") if row["kind"] != "detail"]
    assert found == [("purchase", "ann")]


def test_more_history_than_is_read_cannot_be_asked_for(spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match="reorder_days = 85 cannot be: 84 days are read"):
        build(spark, reorder_days=85)
