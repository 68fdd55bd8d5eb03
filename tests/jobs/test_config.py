"""conf/ is checked on load: what is wrong is one sentence that names file, key and what was expected."""

import re
import shutil
from datetime import date
from pathlib import Path

import pytest

from jobs.config import ROOT, ConfigError, load, segment_counts


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    return tmp_path / "conf"


def test_overlays_change_only_what_they_name() -> None:
    config = load(overlays="demo,test")
    assert config.business_time_zone == "America/New_York"
    assert config.engine.kind == "local"
    plain = {"version": "r1", "basket": 3.0, "detail": 1.0, "detail_seconds": 20}
    assert config.reward.model_dump() == {**plain, "follow_hours": 10, "display_seconds": 60, "roles": None}
    assert load(overlays="").reward.roles is not None
    assert config.sources["telemetry"].since == date(2017, 8, 18)
    assert config.sources["telemetry"].form == "otlp"


def test_the_whole_replay_begins_earlier_and_is_else_the_demo() -> None:
    demo, full = load(overlays="demo"), load(overlays="demo,full")
    earlier = date(2017, 8, 18) - date(2017, 2, 12)
    # Models need some closings behind them, wherever the log begins.
    closings = {"closing_training": date(2017, 6, 18)}
    assert full.since == {table: since - earlier for table, since in demo.since.items()} | closings
    dated = {name: source.since for name, source in full.sources.items() if source.since}
    assert dated == dict.fromkeys(("telemetry", "tags"), date(2017, 2, 12))
    same = {"since", "sources"}
    assert full.model_dump(exclude=same) == demo.model_dump(exclude=same)


@pytest.mark.parametrize(
    ("overlay", "sentence"),
    [
        (
            "sesion_gap_minutes: 30",
            "broken.yaml: sesion_gap_minutes is not a known key; remove it or mend its spelling.",
        ),
        (
            "reward: {basket: three}",
            "broken.yaml: reward.basket = 'three' cannot be: input should be a valid number",
        ),
        ("jobs: {evnets: {copy_minutes: 5}}", "jobs.evnets is no table, job or DAG; mend its spelling."),
        ("since: {evnets: 2017-08-18}", "since.evnets is no table, job or DAG; mend its spelling."),
        (
            "late_days: -1",
            "broken.yaml: late_days = -1 cannot be: input should be greater than or equal to 0.",
        ),
        (
            "business_time_zone: Mars/Base",
            "business_time_zone = 'Mars/Base' cannot be: 'Mars/Base' is not a time zone",
        ),
        (
            "engine: {kind: connect}\nengine: {kind: local}",
            "broken.yaml, line 2: the key 'engine' is given twice.",
        ),
        (
            "maintenance: {vacuum_hours: 23}",
            "maintenance.vacuum_hours = 23 cannot be: input should be greater than or equal to 24.",
        ),
        (
            "maintenance: {runs_days: 59}",
            "maintenance.runs_days = 59 cannot be: input should be greater than or equal to 60.",
        ),
        ("told: [seed]", "broken.yaml: told is not a known key; remove it or mend its spelling."),
        ("- a list", "broken.yaml must hold keys and values, not a list."),
        (
            "sources: {tags: {form: parquet}}",
            "sources.tags.form = 'parquet' cannot be: input should be 'otlp', 'ga4'",
        ),
    ],
)
def test_a_wrong_key_type_or_value_is_named(conf: Path, overlay: str, sentence: str) -> None:
    (conf / "broken.yaml").write_text(overlay)
    with pytest.raises(ConfigError) as error:
        load(conf, overlays="demo,broken")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_overlay_is_named(conf: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml is missing\."):
        load(conf, overlays="nowhere")


def test_a_page_without_its_policy_is_named(conf: Path) -> None:
    page = (conf / "pages" / "start.yaml").read_text().replace("category1-start", "linucb-nowhere")
    (conf / "pages" / "start.yaml").write_text(page)
    with pytest.raises(
        ConfigError, match=r"pages/start\.yaml: policy 'linucb-nowhere' is none of conf/policies"
    ):
        load(conf, overlays="demo")


ABOUT = "page: home\nfeature_set: home-1\n"


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("algorithm: linucb\nridge: 1.0", "broken.yaml: linucb needs alpha; add it."),
        ("algorithm: uniform\nridge: 1.0", "broken.yaml: ridge means nothing to uniform; remove it."),
        (
            "algorithm: linucb\nridge: 1.0\nalpha: 0.1\nepsilon: 0.1",
            "broken.yaml: epsilon means nothing to linucb; remove it.",
        ),
        (
            "algorithm: epsilon_greedy\nridge: 1.0\nepsilon: 2.0",
            "broken.yaml: epsilon = 2.0 cannot be: input should be less than or equal to 1.",
        ),
        (
            "algorithm: linuct",
            "broken.yaml: algorithm = 'linuct' cannot be: input should be 'linucb', 'lints'",
        ),
        (
            "algorithm: lints\nridge: 1.0\nalpha: 0.1\nlabels: [intent]",
            "broken.yaml: arms share by labels and a shared_ridge: give both or neither.",
        ),
        (
            "algorithm: linucb\nridge: 1.0\nalpha: 0.1\nlabels: [colour]\nshared_ridge: 1.0",
            "broken.yaml: labels.0 = 'colour' cannot be: input should be 'theme', 'core_theme'",
        ),
        (
            "algorithm: linucb\nridge: 1.0\nalpha: 0.1\nwindow_days: 3\nopen_days: 3",
            "broken.yaml: open_days must be fewer than window_days",
        ),
        (
            "algorithm: constant\nwidgets: []",
            "broken.yaml: widgets of a constant are one or more names, best first, each once.",
        ),
        ("algorithm: linucb\nridge: 1.0\nalpha: 0.1\nrigde: 2.0", "broken.yaml: rigde is not a known key"),
        (
            "algorithm: ensemble\nmembers: {linucb-home: 1.0}",
            "broken.yaml: ensemble learns from rows, and the nightly jobs fit policies from daily statistics",
        ),
        (
            "algorithm: boosted\nlibrary: xgboost",
            "; name one of linucb, lints, epsilon_greedy, softmax, uniform, constant, household_mean, or",
        ),
    ],
)
def test_a_spec_is_checked_against_its_algorithm(conf: Path, spec: str, sentence: str) -> None:
    (conf / "policies" / "broken.yaml").write_text(ABOUT + spec)
    with pytest.raises(ConfigError) as error:
        load(conf, overlays="demo")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_digest_moves_with_what_matters_and_not_with_where_it_runs(conf: Path) -> None:
    before = load(conf, overlays="demo").digest
    assert load(conf, overlays="demo,test").digest == before
    (conf / "kept.yaml").write_text("maintenance: {runs_days: 999}")
    assert load(conf, overlays="demo,kept").digest == before
    (conf / "other.yaml").write_text("seed: 1")
    assert load(conf, overlays="demo,other").digest != before


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("features: []", "features = [] cannot be: list should have at least 1 item"),
        (
            "features: [{name: recency}, {name: recency}]",
            "cannot be: the feature 'recency' is given twice.",
        ),
        ("k: 8-2\nfeatures: [{name: recency}]", "k = '8-2' cannot be: k = '8-2' cannot be: give 2 to 20"),
        ("k: some\nfeatures: [{name: recency}]", "k = 'some' is neither a number of segments nor a range"),
        (
            "features: [{name: recency, transform: log}]",
            "features.0.transform = 'log' cannot be: input should be 'auto', 'identity', 'log1p' or 'sqrt'",
        ),
    ],
)
def test_a_wrong_segmentation_is_named(conf: Path, text: str, sentence: str) -> None:
    (conf / "segmentations" / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load(conf, overlays="demo")
    assert "segmentations/bad.yaml: " in str(error.value)
    assert sentence in str(error.value)


def test_segments_are_counted_by_number_or_range() -> None:
    assert segment_counts(4) == segment_counts("4") == [4]
    assert segment_counts("2-8") == [2, 3, 4, 5, 6, 7, 8]
    for wrong in ("1", "2-21", "5-3", "2-", "-3", "x"):
        with pytest.raises(ValueError):
            segment_counts(wrong)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("visits_7: {of: visits, window: 0, meaning: m}", "visits_7.window = 0 cannot be"),
        ("visits_7: {of: clicks, meaning: m}", "visits_7.of = 'clicks' cannot be"),
        ("visits_7: {meaning: m}", "a feature counts `of` something, or is `computed` by name"),
        (
            "late: {of: sales, how: days_since_last, meaning: m}",
            "days are counted since the first or last of all visits",
        ),
        ("visits_7: {of: visits, window: 7}", "visits_7.meaning is missing"),
    ],
)
def test_a_feature_that_cannot_be_is_named(conf: Path, entry: str, sentence: str) -> None:
    file = conf / "features.yaml"
    file.write_text(file.read_text().replace("features:\n", f"features:\n  {entry}\n", 1))
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        load(conf, "demo")


def test_a_feature_of_a_set_must_be_declared(conf: Path) -> None:
    file = conf / "features.yaml"
    file.write_text(file.read_text().replace("- {name: recency,", "- {name: recencie,", 1))
    with pytest.raises(ConfigError, match="start-1: 'recencie' is no declared feature"):
        load(conf, "demo")


def test_what_follows_an_outcome_must_lie_within_the_neighbouring_day(conf: Path) -> None:
    file = conf / "base.yaml"
    file.write_text(file.read_text().replace("follow_hours: 10", "follow_hours: 11", 1))
    said = "trace_hours = 12 and reward.follow_hours = 11 are more than 22 hours together"
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(conf, "demo")


def test_the_horizon_of_rewards_follows_from_the_windows_of_conf() -> None:
    config = load(overlays="")
    assert config.reward_hours == 12 + 10
    feedback = config.with_arguments("feedback", {"trace_hours": 0}, ())
    assert feedback.reward_hours == max(1 + 10, 12)  # a basket within the session gap, or seen late
    short = config.reward.model_copy(update={"follow_hours": 2})
    assert feedback.model_copy(update={"reward": short}).reward_hours == 12


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ("caps: {bakery: 1}", "rules.caps: theme 'bakery' is none of conf/labels.yaml: assortment, drug gm,"),
        ("caps: {grocery: -1}", "rules.caps.grocery = -1 cannot be: input should be greater than or equal"),
        ("pins: {7: trending}", "rules.pins names position 7, but this page has positions 1 to 6."),
        ("pins: {0: trending}", "rules.pins names position 0, but this page has positions 1 to 6."),
        (
            f"pins: {{{', '.join(f'{n}: w{n}' for n in range(1, 8))}}}",
            "7 pins do not fit a page of 6 positions: take some out.",
        ),
        ("pins: {1: trending, 2: trending}", "'trending' is pinned twice; a page shows a widget once."),
        ("pins: {1: a, 2: b}\n  blocked: [[b, a]]", "'b' and 'a' are pinned, and blocked beside each other."),
        ("blocked: [[a, a]]", "blocked holds pairs of two widgets, as [a, b]: not ['a', 'a']."),
        ("blocked: [[a, b, c]]", "blocked holds pairs of two widgets, as [a, b]: not ['a', 'b', 'c']."),
        ("diversity: {kind: mmr}", "kind mmr at strength 0.0: mmr and dpp need one above 0, none 0."),
        (
            "diversity: {kind: random, strength: 1.0}",
            "rules.diversity.kind = 'random' cannot be: input should be 'mmr', 'dpp' or 'none'.",
        ),
        (
            "eligible: {trending: {roles: [king]}}",
            "rules.eligible.trending.roles.0 = 'king' cannot be: input should be 'consultant',",
        ),
        (
            "eligible: {trending: {}}",
            "name the roles, regions, devices or dayparts of a widget, or leave it out.",
        ),
        ("spaces: 1", "rules.spaces is not a known key; remove it or mend its spelling."),
        (
            f"caps: {{{', '.join(f'{name}: 0' for name in load(overlays='demo').labels.theme)}}}",
            "rules.caps gives every theme 0 places: no widget is left for the page.",
        ),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused_on_load(conf: Path, rules: str, sentence: str) -> None:
    page = (conf / "pages" / "home.yaml").read_text()
    (conf / "pages" / "home.yaml").write_text(f"{page}rules:\n  {rules}\n")
    with pytest.raises(ConfigError) as error:
        load(conf, overlays="demo")
    assert sentence in str(error.value)
    assert "home.yaml: " in str(error.value)
    assert "\n" not in str(error.value)


def test_rules_are_read(conf: Path) -> None:
    page = (conf / "pages" / "home.yaml").read_text()
    rules = """rules:
  diversity: {kind: mmr, strength: 0.1}
  caps: {grocery: 2}
  spacing: 1
  pins: {2: trending}
  blocked: [[bestsellers, trending]]
  eligible: {trending: {roles: [consultant]}}
"""
    (conf / "pages" / "home.yaml").write_text(page + rules)
    told = load(conf, overlays="demo").pages["home"].rules
    assert told is not None
    assert told.pins == {2: "trending"}
    assert told.blocked == [("bestsellers", "trending")]
    assert told.named == {"trending": "pins", "bestsellers": "blocked"}
    assert [told.eligible["trending"].has(role, None) for role in ("consultant", "direct", None)] == [
        True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("names", ["[A. Person]", "[A. Person, a.  person]", "[A. Person, '']", "[]"])
def test_a_label_value_needs_two_people(conf: Path, names: str) -> None:
    told = (conf / "labels.yaml").read_text()
    new = f"  travel: {{approved_by: {names}, since: 2026-11-29}}\n"
    (conf / "labels.yaml").write_text(told.replace("intent:\n", "intent:\n" + new))
    with pytest.raises(ConfigError, match=r"labels\.yaml: intent\.travel\.approved_by = .* two diff"):
        load(conf, overlays="demo")
