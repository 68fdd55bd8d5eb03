"""Estimates beside the truth: the exact value of each policy over the servings that were judged."""

import re
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from rich.console import Console

from jobs.config import load
from jobs.demo import checker, truth, values
from jobs.demo.source import DemoError, date_of
from jobs.demo.truth import Truth
from jobs.tables import Tables
from tests.jobs.judged import FIRST, WIDGETS, judgements
from tests.ml.ope.replays import visits

GIVEN = visits(11, households=80, days=5, daily=120)
LIVE = np.full((len(GIVEN.rewards), 4), 0.25)
BETTER = GIVEN.policy(LIVE, 0.2)


PLACES = np.arange(len(LIVE))
DAYS = GIVEN.days + (FIRST - date_of(0)).days
KNOWN = Truth("start", tuple(WIDGETS), [f"d{row:06d}" for row in PLACES], PLACES, DAYS, GIVEN.rewards, LIVE)
POLICIES = {"better": BETTER, "live": LIVE}
LOG = judgements(GIVEN, LIVE, POLICIES, seed=3)
EXACT = checker.exact_of_actions(LOG, KNOWN)


def test_estimates_are_held_to_the_exact_value():
    checked = checker.check(LOG, EXACT)
    assert {each.spec for each in checked} == {"better", "live"}
    for each in checked:
        assert each.truth == pytest.approx(GIVEN.value(POLICIES[each.spec]), rel=1e-9)
        assert each.by_subject == (each.lower <= each.truth <= each.upper)
    for record in checker.summary(checked):
        assert record.checks == 2
        assert abs(record.bias) <= record.error < 0.1, record
        assert record.by_subject == 1.0, record


def test_each_day_has_a_truth_and_an_estimate_of_its_own():
    checked = [each for each in checker.nightly(LOG, EXACT) if each.estimator == "IPS"]
    assert len(checked) == 2 * 5
    actions = [WIDGETS.index(row["widgets"][0]) for row in LOG.to_pylist() if row["spec"] == "better"]
    for day in range(5):
        rows = np.flatnonzero(GIVEN.days == day)
        logged = np.array(actions)[rows]
        said = (BETTER[rows, logged] / 0.25 * GIVEN.rewards[rows, logged]).mean()
        better = checked[2 * day]
        assert better.truth == pytest.approx((BETTER * GIVEN.rewards)[rows].sum(axis=1).mean(), rel=1e-9)
        assert better.value == pytest.approx(said, rel=1e-9)


def test_days_that_the_truth_does_not_know_are_left_out():
    few = checker.exact_of_actions(LOG, truth.take(KNOWN, np.flatnonzero(GIVEN.days == 0)))
    assert len(checker.nightly(LOG, few)) == len(checker.check(LOG, few)) > 0


def test_a_page_of_several_positions_is_worth_what_its_draws_earn(monkeypatch):
    """Every serving by the parameters of the evening before it, and by the draw's own probabilities."""
    config = load(overlays="demo")
    spec, page = config.policies["linucb-home"], config.pages["home"]
    days = np.array([FIRST, FIRST + timedelta(1)])
    log = pa.table({"spec": [spec.name] * 2, "decision_date": days, "policy_version": ["a", "b"]})
    rewards = np.array([[3.0, 1, 0, 0, 0, 0, 0], [0.0, 0, 0, 0, 0, 0, 3]])
    names = tuple(f"w{n}" for n in range(7))
    known = Truth("home", names, ["d0", "d1"], np.arange(2), np.arange(2), rewards, np.ones((2, 7)) / 7)

    def read_served(tables, page, feature_set, first, last):
        assert [first, last] == days.tolist()
        decisions = pd.DataFrame({"decision_id": ["d0", "d1"], "draw_id": ["x", "y"], "decision_date": days})
        return decisions, pa.table({"draw_id": ["x", "y"], "decision_date": days})

    def read_policies(tables, spec, before):
        return [{"policy_version": "ab"[n], "fitted_date": day - timedelta(1)} for n, day in enumerate(days)]

    def policy_scores(inputs, decisions, actions, spec, seed):
        first = inputs.policy["policy_version"] == "a"
        scores = np.zeros((1, 7)) if first else np.where(np.arange(7) == 6, -np.inf, 0.0)[None]
        return scores, np.zeros((1, 7))

    monkeypatch.setattr(values, "read_served", read_served)
    monkeypatch.setattr(values, "read_policies", read_policies)
    monkeypatch.setattr(values, "policy_scores", policy_scores)
    found = checker.exact_of_layouts(config, Tables(config.tables), page, log, known)[spec.name]
    discount = (0.8 ** np.arange(6)).sum()
    # Alike widgets are drawn alike; what is no candidate is never shown.
    assert found["d0"] == pytest.approx(4 / 7 * discount, rel=0.15)
    assert found["d1"] == 0.0


def test_the_command_reads_tables_and_truth_and_prints_a_line_an_estimator(home, capsys):
    config = load(overlays="demo")
    with pytest.raises(DemoError, match=r"^Nothing of page start was judged yet: run make demo first\.$"):
        checker.read(config, home, config.pages["start"])
    write_deltalake(Tables(config.tables).path("judgements"), LOG)
    truth.write(home, KNOWN)
    checker.show(Console(width=120), "start", *checker.read(config, home, config.pages["start"]))
    printed = capsys.readouterr().out
    assert "Page start, all 5 days, a check a policy" in printed
    assert re.search(r"^SNIPS +2 +\d+\.\d% ", printed, re.MULTILINE)
