"""Estimates beside the truth: the exact value of each policy over the servings that were judged."""

import re

import numpy as np
import pytest
from deltalake import write_deltalake
from rich.console import Console

from jobs.config import load
from jobs.demo import checker, truth
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


def test_estimates_are_held_to_the_exact_value():
    checked = checker.check(LOG, KNOWN)
    assert {each.spec for each in checked} == {"better", "live"}
    for each in checked:
        assert each.truth == pytest.approx(GIVEN.value(POLICIES[each.spec]), rel=1e-9)
        assert each.by_subject == (each.lower <= each.truth <= each.upper)
    for record in checker.summary(checked):
        assert record.checks == 2
        assert abs(record.bias) <= record.error < 0.1, record
        assert record.by_subject == 1.0, record


def test_each_day_has_a_truth_and_an_estimate_of_its_own():
    checked = [each for each in checker.nightly(LOG, KNOWN) if each.estimator == "IPS"]
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
    few = truth.take(KNOWN, np.flatnonzero(GIVEN.days == 0))
    assert len(checker.nightly(LOG, few)) == len(checker.check(LOG, few))


def test_the_command_reads_tables_and_truth_and_prints_a_line_an_estimator(home, capsys):
    tables = Tables(load(overlays="demo").tables)
    with pytest.raises(DemoError, match=r"^Nothing of page start was judged yet: run make demo first\.$"):
        checker.read(tables, home)
    write_deltalake(tables.path("judgements"), LOG)
    truth.write(home, KNOWN)
    checker.show(Console(width=120), *checker.read(tables, home))
    printed = capsys.readouterr().out
    assert "All 5 days, a check a policy" in printed
    assert re.search(r"^SNIPS +2 +\d+\.\d% ", printed, re.MULTILINE)
