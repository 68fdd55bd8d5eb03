"""request_policies: what the export keeps to rank a page by, from the tables."""

import json
import math
from datetime import date, timedelta
from functools import partial

import numpy as np
import pytest

from jobs.config import Page, load
from jobs.export import READS, _reader, run
from jobs.misses import Misses
from jobs.on_request import Known
from jobs.page_specs import Goals, PageRules
from jobs.request_policies import of_night
from jobs.store import Store
from jobs.store.keys import policy_key
from jobs.tables import Tables
from ml.bandits.statistics import pack
from tests.jobs.test_export import AT, night
from tests.store import given as nights
from tests.store.given import DAY

WIDGETS = ["category:1", "category:2", "new"]
VERSION = "linucb-home@2017-12-29"
WIDTH = 8  # of home-1: six of the subject, two of each widget
THETA = [[float(arm * 10 + column) / 7 for column in range(WIDTH)] for arm in range(2)]


def defaults(version=VERSION, day=DAY, rules=None):
    more = {"policy_version": version, "feature_set": "home-1", "candidates": WIDGETS, "rules": rules}
    rows = [nights.layout(f"default:home:{n:02d}", "home") for n in range(64)]
    return [{**row, **more, "drawn_date": day} for row in rows]


def statistics(day, widget, n, share_x, mean_x, **other):
    """A row whose Σ x begins with n, and ends with the sums of the widget's own two features."""
    xx = [float(n), 0, 0, 0, 0, 0, share_x, mean_x] + [1.0] * (WIDTH * (WIDTH + 1) // 2 - WIDTH)
    row = {
        "decision_date": day, "page": "home", "feature_set": "home-1", "reward_version": "r1",
        "widget": widget, "subject_bucket": 0, "n": n, "xx": xx, "rx": [0.0] * WIDTH, "rr": 0.0,
    }  # fmt: skip
    return {**row, **other}


@pytest.fixture
def config(home):
    return load()


@pytest.fixture
def tables(config):
    made = Tables(config.tables)
    night(made, DAY, [nights.layout(nights.subject(1), "home"), *defaults()])
    row = {
        "policy_version": VERSION, "fitted_date": date(2017, 12, 29), "page": "home", "spec": "linucb-home",
        "spec_digest": config.policies["linucb-home"].digest, "feature_set": "home-1", "reward_version": "r1",
        "widgets": ["category:2", "category:1"], "n": [1, 1], "theta": [*THETA[0], *THETA[1]],
        "covariance": pack(np.stack([np.eye(WIDTH)] * 2)).ravel().tolist(), "common": [],
    }  # fmt: skip
    made.append("policies", [row])
    made.append(
        "bandit_statistics",
        [
            statistics(DAY, "category:1", 4, 2.0, -4.0),
            statistics(DAY - timedelta(27), "category:1", 6, 3.0, 0.0),
            statistics(DAY - timedelta(28), "category:1", 90, 900.0, 900.0),  # too long ago
            statistics(DAY + timedelta(1), "category:1", 90, 900.0, 900.0),  # not yet
            statistics(DAY, "category:1", 90, 900.0, 900.0, reward_version="r0"),
            statistics(DAY, "category:1", 90, 900.0, 900.0, page="start"),
        ],
    )
    return made


def exported(config, tables):
    versions = {name: tables.version(name) for name in READS}
    run(config, tables, DAY, versions=versions, run_id="r1", at=AT)
    store = Store.open(config.store_url, clock="generation")
    value = store.generation().colour.get(policy_key("home"))
    return store, None if value is None else json.loads(value)


def test_the_policy_of_the_defaults_is_kept_with_what_widgets_are_like(config, tables):
    store, kept = exported(config, tables)
    page = config.pages["home"]
    assert (kept["policy_version"], kept["candidates"], kept["seed"]) == (VERSION, WIDGETS, config.seed)
    assert (kept["positions"], kept["rule"]) == (
        page.positions, {"temperature": page.temperature, "floor": page.floor, "epsilon": 0.0},
    )  # fmt: skip
    assert kept["theta"] == pytest.approx([pytest.approx(row) for row in (*reversed(THETA), [0.0] * WIDTH)])
    share, mean = config.feature_sets["home-1"].action
    assert kept["static"] == pytest.approx(
        {
            "share/category:1": 5 / 10 * share.scale + share.center,
            "reward_mean/home/category:1": -4 / 10 * mean.scale + mean.center,
        }
    )
    found = Misses(store).answer("k1-new", "home", Known())
    x = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    scores = dict(zip(found.layout.widgets, found.layout.scores, strict=True))
    own = {"category:1": (0.5, -0.4), "category:2": (0.0, 0.0)}
    for theta, widget in zip(THETA, ("category:2", "category:1"), strict=True):
        expected = math.fsum(t * v for t, v in zip(theta, [*x, *own[widget]], strict=True))
        assert scores[widget] == pytest.approx(expected, rel=1e-5)
    assert scores["new"] == 0.0


def test_a_policy_that_was_never_fitted_is_what_it_is_without_data(config, tables):
    tables.replace("layouts", tables.read("layouts").slice(0, 0), f"layout_date = '{DAY}'")
    tables.append(
        "layouts",
        [{**row, "layout_date": DAY, "subject_bucket": 0, "scenario": "live"}
         for row in [*defaults("linucb-home@none"), nights.layout(nights.subject(1), "home")]],
    )  # fmt: skip
    _, kept = exported(config, tables)
    assert kept["theta"] == [[0.0] * WIDTH] * 3


def with_page(config, **more):
    page = Page(**{**config.pages["home"].model_dump(exclude_none=True), **more})
    return config.model_copy(update={"pages": {**config.pages, "home": page}})


def test_with_a_steered_page_goes_what_it_is_drawn_for_and_under(config, tables):
    """Candidates are all of the night's, whoever they are for; labels are the night's."""
    rules = PageRules(pins={1: "soon"}, eligible={"category:1": {"roles": ["consultant"]}}, caps={"meat": 1})
    goals = Goals(weights={"reward": 1, "revenue": 1}, differences={"reward": 0.3, "revenue": 20})
    theme = {"category:1": "meat", "category:2": "meat", "soon": None, "gone": None, "later": None}
    rows = [
        {"widget": name, "changed_date": DAY - timedelta(1), "pages": ["home"], "theme": of,
         "is_deleted": name == "gone", "kind": "carousel"}
        for name, of in theme.items()
    ]  # fmt: skip
    rows[-1]["changed_date"] = DAY + timedelta(1)
    rows.append({**rows[0], "changed_date": DAY + timedelta(1), "theme": "produce"})
    tables.append("widgets", rows)
    config = with_page(config, rules=rules, goals=goals, variants=["device"], positions=3)
    store, kept = exported(config, tables)
    assert (kept["format"], kept["main"], kept["candidates"]) == (
        2,
        "desktop",
        ["category:1", "category:2", "soon"],
    )
    assert kept["labels"] == {"category:1": {"theme": "meat"}, "category:2": {"theme": "meat"}}
    assert kept["worths"] is None  # the policy's row has none yet: reward counts alone
    assert kept["theta"][2] == [0.0] * WIDTH
    nobody, consultant = (Misses(store).answer("k1-new", "home", Known(role)) for role in ("", "consultant"))
    assert nobody.layout.widgets == ("soon", "category:2")
    assert consultant.candidates == kept["candidates"]
    assert consultant.layout.widgets[0] == "soon"
    assert len(consultant.layout.widgets) == 2  # no more than one of a theme


def test_what_goes_with_a_page_is_its_own_whatever_rules_another_has(config, tables):
    themed = [{"widget": one, "changed_date": DAY, "pages": ["home"], "theme": "meat", "is_deleted": False}
              for one in WIDGETS]  # fmt: skip
    tables.append("widgets", themed)
    config = with_page(config, variants=["device"])
    start = config.pages["start"]
    ruled = start.model_copy(update={"rules": PageRules(caps={"meat": 1})})
    other = config.model_copy(update={"pages": {**config.pages, "start": ruled}})
    rows = partial(_reader, tables, {name: tables.version(name) for name in READS})
    found = of_night(config, rows, DAY)["home"]
    assert found == of_night(other, rows, DAY)["home"]
    assert (found["main"], found["labels"]) == ("desktop", {})


def test_what_widgets_are_worth_goes_with_a_page_that_has_goals(config, tables):
    worths = [[float(10 * row + arm) for arm in range(2)] for row in range(4)]
    flat = [value for row in worths for value in row]
    rows = [{**row, "worths": flat} for row in tables.read("policies").to_pylist()]
    tables.replace("policies", tables.read("policies").slice(0, 0), f"fitted_date = '{date(2017, 12, 29)}'")
    tables.append("policies", rows)
    goals = Goals(weights={"revenue": 1}, differences={"reward": 0.3, "revenue": 20})
    _, kept = exported(with_page(config, goals=goals), tables)
    assert kept["candidates"] == WIDGETS
    assert kept["worths"] == [[row[1], row[0], sum(row) / 2] for row in worths[:3]] + [[31.0, 30.0, 1.0]]


@pytest.mark.parametrize("why", ["another spec", "an unknown policy", "no widget of its own"])
def test_a_page_that_cannot_be_ranked_so_has_none(config, tables, why):
    if why == "no widget of its own":
        config = with_page(config, rules=PageRules(spacing=1))
    else:
        spec = config.policies["linucb-home"]
        others = {} if why == "an unknown policy" else {"linucb-home": spec.model_copy(update={"alpha": 9.0})}
        config = config.model_copy(update={"policies": others})
    store, kept = exported(config, tables)
    assert kept is None
    assert Misses(store).answer("k1-new", "home", Known()) is None


def test_a_night_that_drew_no_default_anew_has_those_that_stand(config, tables):
    rows = partial(_reader, tables, {name: tables.version(name) for name in READS})
    found = of_night(config, rows, DAY + timedelta(6))
    assert (found["home"]["policy_version"], found["home"]["candidates"]) == (VERSION, WIDGETS)
    assert of_night(config, rows, DAY + timedelta(7)) == {}


def test_the_live_night_again_keeps_what_readers_have(config, tables):
    """Statistics that came late since must not change what was served."""
    _, kept = exported(config, tables)
    tables.append("bandit_statistics", [statistics(DAY, "category:2", 9, 9.0, 9.0)])
    versions = {name: tables.version(name) for name in READS}
    done = run(config, tables, DAY, versions=versions, run_id="r2", at=AT, again=True)
    assert (done.outcome, done.live.generation) == ("exported", 2)
    value = Store.open(config.store_url, clock="generation").generation().colour.get(policy_key("home"))
    assert json.loads(value) == kept
