"""Goals: what came of a decision later on, how long it was looked at, and what each role counts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jobs.credit import Rule
from tests.jobs.test_feedback import NOON, RULE, did, made, shown

HOUR = 3600.0


def goals(*told: dict[str, Any], rule: Rule = RULE) -> dict[str, dict[str, float]]:
    return {row["decision_id"]: dict(row["rewards"]) for row in made(*told, rule=rule)}


def bought(kind: str, seconds: float, product: str | None, cents: int, **more: Any) -> dict[str, Any]:
    return did(kind, seconds, product_id=product, value_cents=cents, page=None, widget=None, **more)


def test_what_is_bought_credits_the_decision_through_which_it_was_opened() -> None:
    told = [
        shown("d1"),
        did("detail", 5, "d1", product_id="7"),
        shown("d2", 60),
        did("basket", 70, "d2", product_id="8"),
        bought("purchase", HOUR, "7", 250),
        bought("purchase", HOUR, "8", 100),
        bought("reorder", HOUR, "8", 40),
        bought("purchase", HOUR, "9", 999),  # nobody had looked at it
        bought("purchase", 70 + 12 * HOUR + 1, "8", 999),
        bought("purchase", HOUR, "8", 999, subject="u2"),
    ]
    found = goals(*told)
    assert found == goals(*told[::-1])
    assert found["d1"] == {"click": 1, "detail": 1, "basket": 0, "revenue": 250, "seconds_to_action": 5}
    assert found["d2"] == {
        "click": 1, "detail": 0, "basket": 1, "revenue": 140, "reorders": 1, "seconds_to_action": 10,
    }  # fmt: skip


def test_a_product_opened_twice_is_bought_through_the_last() -> None:
    told = [shown("d1"), did("detail", 5, "d1", product_id="7"), shown("d2", 60)]
    told += [did("detail", 70, "d2", product_id="7"), bought("purchase", HOUR, "7", 250)]
    found = goals(*told)
    assert ["revenue" in found[name] for name in ("d1", "d2")] == [False, True]


def test_an_outcome_that_credits_nothing_leads_to_nothing() -> None:
    told = [shown("d1"), did("detail", 21, "d1", product_id="7"), bought("purchase", HOUR, "7", 250)]
    assert goals(*told) == {"d1": {"click": 0, "detail": 0, "basket": 0}}


def test_team_sales_and_recruits_credit_what_last_led_the_sponsor_anywhere() -> None:
    told = [
        shown("d1"),
        did("detail", 5, "d1"),
        shown("d2", 60),
        did("detail", 70, "d2"),
        shown("d3", 90),
        bought("team_sale", HOUR, None, 5000),
        bought("team_sale", 2 * HOUR, None, 1000),
        bought("team_sale", 30, None, 7),
        bought("team_sale", 13 * HOUR, None, 9),
        did("recruit", 3 * HOUR, page=None, widget=None),
    ]
    found = goals(*told)
    assert (found["d1"]["team_sales"], found["d2"]["team_sales"], found["d2"]["recruits"]) == (7, 6000, 1)
    assert found["d3"] == {"click": 0, "detail": 0, "basket": 0}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([shown("d2", 30)], 28.0),
        ([did("detail", 12, "d1"), shown("d2", 30)], 10.0),
        ([bought("team_sale", 12, None, 5), did("recruit", 13), shown("d2", 30)], 28.0),  # others' acts
        ([shown("d2", 62)], 60.0),
        ([shown("d2", 62.1)], None),
        ([shown("d2", 30, subject="u2")], None),
        ([shown("d2", 1)], None),
        ([], None),
    ],
)
def test_display_lasts_until_the_next_thing_done(
    events: list[dict[str, Any]], expected: float | None
) -> None:
    first = shown("d1", seen_at=NOON + timedelta(seconds=2))
    assert goals(first, *events)["d1"].get("display_seconds") == expected
    assert "display_seconds" not in goals({**first, "is_seen": False}, *events)["d1"]


def test_a_role_counts_what_it_declares_and_every_other_the_plain_rule() -> None:
    rule = Rule(
        "r2", basket=3, detail=1, detail_seconds=20, basket_seconds=1800, trace_seconds=12 * 3600,
        skew_seconds=5, roles={"consultant": {"team_sales": 0.01, "basket": 1}},
    )  # fmt: skip
    told: list[dict[str, Any]] = []
    for role in ("consultant", "customer", None):
        who = {"subject": str(role)}
        told += [
            shown(f"{role}", role=role, **who), did("basket", 5, f"{role}", **who),
            bought("team_sale", HOUR, None, 5000, **who),
        ]  # fmt: skip
    found = made(*told, rule=rule)
    assert {row["decision_id"]: row["reward"] for row in found} == {
        "consultant": 51.0,
        "customer": 3.0,
        "None": 3.0,
    }
    assert {row["reward_version"] for row in found} == {"r2"}


def test_a_widget_with_a_reward_of_its_own_counts_that_for_every_role() -> None:
    rule = replace(RULE, roles={"consultant": {"basket": 1}}, widgets={"banner/bank offer": {"click": 2}})
    told = []
    for name, role, earns in (
        ("a", "consultant", "banner/bank offer"), ("b", None, "banner/bank offer"), ("c", "consultant", None),
        ("d", None, "banner/any"),
    ):  # fmt: skip
        told += [shown(name, role=role, earns=earns, subject=name), did("detail", 5, name, subject=name)]
    told += [shown("e", earns="banner/bank offer", subject="e"), did("basket", 5, "e", subject="e")]
    found = {row["decision_id"]: row["reward"] for row in made(*told, rule=rule)}
    assert found == {"a": 2.0, "b": 2.0, "c": 0.0, "d": 1.0, "e": 2.0}
