"""contexts: what was served is copied, the rest is of the evening before, nothing of the day itself."""

from datetime import date, timedelta
from typing import Any

from pyspark.sql import SparkSession

from jobs import contexts
from jobs.config import Feature, FeatureSet
from tests.jobs.given import among, rows, table

MONDAY = date(2017, 10, 9)
INTERCEPT = Feature(name="intercept")
RECENCY = Feature(name="recency", center=2.0, scale=2.0, missing=-7.0)
SHARE = Feature(name="share/{widget}", missing=0.25)
SETS = {
    "start-1": FeatureSet(name="start-1", page="start", context=[INTERCEPT, RECENCY], action=[]),
    "start-2": FeatureSet(name="start-2", page="start", context=[INTERCEPT], action=[]),
    "home-1": FeatureSet(name="home-1", page="home", context=[INTERCEPT, RECENCY], action=[SHARE]),
}


def day(number: int) -> date:
    """Return the day so many days after Monday."""
    return MONDAY + timedelta(number)


def decision(
    draw: str, number: int = 0, subject: str = "u1", page: str = "start", **more: Any
) -> dict[str, Any]:
    told = {
        "decision_id": f"{draw}-{number}",
        "position": 0,
        "decision_date": day(number),
        "subject": subject,
        "subject_bucket": len(subject) % 2,
        "draw_id": draw,
        "page": page,
        "candidates": ["a", "b"],
    }
    return {**told, **more}


def known(subject: str, number: int, recency: float, **shares: float) -> dict[str, Any]:
    return {
        "subject": subject,
        "subject_bucket": len(subject) % 2,
        "feature_date": day(number),
        "features": {"recency": recency},
        "widget_shares": shares,
        "widget_reward_means": {},
    }


def layout(draw: str, number: int, subject: str = "u1", page: str = "start", **more: Any) -> dict[str, Any]:
    told = {
        "layout_date": day(number),
        "subject": subject,
        "subject_bucket": len(subject) % 2,
        "scenario": "live",
        "page": page,
        "draw_id": draw,
        "feature_set": f"{page}-1",
        "candidates": ["b", "a", "c"],
        "context": [1.0, 0.125],
        "action_context": [],
    }
    return {**told, **more}


def build(
    spark: SparkSession,
    days: list[date],
    decisions: list[dict[str, Any]],
    features: list[dict[str, Any]],
    layouts: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Build from the rows that the shell would hand over."""
    built = contexts.build(
        among(table(spark, "decisions", decisions), "decision_date", days),
        among(table(spark, "subject_features", features), "feature_date", days, before=1),
        among(table(spark, "layouts", layouts or []), "layout_date", days, before=8),
        feature_sets=SETS,
    )
    return rows(built, "draw_id", "decision_date", "feature_set")


def numbers(built: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[list[float], list[float], bool]]:
    """Contexts by draw and feature set."""
    return {
        (row["draw_id"], row["feature_set"]): (row["context"], row["action_context"], row["is_served"])
        for row in built
    }


def test_a_draw_of_another_system_gets_the_context_of_the_evening_before(spark: SparkSession) -> None:
    features = [known("u1", -2, 50.0), known("u1", -1, 6.0, a=0.5), known("u1", 0, 90.0, a=0.9, b=0.9)]
    decisions = [decision("x"), decision("y", page="home"), decision("y", page="home", position=1)]
    built = build(spark, [day(0)], decisions, features)
    assert numbers(built) == {
        ("x", "start-1"): ([1.0, 2.0], [], False),
        ("x", "start-2"): ([1.0], [], False),
        ("y", "home-1"): ([1.0, 2.0], [0.5, 0.25], False),
    }
    [home] = [row for row in built if row["page"] == "home"]
    told = {name: home[name] for name in ("decision_date", "subject", "subject_bucket", "candidates")}
    assert told == {"decision_date": day(0), "subject": "u1", "subject_bucket": 0, "candidates": ["a", "b"]}


def test_a_draw_on_request_keeps_the_rules_and_the_variant_it_was_served_with(spark: SparkSession) -> None:
    """What `layouts` says of a draw counts first; what is no rule of its candidates leaves a draw out."""
    rules = '{"pins":[1],"themes":[-1,-1],"caps":[],"spacing":0,"blocked":[]}'
    told = {"rules": rules, "variant": "phone"}
    decisions = [
        decision("asked", **told),
        decision("stored", **told),
        decision("strange", **{**told, "rules": "{"}),
        decision("other", **{**told, "candidates": ["a", "b", "c"]}),
    ]
    stored = [layout("stored", -1, variant="desktop", rules=None)]
    found = {
        (row["draw_id"], row["feature_set"]): (row["rules"], row["variant"])
        for row in build(spark, [day(0)], decisions, [known("u1", -1, 2.0)], stored)
    }
    assert found == {
        ("asked", "start-1"): (rules, "phone"),
        ("asked", "start-2"): (rules, "phone"),
        ("stored", "start-1"): (None, "desktop"),
        ("stored", "start-2"): (None, "desktop"),
    }


def test_candidates_may_differ_and_history_may_be_missing(spark: SparkSession) -> None:
    features = [known("u1", -1, 2.0, a=0.5, b=0.75, c=1.0)]
    decisions = [
        decision("x", page="home", candidates=["c", "a", "b"]),
        decision("y", page="home", candidates=["b"]),
        decision("z", page="home", candidates=["c", "a", "b"], subject="new"),
    ]
    found = numbers(build(spark, [day(0)], decisions, features))
    assert found == {
        ("x", "home-1"): ([1.0, 0.0], [1.0, 0.5, 0.75], False),
        ("y", "home-1"): ([1.0, 0.0], [0.75], False),
        ("z", "home-1"): ([1.0, -7.0], [0.25, 0.25, 0.25], False),
    }


def test_a_draw_that_stands_in_layouts_keeps_its_own_context(spark: SparkSession) -> None:
    layouts = [layout("x", number) for number in (-3, -2, -1, 0)]
    layouts += [layout("x", -1, scenario="what if", context=[1.0, 99.0])]
    built = build(spark, [day(0)], [decision("x")], [known("u1", -1, 6.0)], layouts)
    assert numbers(built) == {
        ("x", "start-1"): ([1.0, 0.125], [], True),
        ("x", "start-2"): ([1.0], [], False),
    }
    [served] = [row for row in built if row["is_served"]]
    assert served["candidates"] == ["b", "a", "c"]
    assert (served["subject"], served["decision_date"]) == ("u1", day(0))


def test_only_nights_before_the_day_and_no_older_than_eight_count(spark: SparkSession) -> None:
    nights = {"too old": -9, "oldest": -8, "newest": -1, "too late": 0}
    decisions = [decision(draw) for draw in nights]
    found = numbers(
        build(spark, [day(0)], decisions, [], [layout(draw, night) for draw, night in nights.items()])
    )
    assert {draw: is_served for (draw, name), (_, _, is_served) in found.items() if name == "start-1"} == {
        "too old": False,
        "oldest": True,
        "newest": True,
        "too late": False,
    }


def test_a_default_served_to_many_is_one_row_of_the_default(spark: SparkSession) -> None:
    default = layout("x", -1, "default:start:03", context=[1.0, -7.0])
    built = build(spark, [day(0)], [decision("x", subject="d1"), decision("x", subject="d22")], [], [default])
    served = [(row["subject"], row["feature_set"]) for row in built if row["is_served"]]
    assert served == [("default:start:03", "start-1")]
    assert len(numbers(built)) == len(built) == 2


def test_a_range_at_once_is_day_by_day_and_the_future_changes_nothing(spark: SparkSession) -> None:
    days = [day(number) for number in range(3)]
    decisions = [decision("x", number) for number in range(3)]
    decisions += [decision(f"y{number}", number, subject=f"s{number}", page="home") for number in range(3)]
    features = [
        known(f"s{subject}", number, float(number)) for subject in range(2) for number in range(-1, 3)
    ]
    layouts = [layout("x", number) for number in (-7, 0, 1)]
    at_once = build(spark, days, decisions, features, layouts)
    apart = []
    for one in days:
        before = [feature for feature in features if feature["feature_date"] < one]
        apart += build(
            spark, [one], decisions, before, [night for night in layouts if night["layout_date"] < one]
        )
    key = ("draw_id", "decision_date", "feature_set")
    assert at_once == sorted(apart, key=lambda row: tuple(str(row[name]) for name in key))
    assert len({tuple(row[name] for name in key) for row in at_once}) == len(at_once) == 9


def test_a_draw_keeps_its_rules_and_whom_they_let_it_choose_from_in_every_set(spark: SparkSession) -> None:
    layouts = [layout("x", -1, rules="these"), layout("y", -1)]
    built = build(spark, [day(0)], [decision("x"), decision("y")], [known("u1", -1, 6.0)], layouts)
    told = {(row["draw_id"], row["feature_set"]): (row["rules"], row["candidates"]) for row in built}
    assert told == {
        ("x", "start-1"): ("these", ["b", "a", "c"]),
        ("x", "start-2"): ("these", ["b", "a", "c"]),
        ("y", "start-1"): (None, ["b", "a", "c"]),
        ("y", "start-2"): (None, ["a", "b"]),
    }
