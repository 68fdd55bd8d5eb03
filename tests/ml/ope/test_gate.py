"""The gate says yes to what is better, no to what is not, and that it cannot tell where it cannot."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.ope.calibration import Calibration
from ml.ope.evidence import Day, Evidence, of_actions
from ml.ope.gate import Rules, Verdict, judge
from ml.ope.log import Log
from ml.ope.power import days_needed
from ml.ope.target import Target, target_of
from ml.ope.terms import Terms

from .replays import gather, greedy, visits

GIVEN = visits(1)
LIVE = np.full((len(GIVEN.rewards), 4), 0.25)
RULES = Rules(planned_rows=2000)


@pytest.fixture(scope="module")
def evidence() -> dict[str, Evidence]:
    candidates = {"better": GIVEN.policy(LIVE, 0.2), "worse": GIVEN.policy(LIVE, -0.3), "same": LIVE}
    return gather(GIVEN, LIVE, candidates, seed=3)


def alone(given: Evidence, rules: Rules = RULES) -> Verdict:
    return judge({"it": given}, rules)["it"]


def test_a_better_policy_may_go_live_and_a_worse_one_not(evidence: dict[str, Evidence]) -> None:
    found = judge(evidence, RULES)
    assert {name: verdict.answer for name, verdict in found.items()} == {
        "better": "yes",
        "worse": "no",
        "same": "no",
    }
    assert found["same"].reasons == ("nothing in this log tells it from the live policy",)
    better = found["better"]
    assert better.reasons[0].startswith("it beats the live policy: the difference is +")
    assert "after 28 days of looking" in better.reasons[0]
    truth = GIVEN.value(GIVEN.policy(LIVE, 0.2)) - GIVEN.value(LIVE)
    assert better.looks[-1].lower < truth < better.looks[-1].upper
    assert list(better.estimates) == ["DR", "self-normalised DR", "IPS", "SNIPS"]
    assert all(interval.lower < truth < interval.upper for interval in better.estimates.values())
    assert better.p_value < 0.01
    assert better.advice == ()
    assert "does not beat the live policy by the margin" in found["worse"].reasons[0]


def test_a_margin_must_be_exceeded(evidence: dict[str, Evidence]) -> None:
    found = alone(evidence["better"])
    assert alone(evidence["better"], replace(RULES, margin=found.looks[-1].lower - 1e-6)).answer == "yes"
    assert (
        alone(evidence["better"], replace(RULES, margin=found.looks[-1].lower + 1e-6)).answer == "cannot tell"
    )
    assert alone(evidence["better"], replace(RULES, margin=found.looks[-1].upper)).answer == "no"


def test_candidates_beside_it_raise_the_bar(evidence: dict[str, Evidence]) -> None:
    candidates = {"it": GIVEN.policy(LIVE, 0.2), "same": LIVE}
    thin = gather(GIVEN, LIVE, candidates, seed=3, until=8)
    margin = alone(thin["it"]).looks[-1].lower - 1e-4
    rules = replace(RULES, margin=margin)
    assert alone(thin["it"], rules).answer == "yes"
    many = {"it": thin["it"]} | {f"same {number}": thin["same"] for number in range(30)}
    assert judge(many, rules)["it"].answer == "cannot tell"
    assert judge(many, rules)["it"].looks[-1].lower < alone(thin["it"], rules).looks[-1].lower
    assert judge(many, rules)["it"].p_value > alone(thin["it"], rules).p_value


def test_a_thin_log_cannot_tell_and_says_what_would() -> None:
    better = GIVEN.policy(LIVE, 0.05)
    thin = gather(GIVEN, LIVE, {"it": better}, seed=5, until=10)["it"]
    found = alone(thin)
    assert found.answer == "cannot tell"
    assert found.reasons[0].startswith("the log is too short to tell: the difference is ")
    assert found.reasons[1:] == (
        "about 48 days in all, drawn as they are now, would tell",
        "about 33 days would, with 50% of visits drawn from the candidate",
    )
    by_share = {each.share: each.days for each in found.advice}
    assert by_share[0.5] <= by_share[0.2] <= by_share[0.0] < 365
    few = alone(thin, replace(RULES, fewest_clusters=5000))
    assert few.answer == "cannot tell"
    assert "subjects are too few to tell: at least 5000 are needed" in few.reasons[0]
    assert few.advice[0].days >= 10 * 5000 / 400
    rare = alone(replace(thin, rewarded={"reward": (9.0,) * 9 + (12.0,)}))
    assert rare.reasons[0] == (
        "rewards are too few to tell: those of 12 subjects tell of one of the two policies, "
        "and at least 30 are needed"
    )
    assert rare.advice[0].days >= 25
    assert rare.looks[-1].p_value == 1.0


def test_advice_is_for_the_level_that_a_candidate_is_judged_at() -> None:
    thin = gather(GIVEN, LIVE, {"it": GIVEN.policy(LIVE, 0.05), "same": LIVE}, seed=5, until=10)
    many = judge({"it": thin["it"]} | {f"same {number}": thin["same"] for number in range(20)}, RULES)["it"]
    (as_it_is, *_) = many.advice
    last = many.looks[-1]
    effect = min(last.upper, max(last.value, 0.05 * thin["it"].live["reward"]))
    level = replace(RULES.sequence(RULES.alpha / 21, 0.0))
    assert as_it_is.days == days_needed(effect, last.variance, last.rows / 10, level)
    assert as_it_is.days > alone(thin["it"]).advice[0].days


def test_a_learner_that_starts_badly_is_told_by_its_mean_so_far(evidence: dict[str, Evidence]) -> None:
    """As bad for 8 nights as it is good for 20: no bound of the first nights stands in its way."""
    rng = np.random.default_rng(3)
    given = evidence["better"]
    nights = tuple(
        rng.normal(-0.3 if night < 8 else 0.35, 1.0, len(codes)) for night, codes in enumerate(given.clusters)
    )
    found = alone(replace(given, differences={"reward": nights}))
    assert found.looks[7].upper < 0
    assert all(look.lower <= look.upper for look in found.looks)
    assert found.answer == "yes", found.reasons


def seldom(rng: np.random.Generator, of_live: float, rewards: tuple[float, float]) -> Evidence:
    """A log in which the live policy's action is seldom shown: others drew it, candidates do as they did.

    30 nights of 500 visits; the model of a night is the actions' mean reward on those before.
    """
    days, counts, sums = {}, np.zeros(2), np.zeros(2)
    chances = np.array([1 - of_live, of_live])
    for night in range(30):
        actions = (rng.random(500) < of_live).astype(int)
        earned = (rng.random(500) < np.array(rewards)[actions]).astype(float)
        overall = sums.sum() / max(counts.sum(), 1)
        predictions = np.tile((sums + 20 * overall) / (counts + 20), (500, 1))
        log = Log.of(actions, earned, chances[actions], action_set=2, clusters=np.arange(500) + 500 * night)
        candidate, live = (target_of(log, np.tile(each, (500, 1)), predictions) for each in np.eye(2))
        days[str(night)] = Day(log, candidate, live)
        counts += np.bincount(actions, minlength=2)
        sums += np.bincount(actions, weights=earned, minlength=2)
    return of_actions(days)


def test_what_is_no_better_stays_out_though_the_live_policy_is_seldom_logged() -> None:
    """26 of 60 such logs passed by bounds of their first nights, when nothing spoke for the live policy."""
    rng = np.random.default_rng(3)
    answers = [alone(seldom(rng, 0.05, (0.05, 0.05)), Rules()).answer for _ in range(6)]
    assert answers == ["cannot tell"] * 6


def doubted(given: Evidence, sentence: str) -> None:
    found = alone(given)
    assert found.answer == "cannot tell"
    assert any(sentence in reason for reason in found.reasons), found.reasons


def test_what_makes_a_log_doubtful_is_said(evidence: dict[str, Evidence]) -> None:
    good = evidence["better"]
    wrong = Calibration("careful", "trending", 500, 2.4, 0.05, 1e-9)
    of_wrong = "of logging policy careful are not those it drew with: action 'trending' was shown 2.4 times"
    doubted(replace(good, calibrations=(wrong,)), of_wrong)
    doubted(
        replace(good, unsupported={"new": 0.3}), "30.0% of what the candidate does was never logged (new)"
    )
    other = Terms.mean_of(np.full(len(good.all_clusters), -0.5))
    main = good.estimates["DR"]
    doubted(replace(good, estimates={"DR": main, "SNIPS": other}), "SNIPS says -0.5")
    heavy = replace(good.weights["candidate"], largest=5e4)
    doubted(
        replace(good, weights={"candidate": heavy}), "one row counts 50,000 times in the value of the cand"
    )
    light = replace(good.weights["candidate"], mean=0.6, mean_error=0.01)
    doubted(replace(good, weights={"live": light}), "the mean weight of the live policy is 0.6, not about 1")
    small = replace(good.weights["candidate"], effective_rows=12.0)
    doubted(
        replace(good, weights={"candidate": small}), "rows are worth 12 of the candidate's own: at least 300"
    )
    alike = replace(good.weights["candidate"], effective_clusters=3.0)
    doubted(
        replace(good, weights={"candidate": alike}),
        "subjects are worth 3 of the candidate's own: at least 50",
    )


def test_advice_is_given_only_where_a_longer_log_helps(evidence: dict[str, Evidence]) -> None:
    good = evidence["better"]
    wrong = Calibration("careful", "trending", 500, 2.4, 0.05, 1e-9)
    for bad in (replace(good, calibrations=(wrong,)), replace(good, unsupported={"new": 0.3})):
        assert alone(bad).advice == ()
        assert len(alone(bad).reasons) == 1
    thin = replace(good.weights["candidate"], effective_rows=120.0)
    few = alone(replace(good, weights={"candidate": thin}))
    (longer,) = few.advice
    assert (longer.share, longer.days) == (0.0, 70)  # 28 days are worth 120 rows of 300
    assert few.reasons[1:] == ("about 70 days in all, drawn as they are now, would tell",)
    share = replace(good.weights["candidate"], rows=10**6, effective_rows=400.0)
    assert alone(replace(good, weights={"candidate": share})).advice == ()


def test_a_log_of_a_policy_mislabelled_as_another_is_refused() -> None:
    other = greedy(np.full(len(LIVE), 2), 4)
    rng = np.random.default_rng(4)
    actions = (np.cumsum(other, axis=1) < rng.random((len(LIVE), 1))).sum(axis=1)
    rewards = GIVEN.rewards[np.arange(len(LIVE)), actions]
    days = {}
    for day in range(28):
        rows = np.flatnonzero(GIVEN.days == day)
        log = Log.of(
            actions[rows],
            rewards[rows],
            np.full(len(rows), 0.25),
            action_set=4,
            clusters=GIVEN.households[rows],
        )
        days[str(day)] = Day(log, target_of(log, other[rows]), target_of(log, LIVE[rows]))
    found = judge({"other": of_actions(days)}, RULES)["other"]
    assert found.answer == "cannot tell"
    assert "propensities of logging policy 0 are not those it drew with" in " ".join(found.reasons)


def with_views(seed: int, fall: float, noise: float = 0.3) -> Evidence:
    """Evidence of two goals: points, and page views, which fall where the candidate acts otherwise."""
    given = gather(GIVEN, LIVE, {"it": GIVEN.policy(LIVE, 0.2)}, seed=seed)["it"]
    rng = np.random.default_rng(seed)
    views = tuple(rng.normal(-fall, noise, len(each)) for each in given.clusters)
    return replace(
        given, differences=dict(given.differences) | {"views": views}, live=dict(given.live) | {"views": 1.0}
    )


def test_guardrail_goals_must_not_fall() -> None:
    rules = replace(RULES, guardrails={"views": 0.05})
    fine, fallen = (alone(with_views(7, fall), rules) for fall in (0.0, 0.3))
    unsure = alone(with_views(8, 0.05, noise=3.0), rules)
    assert fine.answer == "yes"
    assert fallen.answer == "no"
    assert "guardrail 'views' falls: its difference is between -0.3" in fallen.reasons[0]
    assert unsure.answer == "cannot tell"
    assert "guardrail 'views' may fall" in unsure.reasons[0]
    last = unsure.guardrails["views"]
    alone_needs = days_needed(
        min(last.upper, max(last.value, 0.0)), last.variance, 150, rules.sequence(0.05, -0.05)
    )
    assert unsure.advice[0].days == alone_needs
    assert unsure.advice[0].days > 28


def test_a_guardrail_goal_that_nobody_reached_stops_nothing(evidence: dict[str, Evidence]) -> None:
    rules = replace(RULES, guardrails={"basket": 0.1})
    nothing = tuple(np.zeros(len(codes)) for codes in evidence["better"].clusters)

    def with_basket(differences: tuple[np.ndarray, ...], rewarded: float) -> Verdict:
        given = evidence["better"]
        known = dict(given.rewarded) | {"basket": (rewarded,) * len(nothing)}
        goals = dict(given.differences) | {"basket": differences}
        live = dict(given.live) | {"basket": 0.0}
        return alone(replace(given, differences=goals, live=live, rewarded=known), rules)

    unseen = with_basket(nothing, 0.0)
    assert unseen.answer == "yes"
    assert unseen.reasons[1:] == ("guardrail 'basket' was not seen in this log",)
    once = (nothing[0] + (np.arange(len(nothing[0])) == 3), *nothing[1:])
    seldom_seen = with_basket(once, 1.0)
    assert seldom_seen.answer == "cannot tell"
    assert seldom_seen.reasons[0].startswith(
        "guardrail 'basket' may fall, and is seen too seldom: 1 subjects"
    )


def test_the_sample_of_women_cannot_be_trusted_for_a_random_policy() -> None:
    rows = np.genfromtxt(Path(__file__).parent / "obd" / "bts_women.csv", delimiter=",", names=True)
    days = {}
    for day, part in enumerate(np.array_split(np.arange(10_000), 7)):
        log = Log.of(
            rows["item_id"][part],
            rows["click"][part],
            rows["propensity_score"][part],
            action_set=46,
            clusters=part,
        )
        live = Target(log.propensities)
        days[str(day)] = Day(log, target_of(log, np.full((len(part), 46), 1 / 46)), live)
    found = judge({"random": of_actions(days)}, RULES)["random"]
    assert found.answer == "cannot tell"
    assert "one row counts 21,739 times in the value of the candidate" in " ".join(found.reasons)
    assert "the 10,000 rows are worth" in found.reasons[0]


def test_logs_that_do_not_belong_together_are_refused() -> None:
    rows = np.arange(50)
    log = Log.of(rows % 2, rows, np.full(50, 0.5), action_set=2, clusters=rows)
    target = target_of(log, np.full((50, 2), 0.5))
    with pytest.raises(ValueError, match="the logs of monday and tuesday are the same rows"):
        of_actions({"monday": Day(log, target, target), "tuesday": Day(log, target, target)})
    loose = Log.of(rows % 2, rows, np.full(50, 0.5), action_set=2)
    with pytest.raises(ValueError, match="the gate needs clusters"):
        of_actions({"monday": Day(loose, target, target)})
    with pytest.raises(ValueError, match="there is no log"):
        of_actions({})


def test_few_go_lives_are_worse_and_most_better_policies_pass() -> None:
    """A small sibling of bench-gate, which replays the demo 200 times."""
    gains = {"20 % better": 0.2, "1 % worse": -0.01, "5 % worse": -0.05}
    candidates = {name: GIVEN.policy(LIVE, gain) for name, gain in gains.items()}
    went_live = dict.fromkeys(gains, 0)
    for number in range(20):
        for name, verdict in judge(gather(GIVEN, LIVE, candidates, seed=100 + number), RULES).items():
            went_live[name] += verdict.answer == "yes"
    assert went_live["20 % better"] >= 16
    assert went_live["1 % worse"] + went_live["5 % worse"] <= 1
