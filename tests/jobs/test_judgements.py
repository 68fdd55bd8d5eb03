"""judgements: probabilities of what was served, under policies of the day before; the same in any split."""

from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import judgements, judging, steering
from jobs.config import FeatureSet, Page, Policy, load
from jobs.contracts import contract
from jobs.page_specs import Goals
from jobs.runs import Run, now, record, stale
from jobs.servings import by_spec
from jobs.shell import Ask, run_job
from jobs.tables import Tables
from ml.bandits import statistics
from ml.bandits.linucb import LinUCB
from ml.draw import DrawRule, slate_propensities
from ml.ope.covered import counts
from ml.ope.prefixes import along_prefixes
from ml.ope.slates import looked_at
from ml.ope.summary import OTHERS
from ml.rank import ruled
from tests.jobs.given import among, rows, table

FIRST = date(2017, 9, 1)
WIDGETS = ["bakery", "bestsellers", "dairy"]
FEATURES = FeatureSet.model_validate(
    {"name": "home-1", "page": "home", "context": [{"name": "intercept"}, {"name": "recency"}], "action": []}
)
PAGE = Page(page="home", positions=2, policy="any", temperature=0.3, floor=0.02)
LEARNED = Policy(name="learned", page="home", algorithm="linucb", feature_set="home-1", ridge=1.0, alpha=0.2)
ANY = Policy(name="any", page="home", algorithm="uniform", feature_set="home-1")
WIDGET_ROWS = [
    {"widget": widget, "changed_date": FIRST - timedelta(9), "pages": ["home"], "theme": theme,
     "core_theme": theme, "intent": "replenish"}
    for widget, theme in zip(WIDGETS, ("food", "popular", "food"), strict=True)
]  # fmt: skip
DAYS = [FIRST + timedelta(number) for number in range(3)]
SERVINGS = 7


def model(day: date) -> LinUCB:
    rng = np.random.default_rng(day.toordinal())
    x, arms = rng.normal(size=(90, 2)), rng.integers(0, 3, 90)
    return LinUCB(1.0, 0.2, rule=DrawRule(0.3, 0.02)).fit(
        statistics.of_rows(x, arms, rng.choice([0.0, 1.0, 3.0], 90), arms=3)
    )


def fitted(day: date) -> list[dict[str, Any]]:
    learned = model(day)
    common = {
        "fitted_date": day,
        "page": "home",
        "feature_set": "home-1",
        "widgets": WIDGETS,
        "n": [30, 30, 30],
    }
    parameters = {
        "theta": learned.theta_.ravel().tolist(),
        "covariance": statistics.pack(learned.covariance_).ravel().tolist(),
    }
    return [
        {**common, "policy_version": f"{spec.name}@{day}", "spec": spec.name, "spec_digest": digest, **own}
        for spec, digest, own in (
            (LEARNED, LEARNED.digest, parameters),
            (ANY, ANY.digest, {"theta": [0.0] * 6, "covariance": []}),
            # Another text of the spec, of before: not this policy.
            (LEARNED, "old", {"theta": [9.0] * 6, "covariance": parameters["covariance"]}),
        )
        if digest != "old" or day == DAYS[0]
    ]


def served(day: date) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rng = np.random.default_rng(day.toordinal() + 1)
    feedback, contexts = [], []
    for number in range(SERVINGS):
        order, name = rng.permutation(3)[:2], f"{day}-{number}"
        common = {"decision_date": day, "subject": f"u{number}", "subject_bucket": number % 2, "page": "home"}
        contexts.append(
            {**common, "draw_id": name, "feature_set": "home-1", "candidates": WIDGETS,
             "context": [1.0, float(rng.normal())], "action_context": []}
        )  # fmt: skip
        for position, arm in enumerate(order):
            is_seen = position == 0 or number % 2 == 0
            reward = float(rng.choice([0, 1, 3])) if is_seen else 0.0
            feedback.append(
                {**common, "decision_id": name, "position": position, "draw_id": name, "widget": WIDGETS[arm],
                 "served_at": datetime(day.year, day.month, day.day, 12, tzinfo=UTC), "propensity": 0.5,
                 "policy_version": f"old@{day}", "is_seen": is_seen, "reward": reward, "reward_version": "r1",
                 "rewards": {"basket": float(reward == 3), "revenue": 250.0 * reward}}
            )  # fmt: skip
    return feedback, contexts


SERVED = {day: served(day) for day in DAYS}


@pytest.fixture(scope="module")
def frames(spark: SparkSession) -> dict[str, Any]:
    return {
        "feedback": table(
            spark, "feedback", [row for feedback, _ in SERVED.values() for row in feedback]
        ).cache(),
        "contexts": table(
            spark, "contexts", [row for _, contexts in SERVED.values() for row in contexts]
        ).cache(),
        "widgets": table(spark, "widgets", WIDGET_ROWS),
        "policies": table(spark, "policies", [row for day in DAYS[:2] for row in fitted(day)]).cache(),
        "subject_features": table(
            spark,
            "subject_features",
            [{"subject": "u1", "subject_bucket": 1, "feature_date": DAYS[1], "role": "direct"}],
        ),
        "segments": table(
            spark,
            "segments",
            [
                {"subject": "u2", "as_of_date": day, "segmentation": of, "name": name}
                for day, of, name in (
                    (DAYS[1], "rfm", "core"),
                    (DAYS[1], "rfm:direct", "new"),
                    (DAYS[2], "rfm", "of the evening after"),
                )
            ],
        ),
    }


def test_servings_of_a_pages_default_are_one_cluster_in_its_own_bucket(frames, spark):
    """One draw that went to three subjects."""
    day, given = DAYS[2], dict(frames)
    _, contexts = SERVED[day]
    default = {**contexts[0], "subject": "default:home:07", "subject_bucket": 1}
    shown = among(frames["feedback"], "decision_date", [day]).where(F.col("draw_id") == f"{day}-0")
    to_three = [
        shown.withColumns(
            {"subject": F.lit(name), "decision_id": F.lit(f"{day}-{name}"), "subject_bucket": F.lit(0)}
        )
        for name in ("u0", "v1", "v2")
    ]
    given["feedback"] = reduce(DataFrame.unionByName, to_three, frames["feedback"])
    given["feedback"] = given["feedback"].where(F.col("decision_id") != f"{day}-0")
    given["contexts"] = table(spark, "contexts", [default, *contexts[1:]])
    found = [row for row in built(given, [day]) if row["spec"] == "any"]
    by_subject = {row["subject"]: (row["cluster"], row["subject_bucket"]) for row in found}
    assert by_subject == {
        **dict.fromkeys(("u0", "v1", "v2"), (f"{day}-0", 1)),
        **{f"u{number}": (None, number % 2) for number in range(1, SERVINGS)},
    }
    of_bucket = pa.Table.from_pylist(
        [{**row, "first": list(row["first"].items())} for row in found if row["subject_bucket"] == 1],
        schema=contract("judgements").arrow_schema,
    )
    (servings,) = by_spec(of_bucket).values()
    names = servings.table["subject"].to_pylist()
    codes = dict(zip(names, servings.judged.clusters.tolist(), strict=True))
    assert codes["u0"] == codes["v1"] == codes["v2"] != codes["u1"]
    assert len(set(codes.values())) == 4
    days = dict(zip(names, servings.logged().days.tolist(), strict=True))
    assert days["u0"] == days["v1"] == 0 < days["u1"]


def built(frames: dict[str, Any], days: list[date], page: Page = PAGE) -> list[dict[str, Any]]:
    given = {
        **frames,
        "feedback": among(frames["feedback"], "decision_date", days, before=1),
        "contexts": among(frames["contexts"], "decision_date", days),
    }
    frame = judgements.build(
        **given,
        days=days,
        pages={"home": page},
        specs={"learned": LEARNED, "any": ANY},
        feature_sets={"home-1": FEATURES},
        seed=5,
    )
    return rows(frame, "decision_id", "spec")


def test_a_serving_is_judged_by_the_policy_of_the_days_before_it(frames):
    found = built(frames, DAYS)
    # Nothing was fitted before the first day.
    assert {row["decision_date"] for row in found} == set(DAYS[1:])
    assert len(found) == 2 * 2 * SERVINGS
    alone = built(frames, DAYS[2:])
    assert alone == [row for row in found if row["decision_date"] == DAYS[2]]

    feedback, contexts = SERVED[DAYS[2]]
    own = [row for row in alone if row["spec"] == "learned"]
    assert all(row["revenue"] == [250.0 * reward for reward in row["rewards"]] for row in own)
    assert any(any(row["revenue"]) for row in own)
    x = np.array([row["context"] for row in contexts], dtype=np.float32)
    slates = np.array([[WIDGETS.index(widget) for widget in row["widgets"]] for row in own])
    learned = model(DAYS[1])
    values = learned.scores(x).astype(float) + learned.bonuses(x)
    everyone = np.ones(values.shape, dtype=bool)
    expected = slate_propensities(values, everyone, slates, temperature=0.3, floor=0.02)
    assert np.array([row["probabilities"] for row in own]) == pytest.approx(expected, abs=1e-12)
    # Half of the second positions were seen, the day before.
    seen = np.array([1.0, 4 / 7])
    predicted, _ = along_prefixes(values, slates, DrawRule(0.3, 0.02), learned.scores(x), seen)
    assert np.array([row["predicted"] for row in own]) == pytest.approx(predicted, abs=1e-9)
    rated = np.take_along_axis(learned.scores(x), slates, axis=1)
    assert np.array([row["rated"] for row in own]) == pytest.approx(rated, abs=1e-6)
    shown = np.array([row["exposures"] for row in own])
    assert ((shown > 0) & (shown <= 1)).all()
    assert all(row["modelled"] <= max(learned.scores(x)[place]) * seen.sum() for place, row in enumerate(own))
    assert {row["policy_version"] for row in own} == {f"learned@{DAYS[1]}"}
    assert {row["logging_policy"] for row in own} == {"old"}
    assert [row["role"] for row in own] == [None, "direct", *[None] * 5]
    assert [row["segments"] for row in own] == [None, None, ["rfm: core", "rfm:direct: new"], *[None] * 4]
    by_serving = {}
    for row in feedback:
        by_serving.setdefault(row["decision_id"], []).append(row["reward"])
    assert [row["rewards"] for row in own] == [by_serving[row["decision_id"]] for row in own]
    assert [row["basket"] for row in own] == [[float(each == 3) for each in row["rewards"]] for row in own]
    anything = next(row for row in alone if row["spec"] == "any")
    assert anything["probabilities"] == pytest.approx([1 / 3, 1 / 2], abs=1e-6)
    # Each of three is at either place as often, but for what 32 draws leave open at the second.
    assert anything["exposures"] == pytest.approx([(1 + 4 / 7) / 3] * 2, abs=0.07)
    assert sum(anything["first"].values()) == pytest.approx(1.0, abs=1e-6)


def test_a_day_whose_feedback_was_rebuilt_is_judged_again(spark, home):
    """What a basket earned after midnight came into the day before, in a run of another DAG."""
    config = load().model_copy(
        update={
            "pages": {"home": PAGE},
            "policies": {"learned": LEARNED, "any": ANY},
            "feature_sets": {"home-1": FEATURES},
            "late_days": 1,
        }
    )
    tables = Tables(config.tables)
    tables.append("policies", [row for day in DAYS[:2] for row in fitted(day)])
    tables.append("contexts", [row for _, contexts in SERVED.values() for row in contexts])

    def joined(run: str, days: list[date], extra: float = 0.0) -> None:
        """As the feedback job of a lake_etl run leaves it: its days, and a row in `runs`."""
        listed = ", ".join(f"'{day}'" for day in days)
        rows = [
            row | {"reward": row["reward"] + extra, "rewards": list(row["rewards"].items())}
            for day in days
            for row in SERVED[day][0]
        ]
        tables.replace(
            "feedback",
            pa.Table.from_pylist(rows, schema=contract("feedback").arrow_schema),
            f"decision_date IN ({listed})",
        )
        done = Run(
            run, "feedback", run, days[-1], days[-1] + timedelta(1), "", now(), days, output="feedback"
        )
        done.status, done.output_version = "published", tables.version("feedback")
        record(tables, done)

    def earned(day: date) -> float:
        table = tables.read("judgements").to_pylist()
        return sum(
            sum(row["rewards"]) for row in table if row["decision_date"] == day and row["spec"] == "any"
        )

    def judged(day: date, dag_run: str) -> Run:
        return run_job(judgements.JOB, Ask(day, day + timedelta(1), dag_run), config, spark)

    joined("lake-1", DAYS[:2])
    assert judged(DAYS[1], "evaluation-1").days == [DAYS[1]]
    before = earned(DAYS[1])
    joined("lake-2", DAYS[1:], extra=1.0)
    done = judged(DAYS[2], "evaluation-2")
    assert done.days == DAYS[1:]
    assert earned(DAYS[1]) == before + 2 * SERVINGS
    # Nothing was rebuilt since; and what was never judged is not begun.
    joined("lake-3", DAYS[:1])
    newest = tables.version("feedback")
    assert stale(tables, "judgements", "feedback", DAYS, newest) == set()
    joined("lake-4", DAYS[1:])
    assert stale(tables, "judgements", "feedback", DAYS, newest) == set()
    assert stale(tables, "judgements", "feedback", DAYS, tables.version("feedback")) == set(DAYS[1:])
    assert stale(tables, "judgements", "feedback", DAYS[:2], tables.version("feedback")) == {DAYS[1]}


STEERED = Page.model_validate({**PAGE.model_dump(), "rules": {"pins": {1: "dairy"}, "caps": {"food": 1}}})
THEMES = {row["widget"]: row for row in WIDGET_ROWS}


def test_a_page_drawn_under_rules_is_judged_by_what_they_allowed(
    spark: SparkSession, frames: dict[str, Any]
) -> None:
    text = steering.bind(STEERED, WIDGETS, THEMES)
    assert text is not None
    day, (feedback, contexts) = DAYS[2], SERVED[DAYS[2]]
    shown = [
        {**row, "widget": ("dairy", "bestsellers")[row["position"]], "propensity": 1.0} for row in feedback
    ]
    own = {
        **frames,
        "feedback": table(spark, "feedback", shown + SERVED[DAYS[1]][0]),
        "contexts": table(spark, "contexts", [{**row, "rules": text} for row in contexts]),
    }
    same, free = (built(own, [day], page) for page in (STEERED, PAGE))
    for found, page in ((same, STEERED), (free, PAGE)):
        learned = [row for row in found if row["spec"] == "learned"]
        assert len(learned) == SERVINGS
        x = np.array([row["context"] for row in contexts], dtype=np.float32)
        values = model(DAYS[1]).scores(x).astype(float) + model(DAYS[1]).bonuses(x)
        slates, everyone = np.tile([2, 1], (SERVINGS, 1)), np.ones((SERVINGS, 3), bool)
        rules = steering.read(text) if page is STEERED else None
        expected = ruled.slate_propensities(values, everyone, slates, rule=DrawRule(0.3, 0.02), rules=rules)
        assert np.array([row["probabilities"] for row in learned]) == pytest.approx(expected, abs=1e-12)
        is_seen = np.array([[row["is_seen"] for row in shown if row["decision_id"] == name]
                            for name in sorted({row["decision_id"] for row in shown})])  # fmt: skip
        number = counts(
            slates, looked_at(slates >= 0, is_seen), np.ones(slates.shape), expected.astype(float),
            np.array([row["exposures"] for row in learned]), steering.read(text), np.array([1.0, 4 / 7]),
        )  # fmt: skip
        assert np.array([row["counts"] for row in learned]) == pytest.approx(number, abs=1e-12)
        assert {tuple(row["opening"]) for row in found} == {("dairy",)}
    # Under the same rules bakery is never shown; without any it is, and the log says nothing of it.
    assert {row["unsure"] for row in same} == {0.0}
    assert [row["exposures"] for row in same] == [[1.0, pytest.approx(4 / 7)]] * len(same)
    anything = [row["unsure"] for row in free if row["spec"] == "any"]
    assert anything == pytest.approx([1 / 3] * SERVINGS, abs=0.05)


def test_a_page_with_goals_is_judged_by_what_it_is_drawn_by(frames, spark):
    weights, differences = {"reward": 1.0, "revenue": 2.0}, {"reward": 0.5, "revenue": 25.0}
    page = PAGE.model_copy(update={"goals": Goals(weights=weights, differences=differences)})
    revenue = np.array([10.0, 90.0, 40.0])
    worths = [*[1.0] * 6, *revenue.tolist(), *[1.0] * 3]
    kept = [
        {**row, "worths": worths if row["spec"] == "learned" else None}
        for day in DAYS[:2]
        for row in fitted(day)
    ]
    found = built({**frames, "policies": table(spark, "policies", kept)}, DAYS[2:], page)
    x = np.array([row["context"] for row in SERVED[DAYS[2]][1]], dtype=np.float32)
    learned = model(DAYS[1])
    reward = learned.scores(x).astype(float) + learned.bonuses(x)
    values = (reward / 0.5 + 2 * reward * revenue / 25) / 3 * 0.5
    own = [row for row in found if row["spec"] == "learned"]
    slates = np.array([[WIDGETS.index(widget) for widget in row["widgets"]] for row in own])
    everyone = np.ones(values.shape, dtype=bool)
    expected = slate_propensities(values, everyone, slates, temperature=0.3, floor=0.02)
    assert np.array([row["probabilities"] for row in own]) == pytest.approx(expected, rel=1e-4)
    # What does not expect rewards has no worths, and is judged as it is.
    anything = next(row for row in found if row["spec"] == "any")
    assert anything["probabilities"] == pytest.approx([1 / 3, 1 / 2], abs=1e-6)


def test_of_four_hundred_widgets_the_rare_ones_are_told_together():
    """No widget reaches 1 %, or one does: the rest is there under one name."""
    names = [f"w{number}" for number in range(400)]
    first = np.full((2, 400), 0.0025)
    first[1] = 0.5 / 399
    first[1, 7] = 0.5
    even, other = (dict(row) for row in judging._shown(first, names).to_pylist())
    assert even == {OTHERS: pytest.approx(1.0)}
    assert other == {"w7": 0.5, OTHERS: pytest.approx(0.5)}
    assert judging._shown(np.array([[0.25, 0.75]]), ["a", "b"]).to_pylist() == [[("a", 0.25), ("b", 0.75)]]
