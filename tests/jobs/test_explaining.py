"""A layout explained: its numbers, the price of likeness, and whom the rules kept out."""

from datetime import date

import numpy as np
import pytest

from jobs.config import load
from jobs.explaining import explain, of_subject, told
from jobs.page_specs import Page
from jobs.steering import bind
from jobs.tables import Tables
from tests.jobs.test_steering import CANDIDATES, LABELS, page

ROW = {
    "page": "home", "drawn_date": date(2017, 10, 12), "policy_version": "linucb-home@2017-10-12",
    "widgets": ["a", "c", "b"], "scores": [0.5, 0.25, 0.4], "bonuses": [0.0, 0.0625, 0.0],
    "propensities": [0.25, 1.0, 0.0125], "reasons": ["bought often", "pinned", "explored"],
    "candidates": CANDIDATES, "rules": None,
}  # fmt: skip


def test_without_rules_the_numbers_are_told() -> None:
    row = {**ROW, "reasons": ["bought often", "trending", "explored"]}
    assert list(explain(row, told(row))) == [
        "home, drawn on 2017-10-12 by linucb-home@2017-10-12:",
        "  1. a: bought often; expected reward 0.500; drawn with a chance of 25 %.",
        "  2. c: trending; expected reward 0.250, +0.062 for exploration; drawn with a chance of 100 %.",
        "  3. b: explored; expected reward 0.400; drawn with a chance of 1.2 %.",
    ]


def test_under_rules_it_tells_what_they_did() -> None:
    steered = page(pins={2: "c"}, caps={"travel": 1}, diversity={"kind": "mmr", "strength": 0.3})
    row = {**ROW, "rules": bind(steered, CANDIDATES, LABELS)}
    first, second, third = list(explain(row, told(row)))[1:]
    about = "bought often; expected reward 0.500; drawn with a chance of 25 %. Rules kept out d."
    assert first == f"  1. a: {about}"
    assert second == "  2. c: pinned here, whatever else (its expected reward is 0.250)."
    about = "explored; expected reward 0.400, -0.200 for being like what stands above (mmr)"
    assert third == f"  3. b: {about}; drawn with a chance of 1.2 %. Rules kept out d."


def test_a_subjects_newest_night_is_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    config = load(overlays="demo,test")
    assert list(of_subject(config, "nobody")) == [
        "No layouts were drawn yet: run lake_etl, then nightly_layouts."
    ]
    rows = [
        {
            **ROW,
            "layout_date": date(2017, 10, day),
            "scenario": scenario,
            "subject": "s",
            "policy_version": name,
        }
        for day, scenario, name in ((11, "live", "old"), (12, "live", "new"), (13, "backfill", "other"))
    ]
    Tables(config.tables).append("layouts", rows)
    assert next(of_subject(config, "s")) == "home, drawn on 2017-10-12 by new:"
    known = {"subject": "ruled-out", "feature_date": date(2017, 10, 12)}
    Tables(config.tables).append("subject_features", [known])
    (unknown,), (ruled_out,) = of_subject(config, "k1-0", "h99"), of_subject(config, "ruled-out")
    assert unknown.startswith(
        "h99 is unknown as of 2017-10-12 (somebody new, who left, or a slip of the pen)"
    )
    assert ruled_out.startswith("ruled-out has no layout of their own: the rules leave them none")


def test_a_draw_of_an_older_day_says_since_when_it_stands_and_why(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    config = load(overlays="demo,test")
    known = [{"subject": who, "feature_date": date(2017, 10, 12)} for who in ("stands", "anew")]
    Tables(config.tables).append("subject_features", known)
    drawn = {"page": "home", "variant": "", "scenario": "live", "draw_id": "d"}
    of = [("stands", 10, 9), ("anew", 12, 9), ("default:home:00", 12, 12)]
    rows = [
        {**ROW, **drawn, "subject": who, "layout_date": date(2017, 10, on), "drawn_date": date(2017, 10, day)}
        for who, on, day in of
    ]
    Tables(config.tables).append("layouts", rows)
    (head, stands, *_), (_, anew, *_), (_, today, *_) = (list(of_subject(config, who)) for who, *_ in of)
    assert head == "home, drawn on 2017-10-09 by linucb-home@2017-10-12:"
    began = "its epoch began on 2017-10-09, and until the subject is active again"
    assert stands.startswith(f"  It stands on 2017-10-12, since the night of 2017-10-10: {began}")
    assert anew.startswith(f"  It stands on 2017-10-12: {began}")
    assert today.startswith("  1. a: ")
    assert "widgets change, or 7 days are over, a page is" in stands
    for epoch_days, over in ((3, "or 3 days are over,"), (1, "or a day is over,")):
        jobs = {**config.jobs, "layouts": {**config.jobs.get("layouts", {}), "epoch_days": epoch_days}}
        _, shorter, *_ = of_subject(config.model_copy(update={"jobs": jobs}), "stands")
        assert over in shorter


def test_its_policy_tells_goals_and_the_features_that_lift_a_widget(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    config = load(overlays="demo,test")
    goals = {"weights": {"reward": 1.0, "click": 1.0}, "differences": {"reward": 0.5, "click": 0.25}}
    home = Page.model_validate(config.pages["home"].model_dump() | {"goals": goals})
    config = config.model_copy(update={"pages": {"home": home}})
    spec = config.policies["rule-home"]
    features = config.feature_sets[spec.feature_set]
    k, width, own = len(CANDIDATES), features.width, len(features.action)
    policy = {
        "policy_version": "rule-home@2017-10-12", "spec": "rule-home", "spec_digest": spec.digest,
        "widgets": CANDIDATES, "theta": np.zeros(k * width), "worths": np.full(4 * k, 0.5),
    }  # fmt: skip
    means = np.zeros((k, own))
    means[:, -1] = [2.0, 0.0, 0.0, 0.0]
    row = {**ROW, "context": np.eye(1, width - own)[0].tolist(), "action_context": means.ravel().tolist()}
    first, second, _ = told(row, config, policy)
    # The household mean's scale is 0.31 a standard deviation; the mean of four is a quarter of it.
    assert [words for words, _ in first.features] == ["subject's mean reward when it was seen here"]
    assert first.features[0][1] == pytest.approx(0.31 * 2 * 3 / 4)
    assert second.features == []
    # Half of 0.5 for reward; half of 0.5 clicks a unit, twice as much worth.
    assert first.goals == pytest.approx({"reward": 0.25, "click": 0.25})
    line = list(explain(row, [first]))[1]
    assert "; by goal reward +0.250, click +0.250; above others by subject's mean reward" in line
