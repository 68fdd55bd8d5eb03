"""The gate refuses a bad policy, a bad log and a thin log, with reasons; a better policy goes live."""

import re
from datetime import date, timedelta
from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs import compared, deciding
from jobs.config import Gate, Limits, Page, Policy
from jobs.contracts import contract
from jobs.live import LivePolicies
from jobs.servings import by_spec
from jobs.tables import Tables
from ml.ope.gate import Verdict
from ml.ope.sequence import Look
from tests.jobs import judged
from tests.jobs.judged import FIRST, WIDGETS, judgements
from tests.ml.ope.replays import greedy, visits

GIVEN = visits(1, days=12)
LIVE = np.full((len(GIVEN.rewards), 4), 0.25)
NAMES = ("better", "careful", "worse")
SPECS = {name: Policy(name=name, page="start", algorithm="uniform", feature_set="start-1") for name in NAMES}
PAGE = Page(page="start", positions=1, policy="careful", temperature=0.2, floor=0.01)
DAYS = [FIRST + timedelta(number) for number in range(12)]
RULES = Gate(planned_servings=1500)
HOURS = 22
TARGETS = {"better": GIVEN.policy(LIVE, 0.25), "careful": LIVE, "worse": GIVEN.policy(LIVE, -0.3)}


def fitted(name: str, day: date) -> dict:
    theta = [1.0 + 0.01 * (day - FIRST).days, 0.0]
    return {"policy_version": f"{name}@{day}", "spec_digest": SPECS[name].digest, "widgets": ["a"],
            "n": [100], "theta": theta, "covariance": [0.01, 0.0, 0.01]}  # fmt: skip


KNOWN = deciding.Known(
    dict.fromkeys(NAMES, FIRST), {name: {day: fitted(name, day) for day in DAYS} for name in NAMES}
)


@pytest.fixture
def by_hand(monkeypatch):
    """Let the gate read judgements of an Arrow table, bucket by bucket, as workers would."""

    def summarised(rows: pa.Table, work, wanted):
        rows = rows.filter(pc.is_in(rows["spec"], pa.array(wanted.specs)))
        found: dict = {}
        for bucket in (0, 1):
            own = rows.filter(pc.equal(rows["subject_bucket"], bucket))
            for name, summary in work("start", by_spec(own, wanted.more)):
                found.setdefault(("start", name), []).append(summary)
        return {key: reduce(add, parts) for key, parts in found.items()}

    monkeypatch.setattr(compared, "summarised", summarised)


def decide(log, days, known=KNOWN, before=(), rules=RULES):
    return deciding.decide(
        log, PAGE, SPECS, known, LivePolicies.of(PAGE, before), days, rules, zone="America/New_York",
        hours=HOURS,
    )  # fmt: skip


def as_rows(found):
    return [release.row() | {"details": dict(release.row()["details"])} for release in found]


def test_the_better_goes_live_the_worse_does_not_and_nights_one_by_one_decide_the_same(by_hand):
    log = judgements(GIVEN, LIVE, TARGETS, seed=2)
    found = decide(log, DAYS)
    live = LivePolicies.of(PAGE, as_rows(found))
    assert live.as_of(DAYS[0]).spec == "careful"
    (changed,) = live.changes
    assert live.as_of(DAYS[-1]).spec == "better"
    went = next(each for each in found if each.as_of_date == changed and each.name == "better")
    assert (went.verdict, went.decided_by) == ("yes", "gate")
    assert went.why.startswith("it beats the live policy: the difference is +")
    assert went.measures["lower"] > 0
    last = {each.name: each for each in found if each.as_of_date == DAYS[-1]}
    assert last["better"].details["serves"] == f"better@{DAYS[-1]}"
    assert last["better"].why.startswith("a refit of the live policy: its scores moved by 0.0")
    told = [each.verdict for each in found if each.name == "worse"]
    assert "no" in told
    assert "yes" not in told
    # A new live policy is a new comparison.
    assert last["worse"].details["compared_from"] == (changed + timedelta(1)).isoformat()

    one_by_one, until = [], DAYS.index(changed) + 1
    for day in DAYS[until - 1 : until + 1]:
        earlier = [row for row in as_rows(found) if row["as_of_date"] < day]
        part = log.filter(pc.less_equal(log["decision_date"], day))
        one_by_one += decide(part, [day], before=earlier)
    expected = [each for each in found if each.as_of_date in DAYS[until - 1 : until + 1]]
    assert [(each.name, each.verdict, each.why) for each in one_by_one] == [
        (each.name, each.verdict, each.why) for each in expected
    ]


def test_a_mislabelled_log_is_refused(by_hand):
    drawn = greedy(np.full(len(LIVE), 2), 4)
    log = judgements(GIVEN, drawn, TARGETS, seed=4, said=LIVE)
    found = {each.name: each for each in decide(log, DAYS[-1:])}
    assert found["better"].verdict == "cannot tell"
    assert "are not those it drew with" in found["better"].why


def test_a_log_in_which_one_serving_counts_for_thousands_is_refused(by_hand):
    """As the Open Bandit sample's women campaign does, from BTS to random: 21,739 times."""
    said = LIVE.copy()
    said[np.flatnonzero(GIVEN.days == 3)[0]] = 4e-5
    found = {
        each.name: each for each in decide(judgements(GIVEN, LIVE, TARGETS, seed=2, said=said), DAYS[-1:])
    }
    assert found["better"].verdict == "cannot tell"
    assert re.search(r"one row counts [\d,]{5,} times in the value of the", found["better"].why)


def test_a_day_without_servings_adds_nothing(by_hand):
    log = judgements(GIVEN, LIVE, TARGETS, seed=2)
    empty = log.filter(pc.not_equal(log["decision_date"], DAYS[4]))
    night = {each.name: each for each in decide(empty, [DAYS[5]])}["worse"]
    per_day = int((GIVEN.days == 0).sum())
    assert night.measures["servings"] == 4 * per_day
    assert decide(log.slice(0, 0), DAYS[:2])[0].details["is_live"] == "yes"


def test_a_thin_log_cannot_tell_and_says_what_would(by_hand):
    log = judgements(GIVEN, LIVE, {**TARGETS, "better": GIVEN.policy(LIVE, 0.06)}, seed=5)
    thin = log.filter(pc.less_equal(log["decision_date"], DAYS[3]))
    rules = RULES.model_copy(update={"limits": Limits(effective_rows=100)})
    found = {each.name: each for each in decide(thin, [DAYS[3]], rules=rules)}
    assert found["better"].verdict == "cannot tell"
    assert "the log is too short to tell" in found["better"].why
    assert "days in all, drawn as they are now, would tell" in found["better"].why
    assert found["better"].measures["days at 50%"] <= found["better"].measures["days at 0%"]
    assert found["careful"].details["is_live"] == "yes"


def test_a_refit_that_moves_too_far_is_not_served(by_hand):
    jump = fitted("careful", DAYS[5]) | {"theta": [9.0, 0.0]}
    known = deciding.Known({}, {"careful": {**KNOWN.fitted["careful"], DAYS[5]: jump}})
    found = decide(judgements(GIVEN, LIVE, {"careful": LIVE}, seed=1), DAYS[3:7], known)
    assert [(each.verdict, each.details["serves"]) for each in found] == [
        ("yes", f"careful@{DAYS[3]}"),
        ("yes", f"careful@{DAYS[4]}"),
        ("no", f"careful@{DAYS[4]}"),
        ("yes", f"careful@{DAYS[6]}"),
    ]
    assert "more than the 0.25 that is allowed: readers keep" in found[2].why


def test_workers_of_the_engine_give_the_same(spark, by_hand, monkeypatch, tmp_path):
    log = judgements(GIVEN, LIVE, TARGETS, seed=2)
    few = log.filter(pc.less_equal(log["decision_date"], DAYS[1]))
    by_arrow = decide(few, [DAYS[1]])
    monkeypatch.undo()
    assert decide(judged.buckets(spark, Tables(str(tmp_path)), few), [DAYS[1]]) == by_arrow


def test_a_serving_counts_once_its_horizon_has_passed(by_hand):
    """The newest day's servings are left out of the night's look, and come into the next night's."""
    log = judgements(GIVEN, LIVE, TARGETS, seed=2)
    nights = {}
    for number in (4, 5):
        until = log.filter(pc.less_equal(log["decision_date"], DAYS[number]))
        nights[number] = {each.name: each for each in decide(until, [DAYS[number]])}["worse"]
    per_day = int((GIVEN.days == 0).sum())
    assert [nights[number].measures["servings"] for number in (4, 5)] == [4 * per_day, 5 * per_day]
    assert [nights[number].measures["days"] for number in (4, 5)] == [4, 5]
    assert "may still come" not in nights[4].why
    # Rewards that come after midnight change nothing of the night's look.
    newest = pc.equal(log["decision_date"], DAYS[4])
    late = pc.if_else(newest, pa.scalar([9.0], log["rewards"].type), log["rewards"])
    place = log.schema.get_field_index("rewards")
    changed = log.set_column(place, "rewards", late)
    until = changed.filter(pc.less_equal(changed["decision_date"], DAYS[4]))
    again = {each.name: each for each in decide(until, [DAYS[4]])}["worse"]
    assert again == nights[4]


def test_what_was_not_asked_is_told_beside_the_verdict():
    look = Look(rows=9, clusters=3, value=0.1, variance=1.0, lower=-1.0, upper=1.0, p_value=1.0)
    verdict = Verdict("cannot tell", ("too short",), (look,), 1.0, {}, {"standard IPS": 12.3}, {}, ())
    release = deciding._release(
        PAGE, SPECS, "better", verdict, FIRST, None, day=DAYS[1], known=KNOWN, zone="America/New_York"
    )
    assert release.details[deciding.NOT_ASKED] == "standard IPS (worth 12)"
    assert release.why == "too short"


def test_right_after_a_go_live_the_newest_day_casts_no_doubt(by_hand):
    """Twelve nights after it, one day of thirteen is open: more than a twentieth, and no reason to doubt."""
    log = judgements(GIVEN, LIVE, TARGETS, seed=2)
    doubts = [each.why for each in decide(log, DAYS) if each.verdict == "cannot tell"]
    assert doubts
    assert not any("may still come" in why for why in doubts)


def test_what_the_logs_rules_kept_out_cannot_be_told(by_hand):
    log = judgements(GIVEN, LIVE, TARGETS, seed=2)
    place = log.schema.get_field_index("unsure")
    lost = pc.if_else(pc.equal(log["spec"], "better"), 0.3, 0.0)
    found = {each.name: each for each in decide(log.set_column(place, log.field("unsure"), lost), DAYS[-1:])}
    assert found["better"].verdict == "cannot tell"
    assert (
        "30.0% of what the candidate does was never logged (widgets that the log's rules kept out)"
        in found["better"].why
    )
    assert "kept out" not in found["worse"].why


def test_who_may_not_stand_first_is_not_missed_there():
    """Under rules a widget may be a candidate that the first position never shows: no sign of a bad log."""
    rows = judgements(GIVEN, np.tile([0.5, 0.5, 0, 0], (len(LIVE), 1)), {"careful": LIVE}, seed=3).to_pylist()
    for row in rows:
        row["opening"] = WIDGETS[:2]
    (servings,) = by_spec(pa.Table.from_pylist(rows, schema=contract("judgements").arrow_schema)).values()
    could = servings.logged().could
    assert set(could) == set(WIDGETS[:2])
    assert all(flags.all() for flags in could.values())
    for row in rows[::2]:
        row["opening"] = None
    (servings,) = by_spec(pa.Table.from_pylist(rows, schema=contract("judgements").arrow_schema)).values()
    assert servings.logged().could[WIDGETS[3]].tolist() == [row["opening"] is None for row in rows]


def test_days_with_and_without_rules_are_judged_each_in_its_way():
    (row,) = judgements(GIVEN, LIVE, {"careful": LIVE}, seed=3).slice(0, 1).to_pylist()
    pair = {"widgets": WIDGETS[:2], "propensities": [0.5, 0.5], "probabilities": [0.5, 0.5],
            "is_seen": [True, True], "rewards": [1.0, 3.0], "detail": [1.0, 0.0], "basket": [0.0, 1.0],
            "exposures": [0.8, 0.4]}  # fmt: skip
    rows = [
        {**row, **pair, "decision_id": "d0", "counts": [1.5, 0.25]},
        {**row, **pair, "decision_id": "d1"},
    ]
    (servings,) = by_spec(pa.Table.from_pylist(rows, schema=contract("judgements").arrow_schema)).values()
    found = servings.judged.terms("reward")["position-based IPS"].contributions
    free = (0.8 * 1 / 0.5 + (0.8 * 1 + 0.4 * 3 / 0.5)) / 2
    assert found.tolist() == pytest.approx([1.5 * 1 + 0.25 * 3, free])


def after_a_change(log, specs, known, night):
    """Let `better` go live, change conf/, and decide the two nights from `night` on."""
    rows = as_rows(decide(log, DAYS[:10]))
    assert LivePolicies.of(PAGE, rows).spec(DAYS[9], SPECS) == "better"
    live = LivePolicies.of(PAGE, rows)
    found = deciding.decide(
        log, PAGE, specs, known, live, DAYS[night : night + 2], RULES, zone="America/New_York", hours=HOURS
    )
    return found, LivePolicies.of(PAGE, rows + as_rows(found))


def test_a_live_spec_whose_text_changed_is_a_candidate_again(by_hand):
    log = judgements(GIVEN, LIVE, TARGETS, seed=2)
    edited = SPECS["better"].model_copy(update={"algorithm": "constant", "widgets": ["d"]})
    new = fitted("better", DAYS[9]) | {"spec_digest": edited.digest}
    known = deciding.Known({**KNOWN.entered, "better": DAYS[9]}, {**KNOWN.fitted, "better": {DAYS[9]: new}})
    found, live = after_a_change(log, {**SPECS, "better": edited}, known, 10)
    first, second = ({each.name: each for each in found if each.as_of_date == day} for day in DAYS[10:12])
    assert "is_live" not in first["better"].details
    assert first["better"].verdict == "cannot tell"
    assert first["better"].details["compared_from"] == DAYS[9].isoformat()
    assert first["careful"].details["serves"] == f"careful@{DAYS[10]}"
    assert first["careful"].why == (
        "better, which was live, is not in conf/ as it was released: the page's own policy is live"
    )
    assert second["careful"].why.startswith("a refit of the live policy")
    assert live.spec(DAYS[10], {**SPECS, "better": edited}) == "careful"
    assert live.spec(DAYS[9], SPECS) == "better"  # what was live stays so


def test_a_live_spec_that_left_conf_leaves_the_pages_own_live(by_hand):
    log = judgements(GIVEN, LIVE, TARGETS, seed=2)
    left = {name: spec for name, spec in SPECS.items() if name != "better"}
    known = deciding.Known(
        {name: KNOWN.entered[name] for name in left}, {name: KNOWN.fitted[name] for name in left}
    )
    found, live = after_a_change(log, left, known, 10)
    assert [(each.name, each.details.get("is_live")) for each in found] == [
        ("worse", None), ("careful", "yes"), ("worse", None), ("careful", "yes"),
    ]  # fmt: skip
    assert found[0].details["compared_from"] == FIRST.isoformat()
    assert live.as_of(DAYS[11]).spec == "careful"


def test_revenue_guards_where_conf_says_so(by_hand):
    """The better earns more rewards, and less money: what it shows is cheap."""
    log = judgements(GIVEN, LIVE, TARGETS, seed=2)
    shown = np.array([widgets[0] for widgets in log["widgets"].to_pylist()])
    policy = np.concatenate([TARGETS[name] for name in TARGETS])
    wanted = policy[np.arange(len(shown)), [WIDGETS.index(name) for name in shown]] > 0.5
    money = pa.array([[0.0 if is_wanted else 900.0] for is_wanted in wanted], log["revenue"].type)
    poor = log.set_column(log.schema.get_field_index("revenue"), log.field("revenue"), money)
    rules = RULES.model_copy(update={"guardrails": {"revenue": 0.05}})
    found = {each.name: each for each in decide(poor, DAYS[-1:], rules=rules)}["better"]
    assert found.verdict == "no"
    assert "guardrail 'revenue' falls" in found.why
    assert {each.name: each for each in decide(poor, DAYS[-1:])}["better"].verdict == "yes"
