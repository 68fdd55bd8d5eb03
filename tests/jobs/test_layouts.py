"""layouts: each row is the draw of its epoch, the same in any split and any order of nights."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from jobs import layouts, steering
from jobs.config import ConfigError, FeatureSet, Page, Policy
from jobs.inputs import MissingInput
from ml.bandits import statistics
from ml.bandits.linucb import LinUCB
from ml.draw import DrawRule, slate_propensities
from ml.randomness import subject_keys, uniform
from ml.rank import ruled
from tests.jobs.given import rows, split, table

FIRST = date(2017, 9, 1)
SEED = 11
WIDGETS = ["bakery", "bestsellers", "dairy", "trending"]
FEATURES = FeatureSet.model_validate(
    {
        "name": "home-1",
        "page": "home",
        "context": [{"name": "intercept"}, {"name": "recency", "missing": 0.5}],
        "action": [{"name": "share/{widget}", "missing": 0.25}],
    }
)
SPEC = Policy(name="plain", page="home", algorithm="linucb", feature_set="home-1", ridge=1.0, alpha=0.3)
START_SPEC = SPEC.model_copy(update={"name": "first", "page": "start", "feature_set": "start-1"})
HOME = Page(page="home", positions=3, policy="plain", temperature=0.2, floor=0.01)
START = HOME.model_copy(update={"page": "start", "positions": 1, "policy": "first"})
SETS = {
    "home-1": FEATURES,
    "start-1": FEATURES.model_copy(update={"name": "start-1", "page": "start", "action": []}),
}


def on(day: int) -> date:
    return FIRST + timedelta(day)


def subject_name(number: int) -> str:
    return f"k1-{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}"


def last_active(number: int, day: int) -> int:
    """Subject 0 never comes; subject n comes every n-th day."""
    return day - day % number if number else -40


def features(days: Sequence[int], subjects: int = 12) -> list[dict[str, Any]]:
    return [
        {
            "subject": subject_name(number),
            "subject_bucket": number % 2,
            "feature_date": on(day),
            "last_active_date": on(last_active(number, day)),
            "features": {"recency": day - last_active(number, day) + number / 100},
            "widget_shares": {
                widget: (number * 7 + place * 3) % 10 / 10 for place, widget in enumerate(WIDGETS)
            },
            "widget_reward_means": {},
        }
        for day in days
        for number in range(subjects)
    ]


def model(day: int, width: int) -> LinUCB:
    rng = np.random.default_rng(day)
    x, action = rng.normal(size=(300, width)), rng.integers(0, len(WIDGETS), 300)
    return LinUCB(1.0, 0.3).fit(
        statistics.of_rows(x, action, rng.choice([0.0, 1, 3], 300), arms=len(WIDGETS))
    )


def fitted(days: Sequence[int], *specs: Policy) -> list[dict[str, Any]]:
    return [
        {
            "policy_version": f"{spec.name}@{on(day)}",
            "fitted_date": on(day),
            "page": spec.page,
            "spec": spec.name,
            "spec_digest": spec.digest,
            "widgets": WIDGETS,
            "theta": model(day, SETS[spec.feature_set].width).theta_.ravel().tolist(),
            "covariance": statistics.pack(model(day, SETS[spec.feature_set].width).covariance_)
            .ravel()
            .tolist(),
        }
        for day in days
        for spec in (specs or (SPEC, START_SPEC))
    ]


def widgets(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    first = [
        {"widget": widget, "changed_date": on(-60), "pages": ["home", "start"], "is_deleted": False}
        for widget in WIDGETS
    ]
    return [*first, *changes]


def built(spark: SparkSession, days: Sequence[int], **more: Any) -> list[dict[str, Any]]:
    known = more.pop("known", range(min(days) - 7, max(days) + 1))
    pages = more.pop("pages", {"home": HOME, "start": START})
    rows_of_features = more.pop("features", None) or features(known)
    before = more.pop("layouts", [])
    frame = layouts.build(
        table(spark, "subject_features", rows_of_features),
        table(spark, "policies", more.pop("policies", None) or fitted(known)),
        table(spark, "widgets", more.pop("widgets", widgets())),
        table(spark, "layouts", before),
        table(spark, "releases", more.pop("releases", [])),
        days=[on(day) for day in days],
        known_days={
            "subject_features": {row["feature_date"] for row in rows_of_features},
            "layouts": {row["layout_date"] for row in before},
        },
        pages=pages,
        specs=more.pop("specs", {"plain": SPEC, "first": START_SPEC}),
        feature_sets=SETS,
        subject_buckets=2,
        seed=SEED,
        **more,
    )
    return rows(frame, "scenario", "layout_date", "page", "subject")


@pytest.fixture(scope="module")
def night(spark: SparkSession) -> list[dict[str, Any]]:
    return built(spark, [20])


def of_subjects(found: list[dict[str, Any]], page: str = "home") -> dict[str, dict[str, Any]]:
    return {
        row["subject"]: row for row in found if row["page"] == page and not layouts.is_default(row["subject"])
    }


def test_every_subject_and_variant_has_a_layout_for_each_page(night: list[dict[str, Any]]) -> None:
    keys = {(row["subject"], row["page"]) for row in night}
    subjects = {(subject_name(number), page) for number in range(12) for page in ("home", "start")}
    defaults = {(layouts.default_subject(page, n), page) for page in ("home", "start") for n in range(64)}
    assert keys == subjects | defaults
    assert len(night) == len(keys)
    assert {row["layout_date"] for row in night} == {on(20)}
    assert {len(row["widgets"]) for row in night if row["page"] == "home"} == {3}
    assert {len(row["widgets"]) for row in night if row["page"] == "start"} == {1}


def test_who_has_no_features_of_the_night_gets_no_layout_whenever_the_epoch_began(
    spark: SparkSession,
) -> None:
    gone = {"subject": subject_name(3), "feature_date": on(20)}
    known = [row for row in features(range(13, 21)) if not gone.items() <= row.items()]
    night = built(spark, [19, 20], features=known, known=range(13, 21), pages={"start": START})
    subjects = {(row["subject"], row["layout_date"]) for row in night}
    assert (gone["subject"], on(19)) in subjects
    assert (gone["subject"], on(20)) not in subjects
    assert (subject_name(4), on(20)) in subjects


def test_a_row_is_the_draw_of_its_epochs_policy_and_features(night: list[dict[str, Any]]) -> None:
    for number in range(12):
        row = of_subjects(night)[subject_name(number)]
        day = (row["drawn_date"] - FIRST).days
        drawn = features([day])[number]
        x = np.array([1.0, drawn["features"]["recency"]], dtype=np.float32)
        own = np.array([drawn["widget_shares"][widget] for widget in WIDGETS], dtype=np.float32)
        assert row["candidates"] == WIDGETS
        assert row["context"] == x.tolist()
        assert row["action_context"] == own.tolist()
        assert row["policy_version"] == f"plain@{on(day)}"
        policy = model(day, 3)
        scores = policy.scores(x[None], own[None, :, None])
        bonuses = policy.bonuses(x[None], own[None, :, None])
        slate = np.array([[WIDGETS.index(widget) for widget in row["widgets"]]])
        assert np.allclose(row["scores"], scores[0, slate[0]], rtol=1e-5)
        assert np.allclose(row["bonuses"], bonuses[0, slate[0]], rtol=1e-5)
        expected = slate_propensities(
            scores.astype(np.float64) + bonuses,
            np.ones((1, 4), dtype=bool),
            slate,
            temperature=0.2,
            floor=0.01,
        )
        assert np.allclose(row["propensities"], expected[0], rtol=1e-5)


def test_the_draw_is_the_seeded_one(night: list[dict[str, Any]]) -> None:
    row = of_subjects(night, "start")[subject_name(3)]
    day = (row["drawn_date"] - date(1970, 1, 1)).days
    number = uniform(
        SEED, subject_keys([subject_name(3)]), page="start", purpose="draw", position=0, epoch=day
    )[0]
    policy = model((row["drawn_date"] - FIRST).days, 2)
    x = np.array([row["context"]], dtype=np.float32)
    ucb = (policy.scores(x).astype(np.float64) + policy.bonuses(x))[0] / 0.2
    probabilities = 0.01 + 0.96 * np.exp(ucb) / np.exp(ucb).sum()
    assert row["widgets"] == [WIDGETS[int((probabilities.cumsum() < number).sum())]]


def test_an_epoch_begins_with_activity_or_on_the_subjects_own_day(night: list[dict[str, Any]]) -> None:
    found = of_subjects(night)
    for number in range(12):
        drawn = (found[subject_name(number)]["drawn_date"] - FIRST).days
        assert max(14, last_active(number, 20)) <= drawn <= 20
    assert found[subject_name(1)]["drawn_date"] == on(20)
    assert len({found[subject_name(number)]["drawn_date"] for number in (0, 7, 8, 9, 11)}) > 1


def test_nights_in_any_order_or_at_once_give_the_same_rows(spark: SparkSession) -> None:
    together = built(spark, [18, 19, 21])
    one_by_one = [row for day in (19, 21, 18) for row in built(spark, [day])]
    key = ["layout_date", "page", "subject"]
    assert sorted(one_by_one, key=lambda row: [str(row[name]) for name in key]) == together


def test_a_draw_stands_while_its_epoch_lasts(spark: SparkSession) -> None:
    found = built(spark, list(range(14, 28)), pages={"home": HOME})
    shown = ("draw_id", "widgets", "propensities", "scores", "context", "policy_version", "drawn_date")
    for subject in {row["subject"] for row in found}:
        own = [row for row in found if row["subject"] == subject]
        assert len(own) == 14
        for before, after in pairwise(own):
            same = before["drawn_date"] == after["drawn_date"]
            assert same == (before["draw_id"] == after["draw_id"])
            if same:
                assert [before[name] for name in shown] == [after[name] for name in shown]
    quiet = {row["drawn_date"] for row in found if row["subject"] == subject_name(0)}
    assert len(quiet) == 3
    variants = {row["draw_id"] for row in found if layouts.is_default(row["subject"])}
    assert len(variants) == 64 * 2 + sum(1 for number in range(64) if quiet_days(number) == 3)


def quiet_days(number: int) -> int:
    """How many epochs of a variant the days 14 to 27 touch."""
    ages = [(on(day) - date(1970, 1, 1)).days - number for day in range(14, 28)]
    return len({age // 7 for age in ages})


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_no_split_changes_a_bit(spark: SparkSession, night: list[dict[str, Any]], partitions: int) -> None:
    with split(spark, partitions):
        assert built(spark, [20], features=features(range(13, 21))[::-1]) == night


def test_a_change_of_the_candidates_or_the_spec_draws_all_anew(spark: SparkSession) -> None:
    dropped = {"widget": "dairy", "changed_date": on(20), "pages": ["home"], "is_deleted": True}
    found = built(spark, [20], pages={"home": HOME}, widgets=widgets(dropped))
    assert {row["drawn_date"] for row in found} == {on(20)}
    assert {tuple(row["candidates"]) for row in found} == {("bakery", "bestsellers", "trending")}
    other = SPEC.model_copy(update={"alpha": 0.1})
    policies = fitted(range(13, 19), other) + fitted([19, 20], SPEC)
    found = built(spark, [20], pages={"home": HOME}, policies=policies)
    assert {row["drawn_date"] for row in found} == {on(19), on(20)}


def test_an_id_stands_for_one_context_and_its_propensities(
    spark: SparkSession, night: list[dict[str, Any]]
) -> None:
    late = features(range(13, 21))
    changed = next(row for row in late if row["subject"] == subject_name(1) and row["feature_date"] == on(20))
    changed["features"] = {"recency": 0.125}
    before = of_subjects(night)
    after = of_subjects(built(spark, [20], pages={"home": HOME}, features=late))
    others = {name for name in before if before[name]["draw_id"] != after[name]["draw_id"]}
    assert others == {subject_name(1)}
    assert after[subject_name(1)]["context"] == [1.0, 0.125]


def test_before_any_policy_every_candidate_is_as_likely(spark: SparkSession) -> None:
    found = built(spark, [20], pages={"start": START}, policies=fitted([20], SPEC))
    assert {row["policy_version"] for row in found} == {"first@none"}
    assert {tuple(row["scores"]) for row in found} == {(0.0,)}
    assert np.allclose([row["propensities"] for row in found], 0.25, atol=1e-6)
    assert {row["widgets"][0] for row in found} == set(WIDGETS)


def test_a_missing_refit_leaves_the_policy_that_was_live(spark: SparkSession) -> None:
    found = of_subjects(built(spark, [20], pages={"home": HOME}, policies=fitted([3, 9], SPEC)))
    assert {row["policy_version"] for row in found.values()} == {f"plain@{on(9)}"}
    assert found[subject_name(1)]["drawn_date"] == on(20)


def test_a_widget_never_shown_is_explored(spark: SparkSession) -> None:
    new = {"widget": "apples", "changed_date": on(20), "pages": ["home"], "is_deleted": False}
    found = built(spark, [20], pages={"home": HOME.model_copy(update={"positions": 5})}, widgets=widgets(new))
    assert {tuple(sorted(row["widgets"])) for row in found} == {("apples", *WIDGETS)}
    of_apples = [
        (row["scores"][place], row["bonuses"][place])
        for row in found
        for place in [row["widgets"].index("apples")]
    ]
    assert {score for score, _ in of_apples} == {0.0}
    lengths = [0.3 * np.sqrt(np.square([*row["context"], row["action_context"][0]]).sum()) for row in found]
    assert np.allclose([bonus for _, bonus in of_apples], lengths, rtol=1e-5)


def test_fewer_candidates_than_positions_give_a_shorter_layout(spark: SparkSession) -> None:
    dropped = [{**row, "changed_date": on(18), "is_deleted": True} for row in widgets()[:2]]
    found = built(spark, [20], pages={"home": HOME}, widgets=widgets(*dropped))
    assert {tuple(sorted(row["widgets"])) for row in found} == {("dairy", "trending")}
    assert {row["propensities"][1] for row in found} == {1.0}


def test_other_scenarios_of_the_day_are_handed_through(
    spark: SparkSession, night: list[dict[str, Any]]
) -> None:
    again = built(spark, [20], scenario="what-if", layouts=night, pages={"home": HOME})
    assert [row for row in again if row["scenario"] == "live"] == night
    assert {row["scenario"] for row in again} == {"live", "what-if"}
    same = ("subject", "draw_id", "widgets", "propensities")
    assert [[row[name] for name in same] for row in again if row["scenario"] == "what-if"] == [
        [row[name] for name in same] for row in night if row["page"] == "home"
    ]


def test_the_draw_id_names_the_rules_of_the_draw(spark: SparkSession, night: list[dict[str, Any]]) -> None:
    ids = [row["draw_id"] for row in night]
    assert len(set(ids)) == len(ids)
    assert {len(name) for name in ids} == {32}
    warmer = built(spark, [20], pages={"home": HOME.model_copy(update={"temperature": 0.3})})
    assert not {row["draw_id"] for row in warmer} & set(ids)


def test_a_subject_without_values_gets_the_missing_ones(night: list[dict[str, Any]]) -> None:
    default = next(row for row in night if row["subject"] == layouts.default_subject("home", 5))
    assert default["context"] == [1.0, 0.5]
    assert default["action_context"] == [0.25] * 4
    assert default["subject_bucket"] == 1
    assert len({tuple(row["widgets"]) for row in night if layouts.is_default(row["subject"])}) > 8


@pytest.mark.parametrize(
    ("known", "policy_days"),
    [
        pytest.param([2, 13], [2], id="no features of an epoch's days"),
        pytest.param([16, 17], [18], id="none since the spec has a policy"),
        pytest.param([16, 17, 18, 19], [2], id="none of the night itself"),
    ],
)
def test_a_night_that_could_only_show_defaults_stops(
    spark: SparkSession, known: list[int], policy_days: list[int]
) -> None:
    said = "defaults after 2017-09-21: subject_features has no row of that day. Run lake"
    with pytest.raises(MissingInput, match=said):
        built(spark, [20], features=features(known), policies=fitted(policy_days))


def test_a_page_without_widgets_stops_the_run(spark: SparkSession) -> None:
    with pytest.raises(
        MissingInput, match=r"page 'home' has no widget as of 2017-09-\d\d: name it in a widget's pages"
    ):
        built(spark, [20], widgets=[])


def test_a_changed_feature_set_needs_a_new_name(spark: SparkSession) -> None:
    with pytest.raises(Exception, match="give a changed feature set a new name"):
        built(
            spark,
            [20],
            pages={"home": HOME},
            policies=[{**row, "theta": [0.0] * 16} for row in fitted(range(13, 21), SPEC)],
        )


def test_epochs_longer_than_what_is_read_are_refused(spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match="epoch_days = 8 cannot be: it must lie in 1 to 7"):
        built(spark, [20], epoch_days=8)


def test_what_was_served_stays_and_what_differs_now_is_a_backfills(
    spark: SparkSession, night: list[dict[str, Any]]
) -> None:
    same = built(spark, [20], layouts=night, served_until=on(20))
    assert same == sorted(night, key=lambda row: (row["page"], row["subject"]))
    other = built(spark, [20], layouts=night, served_until=on(20), policies=fitted(range(10, 20)))
    live = [row for row in other if row["scenario"] == "live"]
    differing = [row for row in other if row["scenario"] == "backfill"]
    assert live == same
    assert 0 < len(differing) <= len(night)
    served = {(row["page"], row["subject"]): row for row in same}
    for row in differing:
        assert {**row, "scenario": "live"} != served[row["page"], row["subject"]]


def test_what_no_reader_saw_makes_no_backfill_of_a_night_that_was_served(
    spark: SparkSession, night: list[dict[str, Any]]
) -> None:
    """As rows of other code have it: other terms, and null for a page without variants."""
    served = [{**row, "terms": "other", "variant": None} for row in night]
    again = built(spark, [20], layouts=served, served_until=on(20))
    assert again == sorted(served, key=lambda row: (row["page"], row["subject"]))
    strange = [{**row, "scores": [0.5] * len(row["scores"])} for row in served[:1]]
    again = built(spark, [20], layouts=[*strange, *served[1:]], served_until=on(20))
    assert [(row["page"], row["subject"]) for row in again if row["scenario"] == "backfill"] == [
        (row["page"], row["subject"]) for row in strange
    ]


def test_a_day_older_than_the_live_generations_is_a_backfills(spark: SparkSession) -> None:
    older = built(spark, [19, 20], served_until=on(19))
    assert {(row["layout_date"], row["scenario"]) for row in older} == {
        (on(19), "backfill"),
        (on(20), "live"),
    }


def released(
    day: int, spec: Policy, *, since: int | None = None, fitted: int | None = None
) -> dict[str, Any]:
    """A verdict as the gate leaves it; `fitted` is the day whose version readers see."""
    details = {"page": spec.page, "spec_digest": spec.digest}
    if fitted is not None:
        details |= {"is_live": "yes", "serves": f"{spec.name}@{on(fitted)}"}
    if since is not None:
        details["live_since"] = on(since).isoformat()
    return {"kind": "policy", "name": spec.name, "as_of_date": on(day), "verdict": "yes", "details": details}


def test_the_live_policy_is_what_releases_say_and_the_night_it_changes_all_are_drawn_anew(spark):
    bold = SPEC.model_copy(update={"name": "bold", "alpha": 0.9})
    releases = [
        released(9, SPEC, fitted=9),
        released(10, bold, since=10, fitted=10),
        released(11, bold, since=10, fitted=10),  # the refit of that night moved too far
        released(11, SPEC),
    ]
    given = {
        "pages": {"home": HOME},
        "specs": {"plain": SPEC, "bold": bold},
        "policies": fitted(range(2, 13), SPEC, bold),
        "releases": releases,
    }
    found = built(spark, [9, 10, 11, 12], known=range(2, 13), **given)
    by_night = {
        day: {row["policy_version"] for row in found if row["layout_date"] == on(day)}
        for day in (9, 10, 11, 12)
    }
    assert {version.partition("@")[0] for version in by_night[9]} == {"plain"}
    # Evaluation was late on the last night: what was live stays.
    assert by_night[10] == by_night[11] == by_night[12] == {f"bold@{on(10)}"}
    assert len({(row["layout_date"], row["subject"]) for row in found}) == len(found)
    alone = built(spark, [11], known=range(2, 12), **given)
    assert alone == [row for row in found if row["layout_date"] == on(11)]


THEMES = {"bakery": "food", "bestsellers": "popular", "dairy": "food", "trending": "popular"}
LABELLED = [
    {**widget, "theme": THEMES[widget["widget"]], "core_theme": "any", "intent": "any"}
    for widget in widgets()
]


def steered(**rules: Any) -> Page:
    return Page.model_validate({**HOME.model_dump(), "rules": rules})


def test_rules_steer_a_page_and_are_kept_beside_the_draw(
    spark: SparkSession, night: list[dict[str, Any]]
) -> None:
    home = steered(
        caps={"food": 1}, pins={2: "trending"}, diversity={"kind": "mmr", "strength": 0.2},
        eligible={"bakery": {"roles": ["consultant"]}},
    )  # fmt: skip
    known = features(range(13, 21))
    for row in known:
        row["role"] = "consultant" if row["subject"] == subject_name(3) else "direct"
    found = built(spark, [20], pages={"home": home, "start": START}, widgets=LABELLED, features=known)
    for row in found:
        if row["page"] == "start":
            assert row["rules"] is None
            continue
        assert len(row["widgets"]) == len(row["propensities"]) == len(row["reasons"]) == 3
        assert row["widgets"][1] == "trending"
        assert row["propensities"][1] == 1
        assert row["reasons"][1] == "pinned"
        assert sum(THEMES[widget] == "food" for widget in row["widgets"]) == 1
        mine = WIDGETS if row["subject"] == subject_name(3) else WIDGETS[1:]
        assert row["candidates"] == mine
        slate = np.array([[mine.index(widget) for widget in row["widgets"]]])
        policy, x = model((row["drawn_date"] - FIRST).days, 3), np.array([row["context"]], dtype=np.float32)
        own = np.array(row["action_context"], dtype=np.float32)[None, :, None]
        chosen = policy.select(np.array([WIDGETS.index(widget) for widget in mine]))
        values = chosen.scores(x, own).astype(np.float64) + chosen.bonuses(x, own)
        expected = ruled.slate_propensities(
            values,
            np.ones(values.shape, bool),
            slate,
            rule=DrawRule(0.2, 0.01),
            rules=steering.read(row["rules"]),
        )
        assert np.allclose(row["propensities"], expected[0], rtol=1e-5)
    assert [row for row in found if row["page"] == "start"] == [
        row for row in night if row["page"] == "start"
    ]


def test_goals_change_what_is_drawn_by_and_their_price_of_likeness_is_a_rule(
    spark: SparkSession, night: list[dict[str, Any]]
) -> None:
    weights = {"reward": 1.0, "revenue": 2.0, "freshness": 1.0, "diversity": 0.5}
    differences = {"reward": 0.5, "revenue": 30.0, "freshness": 0.2, "diversity": 0.4}
    goals = {"weights": weights, "differences": differences}
    home = Page.model_validate({**HOME.model_dump(), "goals": goals})
    worths = np.random.default_rng(5).random((4, len(WIDGETS))) * [[1], [1], [90], [1]]
    kept = [{**row, "worths": worths.ravel().tolist()} for row in fitted(range(13, 21))]
    asked = {"pages": {"home": home, "start": START}, "widgets": LABELLED, "policies": kept}
    found = of_subjects(built(spark, [20], **asked))
    before = of_subjects(night)
    for name, row in found.items():
        assert row["draw_id"] != before[name]["draw_id"]
        assert steering.read(row["rules"]).strength == pytest.approx(0.5 / 4.5 * 0.5 / 0.4)
        policy, x = model((row["drawn_date"] - FIRST).days, 3), np.array([row["context"]], dtype=np.float32)
        own = np.array(row["action_context"], dtype=np.float32)[None, :, None]
        reward = policy.scores(x, own).astype(np.float64) + policy.bonuses(x, own)
        values = (reward / 0.5 + 2 * reward * worths[2] / 30 + worths[3] / 0.2) * 0.5 / 4.5
        slate = np.array([[WIDGETS.index(widget) for widget in row["widgets"]]])
        everyone = np.ones(values.shape, bool)
        rules = steering.read(row["rules"])
        expected = ruled.slate_propensities(values, everyone, slate, rule=DrawRule(0.2, 0.01), rules=rules)
        assert np.allclose(row["propensities"], expected[0], rtol=1e-4)
        scores = policy.scores(x, own)[0, slate[0]]
        assert np.allclose(row["scores"], scores, rtol=1e-5)
    assert any(row["widgets"] != before[name]["widgets"] for name, row in found.items())


def test_whom_rules_leave_nothing_gets_defaults_and_the_operator_is_told(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    consultants = {widget: {"roles": ["consultant"]} for widget in WIDGETS}
    home = steered(eligible=consultants, pins={1: "gone"})
    known = features(range(13, 21))
    for row in known:
        row["role"] = "consultant" if row["subject"] == subject_name(3) else None
    found = built(spark, [20], pages={"home": home}, widgets=LABELLED, features=known)
    own = {row["subject"]: row for row in found if not layouts.is_default(row["subject"])}
    assert [subject for subject, row in own.items() if row["widgets"]] == [subject_name(3)]
    assert {(row["draw_id"], len(row["widgets"])) for row in own.values()} >= {(None, 0)}
    assert len(own) == 12
    defaults = [row for row in found if layouts.is_default(row["subject"])]
    assert len(defaults) == 64
    assert {row["rules"] for row in defaults} == {None}
    assert {tuple(row["candidates"]) for row in defaults} == {tuple(WIDGETS)}
    unknown, empty = caplog.messages[:2]
    assert unknown == (
        f"Page home: rules.pins names 'gone', which is none of its widgets as of {on(20)}: it is left out."
    )
    assert empty.startswith(f"Page home: its rules leave no widget for everyone as of {on(20)}: its defaults")


def test_a_page_that_runs_out_of_widgets_is_shorter(spark: SparkSession) -> None:
    home = steered(caps={"food": 1, "popular": 1})
    found = built(spark, [20], pages={"home": home}, widgets=LABELLED)
    assert {len(row["widgets"]) for row in found} == {2}
    assert all(len({THEMES[widget] for widget in row["widgets"]}) == 2 for row in found)
