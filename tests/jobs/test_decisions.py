"""decisions: a row per served position, seen when a sighting says so, alike in any split into days."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs import decisions
from jobs.contracts import contract
from jobs.kinds import Kinds
from jobs.staging import accept
from tests.jobs.given import among, event, local, rows, table

KINDS = Kinds.model_validate(
    {
        "banner": {"bank offer": {"browsing": False, "reward": {"click": 1}}},
        "carousel": {"any": {"browsing": True}},
    }
)
NOON = local("2017-11-03 12:00:00")


def build(
    events: DataFrame, widgets: Sequence[dict[str, Any]] = (), users: Sequence[dict[str, Any]] = ()
) -> DataFrame:
    known = table(events.sparkSession, "widgets", widgets), table(events.sparkSession, "users", users)
    return decisions.build(events, *known, seen_hours=12, clock_skew_seconds=5, kinds=KINDS)


def serving(decision_id: str | None, at: datetime = NOON, **more: Any) -> dict[str, Any]:
    told = {
        "event_id": f"serving-{decision_id}-{at}",
        "decision_id": decision_id,
        "draw_id": f"draw-{decision_id}",
        "trace_id": f"trace-{decision_id}",
        "page": "home",
        "widgets": ["trending", "category:cheese", "bestsellers"],
        "candidates": ["bestsellers", "category:cheese", "category:tea", "trending"],
        "propensities": [0.5, 0.25, 0.125],
        "policy_version": "logging",
    }
    return event("layout_served", at, **{**told, **more})


def seen(decision_id: str, position: int, at: datetime = NOON) -> dict[str, Any]:
    return event("widget_seen", at, decision_id=decision_id, position=position, widget="any")


def seen_positions(spark: SparkSession, events: list[dict[str, Any]]) -> dict[str, list[int]]:
    built = rows(build(table(spark, "events", events)))
    found: dict[str, list[int]] = {row["decision_id"]: [] for row in built}
    for row in built:
        if row["is_seen"]:
            found[row["decision_id"]].append(row["position"])
    return found


def test_each_position_is_a_row_with_its_widget_propensity_and_whether_it_was_seen(
    spark: SparkSession,
) -> None:
    beside = {"versions": ["hero=loud"], "variant": "phone", "freshness": "degraded", "rules": "{}"}
    told = [serving("d1", **beside), seen("d1", 0), seen("d1", 0, NOON + timedelta(seconds=1)), seen("d1", 2)]
    widgets = [
        ("category:cheese", 1, "BEER"),
        ("category:cheese", 3, "CHEESE"),
        ("category:cheese", 4, "TEA"),
    ]
    roles = [("u1", 1, "customer"), ("u1", 2, "consultant"), ("u1", 4, "recruiter"), ("u2", 1, "direct")]
    known = (
        [{name: value, "changed_date": date(2017, 11, day), what: told} for value, day, told in changes]
        for name, what, changes in (("widget", "category", widgets), ("subject", "role", roles))
    )
    cheese, people = map(list, known)
    offer = {"kind": "banner", "purpose": "bank offer", "changed_date": date(2017, 11, 1)}
    shown = [*({**row, "kind": "carousel"} for row in cheese), {"widget": "bestsellers", **offer}]
    built = rows(build(table(spark, "events", told), shown, people), "position")
    expected = {
        "decision_id": "d1",
        "decision_date": date(2017, 11, 3),
        "served_at": NOON,
        "subject": "u1",
        "subject_bucket": 0,
        "draw_id": "draw-d1",
        "trace_id": "trace-d1",
        "page": "home",
        "widgets": ["trending", "category:cheese", "bestsellers"],
        "candidates": ["bestsellers", "category:cheese", "category:tea", "trending"],
        "policy_version": "logging",
        "versions": ["hero=loud"],
        "variant": "phone",
        "freshness": "degraded",
        "rules": "{}",
        "role": "consultant",
        "category": None,
        "earns": None,
        "_reason": None,
        "_day": date(2017, 11, 3),
    }
    assert built == [
        {
            **expected,
            "position": 0,
            "widget": "trending",
            "propensity": 0.5,
            "is_seen": True,
            "seen_at": NOON,
        },
        {
            **expected,
            "position": 1,
            "widget": "category:cheese",
            "category": "CHEESE",
            "propensity": 0.25,
            "is_seen": False,
            "seen_at": None,
        },
        {
            **expected,
            "position": 2,
            "widget": "bestsellers",
            "earns": "banner/bank offer",
            "propensity": 0.125,
            "is_seen": True,
            "seen_at": NOON,
        },
    ]


def test_a_sighting_counts_after_midnight_and_within_the_clock_skew_but_not_half_a_day_later(
    spark: SparkSession,
) -> None:
    late = local("2017-11-03 23:59:58")
    told = [
        serving("over-midnight", late),
        seen("over-midnight", 1, late + timedelta(seconds=9)),
        serving("skewed"),
        seen("skewed", 0, NOON - timedelta(seconds=5)),
        seen("skewed", 1, NOON - timedelta(seconds=5, microseconds=1)),
        serving("old"),
        seen("old", 0, NOON + timedelta(hours=12)),
        seen("old", 1, NOON + timedelta(hours=12, microseconds=1)),
        seen("never-served", 0),
        event("widget_seen", NOON, position=0),
    ]
    assert seen_positions(spark, told) == {"over-midnight": [1], "skewed": [0], "old": [0]}


def test_bots_and_who_did_not_agree_are_served_nothing_and_see_nothing(spark: SparkSession) -> None:
    told = [
        serving("person"),
        serving("refuser", is_consented=False),
        {**seen("person", 1), "is_consented": False},
        serving("bot", is_bot=True),
        {**seen("person", 0), "is_bot": True},
        seen("bot", 0),
    ]
    assert seen_positions(spark, told) == {"person": []}


def test_a_repeated_serving_and_one_without_id_or_propensity_are_refused_with_their_reason(
    spark: SparkSession,
) -> None:
    told = [
        serving("d1"),
        serving("d1", NOON + timedelta(days=1)),
        serving("d2"),
        serving("d2", NOON + timedelta(days=2)),
        serving(None),
        serving("torn", propensities=[0.5]),
        serving("odd", candidates=["bestsellers", "trending"]),
        serving("never", propensities=[0.5, 0.0, 0.125]),
        serving("sure", propensities=[1.5, 0.25, 0.125]),
    ]
    days = [date(2017, 11, 3) + timedelta(n) for n in range(3)]
    found = accept(build(table(spark, "events", told)), contract("decisions"), days)
    refused = [(row["decision_id"], row["_day"].day, row["_reason"]) for row in rows(found) if row["_reason"]]
    assert sorted(set(refused), key=str) == sorted(
        {
            (None, 3, "a serving needs a decision id"),
            ("d1", 4, "a decision is served once"),
            ("odd", 3, "a widget must be one of the candidates"),
            ("torn", 3, "a propensity lies above 0 and at most 1"),
            ("never", 3, "a propensity lies above 0 and at most 1"),
            ("sure", 3, "a propensity lies above 0 and at most 1"),
        },
        key=str,
    )
    assert [len([row for row in refused if row[0] == name]) for name in (None, "d1", "odd", "torn")] == [
        3,
        3,
        1,
        2,
    ]


def test_day_by_day_gives_the_rows_of_the_whole_range(spark: SparkSession) -> None:
    days = [date(2017, 11, 3) + timedelta(n) for n in range(4)]
    begin = local("2017-11-03 00:00:00")
    told = []
    for n in range(60):
        at = begin + timedelta(hours=97 * n / 60)
        told += [serving(f"d{n % 50}", at, subject=f"u{n % 7}")] + [
            seen(f"d{n % 50}", k, at + timedelta(hours=k * 7 - 1)) for k in range(3)
        ]
    events = table(spark, "events", told).cache()
    about = contract("decisions")
    whole = rows(accept(build(events), about, days))
    split = []
    for day in days:
        split += rows(accept(build(among(events, "event_date", [day], before=1, after=1)), about, [day]))
    assert sorted(map(str, split)) == sorted(map(str, whole))
    assert {row["is_seen"] for row in whole} == {True, False}
    assert {row["_reason"] for row in whole} == {None}
