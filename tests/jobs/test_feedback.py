"""feedback: each outcome credits at most one decision, by trace or by last touch, in any split into days."""

import random
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs import feedback
from jobs.config import Reward
from jobs.contracts import contract
from jobs.credit import Rule, credit
from jobs.tables import Tables
from tests.jobs.buckets import BUCKETS, batch, buckets, lay
from tests.jobs.given import day_of, local, rows

NOON = datetime(2017, 11, 3, 16, tzinfo=UTC)
RULE = Rule(
    "r1", basket=3, detail=1, detail_seconds=20, basket_seconds=1800, trace_seconds=12 * 3600, skew_seconds=5
)
FEEDBACK = contract("feedback").arrow_schema.remove_metadata()
DECISIONS, OUTCOMES = (contract(name).arrow_schema.remove_metadata() for name in ("decisions", "outcomes"))


def shown(decision_id: str, seconds: float = 0, **more: Any) -> dict[str, Any]:
    at = NOON + timedelta(seconds=seconds)
    told = {
        "decision_id": decision_id,
        "position": 0,
        "served_at": at,
        "decision_date": at.date(),
        "trace_id": decision_id,
    }
    return {
        "subject": "u1",
        "subject_bucket": 1,
        "page": "home",
        "widget": "w",
        "is_seen": True,
        **told,
        **more,
    }


def did(kind: str, seconds: float, names: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"decision_id": names, "position": None if names is None else 0, "trace_id": names}
    return {
        "subject": "u1",
        "page": "home",
        "widget": "w",
        "kind": kind,
        "happened_at": NOON + timedelta(seconds=seconds),
        **told,
        **more,
    }


def made_at_once(told: list[dict[str, Any]], done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(made(*told, *done), key=lambda row: row["decision_id"])


def made(*told: dict[str, Any], rule: Rule = RULE) -> list[dict[str, Any]]:
    """Rows of feedback of decisions and outcomes, in any order."""
    sides = [
        pa.Table.from_pylist([row for row in told if (row.get("kind") is None) == is_served], schema=schema)
        for is_served, schema in ((True, DECISIONS), (False, OUTCOMES))
    ]
    return credit(*sides, rule, FEEDBACK).to_pylist()


def credited(*told: dict[str, Any]) -> dict[Any, tuple[Any, ...]]:
    """Reward, how it was matched, and the lag, by decision (and position where it is not 0)."""
    return {
        (row["decision_id"], row["position"]) if row["position"] else row["decision_id"]: (
            row["reward"],
            row["match"],
            row["lag_seconds"],
        )
        for row in made(*told)
    }


NOTHING = (0.0, "none", None)


def test_a_named_outcome_in_the_same_trace_credits_that_decision_and_position() -> None:
    told = [shown("d1"), shown("d1", position=1, widget="v"), did("basket", 4, "d1", position=1, widget="v")]
    assert credited(*told) == {"d1": NOTHING, ("d1", 1): (3.0, "trace", 4.0)}


@pytest.mark.parametrize(
    ("kind", "seconds", "expected"),
    [
        ("detail", 20, (1.0, "trace", 20.0)),
        ("detail", 20.000001, NOTHING),
        ("detail", -5, (1.0, "trace", -5.0)),
        ("detail", -5.000001, NOTHING),
        ("basket", 12 * 3600, (3.0, "trace", 12 * 3600.0)),
        ("basket", 12 * 3600 + 1, NOTHING),
    ],
)
def test_a_trace_is_held_to_its_times(kind: str, seconds: float, expected: tuple[Any, ...]) -> None:
    assert credited(shown("d1"), did(kind, seconds, "d1")) == {"d1": expected}


@pytest.mark.parametrize(
    ("kind", "seconds", "expected"),
    [
        ("detail", 20, (1.0, "window", 20.0)),
        ("detail", 20.000001, NOTHING),
        ("detail", -5, (1.0, "window", -5.0)),
        ("detail", -5.000001, NOTHING),
        ("basket", 1800, (3.0, "window", 1800.0)),
        ("basket", 1801, NOTHING),
    ],
)
def test_a_window_is_held_to_its_times(kind: str, seconds: float, expected: tuple[Any, ...]) -> None:
    assert credited(shown("d1"), did(kind, seconds)) == {"d1": expected}


def test_of_two_possible_decisions_the_last_touch_is_credited() -> None:
    told = [shown("early"), shown("late", 60), shown("later", 200)]
    assert credited(*told, did("basket", 100)) == {
        "early": NOTHING,
        "late": (3.0, "window", 40.0),
        "later": NOTHING,
    }


def test_of_decisions_served_at_once_the_higher_id_is_credited_in_any_order() -> None:
    told = [shown("b"), shown("a"), did("basket", 1)]
    expected = {"a": NOTHING, "b": (3.0, "window", 1.0)}
    assert credited(*told) == credited(*told[::-1]) == expected


def test_an_outcome_that_names_an_unknown_decision_or_another_trace_is_matched_by_window() -> None:
    assert credited(shown("d1"), did("basket", 9, "gone")) == {"d1": (3.0, "window", 9.0)}
    assert credited(shown("d1"), did("basket", 9, "d1", trace_id="other")) == {"d1": (3.0, "window", 9.0)}
    assert credited(shown("d1"), did("basket", 9, "d1", trace_id=None)) == {"d1": (3.0, "window", 9.0)}


def test_an_outcome_that_names_a_decision_credits_no_other_even_when_it_is_too_late() -> None:
    told = [shown("named"), shown("near", 25), did("detail", 30, "named")]
    assert credited(*told) == {"named": NOTHING, "near": NOTHING}


def test_two_outcomes_of_one_position_make_one_reward_with_the_first_lag() -> None:
    told = [shown("d1"), did("detail", 7, "d1"), did("basket", 15, "d1"), did("basket", 90)]
    assert credited(*told) == {"d1": (3.0, "trace", 7.0)}
    assert credited(shown("d1"), did("detail", 7), did("detail", 9)) == {"d1": (1.0, "window", 7.0)}


def product(
    kind: str, seconds: float, number: str = "7", category: str | None = "tea", **more: Any
) -> dict[str, Any]:
    """An outcome that names a product and a page, but no widget and no decision."""
    return did(kind, seconds, product_id=number, category=category, **{"widget": None, **more})


def test_an_outcome_without_a_widget_credits_the_last_carousel_of_its_category_or_widget_of_any() -> None:
    tea, wine, any_one = (
        shown(name, widget=name, category=category)
        for name, category in (("tea", "tea"), ("wine", "wine"), ("any", None))
    )
    hit = (1.0, "window", 9.0)
    assert credited(tea, wine, product("detail", 9)) == {"tea": hit, "wine": NOTHING}
    assert credited(any_one, wine, product("detail", 9)) == {"any": hit, "wine": NOTHING}
    assert credited(wine, product("detail", 9)) == {"wine": NOTHING}
    # Served at once: the carousel of its category. Served later: whatever was last.
    assert credited({**any_one, "decision_id": "z"}, tea, product("detail", 9)) == {"z": NOTHING, "tea": hit}
    later = {**any_one, "served_at": NOON + timedelta(seconds=2)}
    assert credited(later, tea, product("detail", 9)) == {"any": (1.0, "window", 7.0), "tea": NOTHING}
    # A product in no catalogue fits only what shows any; one that is not named fits nothing.
    assert credited(tea, any_one, product("detail", 9, category=None)) == {"tea": NOTHING, "any": hit}
    assert credited(any_one, did("detail", 9, widget=None)) == {"any": NOTHING}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"page": "start"}, NOTHING),
        ({"page": None}, (3.0, "window", 9.0)),
        ({"subject": "u2"}, NOTHING),
        ({"subject": "u2", "page": None}, NOTHING),
        ({"happened_at": NOON - timedelta(seconds=6)}, NOTHING),
        ({"happened_at": NOON + timedelta(seconds=1801)}, NOTHING),
    ],
)
def test_a_product_wants_the_same_subject_its_page_and_time(
    more: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert credited(shown("tea", category="tea"), product("basket", 9, **more)) == {"tea": expected}
    assert credited(shown("tea", category="tea", is_seen=False), product("basket", 9, **more)) == {
        "tea": NOTHING
    }


def test_an_unseen_position_is_credited_by_name_only() -> None:
    told = [shown("seen", is_seen=True), shown("unseen", 10, is_seen=False), did("basket", 15)]
    assert credited(*told) == {"seen": (3.0, "window", 15.0), "unseen": NOTHING}
    assert credited(shown("d1", is_seen=False), did("detail", 3, "d1")) == {"d1": (1.0, "trace", 3.0)}


@pytest.mark.parametrize(
    "other", [{"subject": "u2"}, {"page": "start"}, {"widget": "v"}, {"widget": None}, {"page": None}]
)
def test_a_window_wants_the_same_subject_page_and_widget(other: dict[str, Any]) -> None:
    assert credited(shown("d1"), did("basket", 3, **other)) == {"d1": NOTHING}
    assert credited(shown("d1", **other), did("basket", 3, **other))["d1"] == (
        (0.0, "none", None) if None in other.values() else (3.0, "window", 3.0)
    )


def test_a_trace_wants_the_same_subject() -> None:
    assert credited(shown("d1"), did("basket", 3, "d1", subject="u2")) == {"d1": NOTHING}


def test_decisions_alone_and_outcomes_alone() -> None:
    assert credited(shown("d1")) == {"d1": NOTHING}
    assert credited(did("basket", 3, "d1")) == {}


def could(show: dict[str, Any], row: dict[str, Any]) -> bool:
    """Tell whether what was shown can have led to an outcome that names its widget, or else its product."""
    if row["widget"] is not None:
        return row["page"] is not None and (show["page"], show["widget"]) == (row["page"], row["widget"])
    fits = show.get("category") is None or show["category"] == row.get("category")
    return row.get("product_id") is not None and row["page"] in (None, show["page"]) and fits


def last_touch(pair: tuple[dict[str, Any], float], *, by_product: bool) -> tuple[Any, ...]:
    show = pair[0]
    is_own = by_product and show.get("category") is not None
    return show["served_at"], is_own, show["decision_id"], show["position"]


def plain(told: list[dict[str, Any]]) -> dict[tuple[Any, int], tuple[float, str]]:
    """Credit again, one outcome after the other, as the module's docstring says."""
    shows = [row for row in told if row.get("kind") is None]
    earned: dict[tuple[Any, int], list[tuple[str, str]]] = {
        (row["decision_id"], row["position"]): [] for row in shows
    }
    for row in (row for row in told if row.get("kind") is not None):
        basket = row["kind"] == "basket"
        lags = [
            (show, (row["happened_at"] - show["served_at"]).total_seconds())
            for show in shows
            if show["subject"] == row["subject"]
        ]
        named = [
            (show, lag)
            for show, lag in lags
            if (show["decision_id"], show["position"], show["trace_id"])
            == (row["decision_id"], row["position"], row["trace_id"])
            and -5 <= lag <= 12 * 3600
        ]
        touched = [(show, lag) for show, lag in lags if show["is_seen"] and lag >= -5 and could(show, row)]
        touched.sort(key=partial(last_touch, by_product=row["widget"] is None))
        for how, found, longest in (("trace", named, 12 * 3600), ("window", touched[-1:], 1800)):
            if found:
                show, lag = found[0]
                if lag <= (longest if basket else 20):
                    earned[(show["decision_id"], show["position"])].append((row["kind"], how))
                break
    worth = {"basket": 3.0, "detail": 1.0}
    return {
        key: (
            max((worth[kind] for kind, _ in got), default=0.0),
            min((how for _, how in got), default="none"),
        )
        for key, got in earned.items()
    }


moments = st.integers(-8, 40).map(float) | st.integers(1790, 1810).map(float)
shows = st.tuples(
    st.integers(0, 9),
    moments,
    st.sampled_from(["u1", "u2"]),
    st.sampled_from(["home", "start"]),
    st.sampled_from(["v", "w"]),
    st.booleans(),
    st.sampled_from([None, "tea", "wine"]),
)
acts = st.builds(
    did,
    st.sampled_from(["detail", "basket"]),
    moments,
    st.none() | st.integers(0, 12).map(str),
    subject=st.sampled_from(["u1", "u2"]),
    page=st.sampled_from(["home", "start", None]),
    widget=st.sampled_from(["v", "w", None]),
    product_id=st.sampled_from(["7", None]),
    category=st.sampled_from([None, "tea"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(shows, max_size=8, unique_by=lambda told: told[0]), st.lists(acts, max_size=8), st.randoms())
def test_vectorised_and_plain_credit_agree_in_any_order(
    served: list[tuple[Any, ...]], done: list[dict[str, Any]], order: random.Random
) -> None:
    told = [
        shown(str(n), at, subject=who, page=page, widget=widget, is_seen=seen, category=category)
        for n, at, who, page, widget, seen, category in served
    ] + done
    order.shuffle(told)
    found = {(row["decision_id"], row["position"]): (row["reward"], row["match"]) for row in made(*told)}
    assert found == plain(told)


RUN = {
    "reward": Reward(version="r1", basket=3, detail=1, detail_seconds=20),
    "clock_skew_seconds": 5,
    "session_gap_minutes": 30,
    "trace_hours": 12,
}


def decision(decision_id: str, at: datetime, **more: Any) -> dict[str, Any]:
    told = {"decision_id": decision_id, "position": 0, "served_at": at, "decision_date": day_of(at)}
    who = {
        "subject": "u1",
        "subject_bucket": 1,
        "page": "home",
        "widget": "w",
        "is_seen": True,
        "propensity": 0.5,
    }
    return {
        **told,
        **who,
        "draw_id": f"draw-{decision_id}",
        "trace_id": decision_id,
        "policy_version": "logging",
        **more,
    }


def outcome(kind: str, at: datetime, names: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"outcome_id": f"{kind}-{at}-{names}", "outcome_date": day_of(at), "happened_at": at, "kind": kind}
    place = {
        "subject": "u1",
        "subject_bucket": 1,
        "page": "home",
        "widget": "w",
        "trace_id": names,
        "decision_id": names,
    }
    return {**told, **place, "position": None if names is None else 0, **more}


def test_spark_gives_the_whole_row(spark: SparkSession, tmp_path: Path) -> None:
    told = [decision("d1", NOON), decision("d2", NOON, subject="u2", subject_bucket=0)]
    done = [
        outcome("basket", NOON + timedelta(seconds=8), "d1"),
        outcome("order", NOON + timedelta(seconds=9), "d2"),
    ]
    tables = Tables(str(tmp_path))
    lay(tables, "decisions", [*told, decision("d0", NOON - timedelta(days=1))])
    lay(tables, "outcomes", done)
    days = [NOON.date()]
    given = spark.createDataFrame(buckets(tables, days), BUCKETS)
    built = rows(feedback.build(given, days=days, **RUN), "decision_id")
    both = {
        "position": 0,
        "decision_date": date(2017, 11, 3),
        "served_at": NOON,
        "page": "home",
        "widget": "w",
        "propensity": 0.5,
        "policy_version": "logging",
        "is_seen": True,
        "reward_version": "r1",
    }
    assert built == [
        {
            **both,
            "decision_id": "d1",
            "draw_id": "draw-d1",
            "subject": "u1",
            "subject_bucket": 1,
            "reward": 3.0,
            "role": None,
            "rewards": {"click": 1.0, "detail": 0.0, "basket": 1.0, "seconds_to_action": 8.0},
            "lag_seconds": 8.0,
            "match": "trace",
        },
        {
            **both,
            "decision_id": "d2",
            "draw_id": "draw-d2",
            "subject": "u2",
            "subject_bucket": 0,
            "reward": 0.0,
            "role": None,
            "rewards": {"click": 0.0, "detail": 0.0, "basket": 0.0},
            "lag_seconds": None,
            "match": "none",
        },
    ]


def test_day_by_day_gives_the_rows_of_the_whole_range_over_midnights_and_the_long_day(
    tmp_path: Path,
) -> None:
    rng, days = random.Random(3), [date(2017, 11, 3) + timedelta(n) for n in range(4)]
    told, done = [], []
    for n in range(400):
        midnight = local(f"{rng.choice(days)} 00:00:00")
        at = midnight + timedelta(
            seconds=rng.choice([rng.uniform(-40, 40), rng.uniform(-3600, 3600), rng.uniform(0, 80000)])
        )
        if day_of(at) in days:
            told.append(
                decision(f"d{n}", at, subject=f"u{n % 5}", is_seen=n % 7 > 0, widget=rng.choice("vw"))
            )
        for _ in range(rng.randrange(3)):
            later = at + timedelta(
                seconds=rng.choice([rng.uniform(-6, 25), rng.uniform(0, 2000), rng.uniform(0, 50000)])
            )
            names = rng.choice([None, f"d{n}", "gone", f"d{rng.randrange(400)}"])
            kind = rng.choice(["detail", "basket"])
            if day_of(later) in days:
                done.append(outcome(kind, later, names, subject=f"u{n % 5}", widget=rng.choice("vw")))
    tables = Tables(str(tmp_path))
    lay(tables, "decisions", told)
    lay(tables, "outcomes", done)

    def of(days: list[date]) -> list[dict[str, Any]]:
        matched = feedback.matcher(RULE, FEEDBACK, days)(iter([batch(buckets(tables, days))]))
        return sorted(
            (row for part in matched for row in part.to_pylist()), key=lambda row: row["decision_id"]
        )

    whole = of(days)
    split = [row for day in days for row in of([day])]
    assert sorted(split, key=lambda row: row["decision_id"]) == whole == made_at_once(told, done)
    assert {row["match"] for row in whole} == {"trace", "window", "none"}
    over_midnight = [
        row
        for row in whole
        if row["lag_seconds"]
        and day_of(row["served_at"] + timedelta(seconds=row["lag_seconds"])) != row["decision_date"]
    ]
    assert len(over_midnight) > 5
