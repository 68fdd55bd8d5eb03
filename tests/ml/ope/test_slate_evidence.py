"""The gate on a page of several positions: slates drawn by the draw itself, of a world that is known."""

from dataclasses import replace

import numpy as np
import pytest

from ml.draw import DrawRule, draw, slate_propensities
from ml.ope.evidence import Evidence
from ml.ope.exposure import exposures
from ml.ope.gate import Rules, judge
from ml.ope.intervals import student_t
from ml.ope.judged import Judged
from ml.ope.logged import Logged
from ml.ope.slate_evidence import SlateDay, of_slates
from ml.ope.slates import Exposures
from ml.ope.summarise import of_pair
from ml.ope.summary import Summed

WIDGETS = ("a", "b", "c", "d", "e", "f")
APPEAL = np.array([0.5, 0.2, 0.1, 0.6, 0.05, 0.3])
LIVE = np.array([0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
POSITIONS, T, FLOOR = 3, 0.4, 0.05
RULES = Rules(planned_rows=3000)


def conditional(scores: np.ndarray, layouts: np.ndarray) -> np.ndarray:
    wide = np.tile(scores, (len(layouts), 1))
    found = slate_propensities(wide, np.ones(wide.shape, bool), layouts, temperature=T, floor=FLOOR)
    return found.astype(float)


SEEN = np.array([1.0, 0.8, 0.6])


def days(
    candidate: np.ndarray,
    *,
    logging: np.ndarray = LIVE,
    count: int = 20,
    model: bool = False,
    positions: int = POSITIONS,
    by_looks: bool = False,
) -> dict[str, SlateDay]:
    rng = np.random.default_rng(8)
    found = {}
    for day in range(count):
        who = rng.integers(0, 300, 200)
        wide = np.tile(logging, (200, 1))
        uniforms = rng.random((200, positions))
        everyone = np.ones(wide.shape, bool)
        layouts = draw(
            wide, everyone, positions=positions, temperature=T, floor=FLOOR, uniforms=uniforms
        ).slates
        seen = np.arange(positions) < rng.choice([1, 2, 3], 200, p=[0.2, 0.2, 0.6])[:, None]
        rewards = (rng.random(layouts.shape) < APPEAL[layouts]) * seen * 1.0
        views = (rng.random(layouts.shape) < 0.5) * seen * 1.0
        third = np.full(layouts.shape, 0.3) if model else None
        said = conditional(LIVE, layouts)
        of = {}
        for name, scores in (("candidate", candidate), ("live", LIVE)):
            looks = None
            if by_looks:
                looks = exposures(
                    np.tile(scores, (200, 1)), layouts, DrawRule(T, FLOOR), SEEN[:positions], None,
                    seed=3, keys=np.arange(200, dtype=np.uint64),
                )  # fmt: skip
            goals = {"reward": rewards, "views": views}
            of[name] = Judged(said, conditional(scores, layouts), goals, who, third, third, seen, looks)
        first = np.array(WIDGETS)[layouts[:, 0]]
        could = {widget: np.ones(200, bool) for widget in WIDGETS}
        log = Logged(first, said[:, 0], np.full(200, "live"), could, who, np.full(200, day))
        found[str(day)] = SlateDay(of["candidate"], of["live"], log)
    return found


def evidence(candidate: np.ndarray, **more: object) -> Evidence:
    return of_slates(days(candidate, **more))


def summed(given: dict[str, SlateDay]) -> Summed:
    """The same, as two workers would sum it."""
    every = list(given.values())
    candidate, live = (Judged.joined([getattr(day, name) for day in every]) for name in ("candidate", "live"))
    logged = Logged.joined([day.logged for day in every])
    parts = []
    for bucket in (0, 1):
        rows = np.flatnonzero(candidate.clusters % 2 == bucket)
        could = {name: there[rows] for name, there in logged.could.items()}
        own = Logged(
            logged.widgets[rows], logged.propensities[rows], logged.policies[rows], could,
            logged.clusters[rows], logged.days[rows],
        )  # fmt: skip
        parts.append(
            of_pair(
                candidate.rows(rows), live.rows(rows), own, days=logged.days[rows], count=len(every), first={}
            )
        )
    return (parts[0] + parts[1]).facts(["reward", "views"])


@pytest.fixture(scope="module")
def better() -> Evidence:
    return evidence(APPEAL, model=True)


def test_slates_that_earn_more_may_go_live_and_those_that_earn_less_not(better: Evidence) -> None:
    found = judge({"by appeal": better, "against it": evidence(-APPEAL)}, RULES)
    assert found["by appeal"].answer == "yes", found["by appeal"].reasons
    assert found["against it"].answer == "no", found["against it"].reasons
    assert next(iter(found["by appeal"].estimates)) == "cascade-DR"
    assert next(iter(found["against it"].estimates)) == "reward-interaction IPS"


def test_the_difference_is_near_what_the_world_would_pay(better: Evidence) -> None:
    rng = np.random.default_rng(1)
    true = {}
    for name, scores in (("candidate", APPEAL), ("live", LIVE)):
        wide = np.tile(scores, (40_000, 1))
        drawn = draw(
            wide,
            np.ones(wide.shape, bool),
            positions=POSITIONS,
            temperature=T,
            floor=FLOOR,
            uniforms=rng.random((40_000, POSITIONS)),
        )
        true[name] = float((APPEAL[drawn.slates] @ np.array([1.0, 0.8, 0.6])).mean())
    for terms in better.estimates.values():
        interval = student_t(terms, better.all_clusters, level=0.999)
        assert interval.lower < true["candidate"] - true["live"] < interval.upper
    assert better.live["reward"] == pytest.approx(true["live"], rel=0.05)


def test_a_policy_mislabelled_as_the_live_one_is_found() -> None:
    found = judge({"it": evidence(APPEAL, logging=-LIVE)}, RULES)["it"]
    assert found.answer == "cannot tell"
    assert "propensities of logging policy live are not those it drew with" in " ".join(found.reasons)


@pytest.mark.parametrize("by_looks", [False, True])
def test_rows_and_sums_over_buckets_say_the_same(by_looks: bool) -> None:
    given = days(APPEAL, by_looks=by_looks)
    plain, sums = of_slates(given), summed(given)
    decides = "position-based IPS" if by_looks else "reward-interaction IPS"
    assert next(iter(plain.estimates)) == decides
    one, other = (judge({"it": each}, RULES)["it"] for each in (plain, sums))
    assert (one.answer, one.reasons, one.not_asked.keys()) == (
        other.answer,
        other.reasons,
        other.not_asked.keys(),
    )
    for look, expected in zip(other.looks, one.looks, strict=True):
        assert vars(look) == pytest.approx(vars(expected), rel=1e-9)
    assert list(one.estimates) == list(other.estimates)
    for name, interval in one.estimates.items():
        assert other.estimates[name] == pytest.approx(interval, rel=1e-9)
    assert one.guardrails == other.guardrails == {}
    for role in ("candidate", "live"):
        assert vars(sums.weights[role]) == pytest.approx(vars(plain.weights[role]), rel=1e-9)
        for name, of_others in plain.others.items():
            assert vars(sums.others[name][role]) == pytest.approx(vars(of_others[role]), rel=1e-9)
    for each, expected in zip(sums.calibrations, plain.calibrations, strict=True):
        assert (each.policy, each.action, each.rows) == (expected.policy, expected.action, expected.rows)
        assert (each.ratio, each.p_value) == pytest.approx((expected.ratio, expected.p_value), rel=1e-9)


def test_a_row_counts_by_how_far_it_is_looked_at(better: Evidence) -> None:
    ratios = np.array([[2.0, 0.5], [1.0, 0.5], [1.5, 0.4]])
    sights = np.array([[True, True], [True, False], [False, True]])
    one = Judged(np.full((3, 2), 0.5), ratios / 2, {"reward": np.zeros((3, 2))}, np.arange(3), seen=sights)
    by = one.weighing()
    assert one.weights.tolist() == [1.0, 1.0, 1.5]
    assert by["prefixes"].value == pytest.approx((1 + 1 + 1.5) / 3)
    assert by["layouts"].value == pytest.approx((1 + 0.5 + 0.6) / 3)
    # Two looks of the first serving, one of the second: E₁ / p₁, E₁ + E₂ / p₂ and E₁ / p₁, over three sights.
    given = Exposures(np.array([[0.8, 0.3], [0.6, 0.2], [9.0, 9.0]]))
    looks = replace(one, exposures=given)
    assert next(iter(looks.weighing())) == "looks"
    assert looks.weighing()["looks"].value == pytest.approx(((1.6 + 0.8 + 0.6) / 2 + 1.2) / 3)
    assert looks.weights == pytest.approx([1.5, 1.2, 0.0])
    assert abs(better.weights["candidate"].mean - 1) < 4 * better.weights["candidate"].mean_error
    assert better.weights["live"].mean == pytest.approx(1.0)


def test_whole_layouts_of_which_too_few_are_alike_do_not_contradict() -> None:
    """Five of six positions, and a candidate that turns the page round: no logged layout is like its own."""
    chance = 0.8 ** np.arange(5)
    rng = np.random.default_rng(2)
    n, scores = 4000, {"candidate": 6 * APPEAL, "live": 6 * LIVE}
    who, everyone = rng.integers(0, 400, n), np.ones((n, 6), bool)
    layouts = draw(
        np.tile(scores["live"], (n, 1)), everyone, positions=5, temperature=T, floor=0.01,
        uniforms=rng.random((n, 5)),
    ).slates  # fmt: skip
    seen = rng.random(n)[:, None] < chance
    rewards = (rng.random((n, 5)) < APPEAL[layouts]) * seen * 1.0
    of = {}
    for name, wide in scores.items():
        tiled = np.tile(wide, (n, 1))
        chances = slate_propensities(tiled, everyone, layouts, temperature=T, floor=0.01).astype(float)
        looks = exposures(
            tiled, layouts, DrawRule(T, 0.01), chance, None, seed=3, keys=np.arange(n, dtype=np.uint64)
        )
        of[name] = (chances, looks)
    said = of["live"][0]
    judged = {
        name: Judged(said, chances, {"reward": rewards}, who, None, None, seen, looks)
        for name, (chances, looks) in of.items()
    }
    could = {widget: np.ones(n, bool) for widget in WIDGETS}
    log = Logged(
        np.array(WIDGETS)[layouts[:, 0]], said[:, 0], np.full(n, "live"), could, who, np.arange(n) * 20 // n
    )
    given = of_slates({"all": SlateDay(judged["candidate"], judged["live"], log)})
    gap = given.gaps(0.999)["standard IPS"]
    # What would have been a sure contradiction ...
    assert gap.upper < -0.05 * given.live["reward"]
    found = judge({"it": given}, RULES)["it"]
    # ... says nothing: its few layouts alike are worth less than 300.
    assert found.not_asked["standard IPS"] < 300
    assert found.answer == "yes", found.reasons
    truth = _value(scores["candidate"], chance) - _value(scores["live"], chance)
    interval = next(iter(found.estimates.values()))
    assert interval.lower < truth < interval.upper


def _value(scores: np.ndarray, seen: np.ndarray) -> float:
    wide = np.tile(scores, (40_000, 1))
    uniforms = np.random.default_rng(1).random((40_000, len(seen)))
    drawn = draw(
        wide, np.ones(wide.shape, bool), positions=len(seen), temperature=T, floor=0.01, uniforms=uniforms
    )
    return float((APPEAL[drawn.slates] @ seen).mean())


def test_guardrails_have_differences_of_their_own(better: Evidence) -> None:
    assert set(better.differences) == {"reward", "views"}
    guarded = Rules(planned_rows=3000, guardrails={"views": 0.2})
    look = judge({"it": better}, guarded)["it"].guardrails["views"]
    given = days(APPEAL, model=True).values()
    candidate, live = (Judged.joined([getattr(day, name) for day in given]) for name in ("candidate", "live"))
    plain = [
        (np.cumprod(each.probabilities / each.propensities, axis=1) * each.rewards["views"]).sum(axis=1)
        for each in (candidate, live)
    ]
    assert look.value == pytest.approx((plain[0] - plain[1]).mean(), abs=1e-12)
    assert better.live["views"] == pytest.approx(plain[1].mean(), rel=1e-12)
    told = [(np.bincount(candidate.clusters, each).sum() ** 2) for each in plain]
    told = [
        all_ / (np.bincount(candidate.clusters, each) ** 2).sum()
        for all_, each in zip(told, plain, strict=True)
    ]
    assert look.rewarded == pytest.approx(min(told), rel=1e-9)


def test_without_days_there_is_nothing_to_judge() -> None:
    with pytest.raises(ValueError, match="there is no log"):
        of_slates({})


def test_an_estimator_that_has_enough_to_say_still_contradicts() -> None:
    """A widget that earns at the first position alone breaks what position-based estimators assume."""
    rng = np.random.default_rng(6)
    n, rule = 6000, DrawRule(0.5, 0.05)
    scores = {"live": np.zeros(4), "candidate": np.array([1.0, 0.5, 0.0, 0.0])}
    everyone, who, looks = np.ones((n, 4), bool), rng.integers(0, 600, n), np.ones(2)
    layouts = draw(
        np.zeros((n, 4)), everyone, positions=2, temperature=0.5, floor=0.05, uniforms=rng.random((n, 2))
    ).slates
    rewards = np.stack([layouts[:, 0] == 0, layouts[:, 1] > 0], axis=1) * 1.0
    judged = {}
    for name, of in scores.items():
        wide = np.tile(of, (n, 1))
        chances = slate_propensities(wide, everyone, layouts, temperature=0.5, floor=0.05).astype(float)
        keys = np.arange(n, dtype=np.uint64)
        shown = exposures(wide, layouts, rule, looks, None, seed=3, keys=keys)
        said = chances if name == "live" else judged["live"].propensities
        judged[name] = Judged(said, chances, {"reward": rewards}, who, exposures=shown)
    could = {str(widget): np.ones(n, bool) for widget in range(4)}
    log = Logged(
        layouts[:, 0].astype(str), judged["live"].propensities[:, 0], np.full(n, "live"), could, who, who % 20
    )
    found = judge({"it": of_slates({"all": SlateDay(judged["candidate"], judged["live"], log)})}, RULES)["it"]
    assert found.not_asked == {}
    assert found.answer == "cannot tell"
    assert "estimators disagree: position-based IPS says" in found.reasons[0]


def mixed(share: float, candidate: np.ndarray, rows: int = 20_000) -> SlateDay:
    """A log whose every position is drawn from the candidate in a share of cases, else from the live."""
    rng = np.random.default_rng(12)
    slates, said, along = np.empty((rows, POSITIONS), int), [], {"candidate": [], "live": []}
    left = np.ones((rows, len(WIDGETS)), bool)
    for position in range(POSITIONS):
        chances = {}
        for name, scores in (("candidate", candidate), ("live", LIVE)):
            powers = np.where(left, np.exp(scores / T), 0.0)
            rest = 1 - FLOOR * left.sum(axis=1, keepdims=True)
            chances[name] = left * FLOOR + rest * powers / powers.sum(axis=1, keepdims=True)
        both = (1 - share) * chances["live"] + share * chances["candidate"]
        drawn = (both.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1).clip(max=len(WIDGETS) - 1)
        here = np.arange(rows), drawn
        slates[:, position], left[here] = drawn, False
        said.append(both[here])
        for name, of in along.items():
            of.append(chances[name][here])
    seen = np.arange(POSITIONS) < rng.choice([1, 2, 3], rows, p=[0.2, 0.2, 0.6])[:, None]
    rewards = (rng.random(slates.shape) < APPEAL[slates]) * seen * 1.0
    of_both = {}
    for name, scores in (("candidate", candidate), ("live", LIVE)):
        halves = np.arange(6).reshape(2, 3)
        of_widgets = exposures(
            np.tile(scores, (2, 1)), halves, DrawRule(T, FLOOR), SEEN, None, seed=3,
            keys=np.zeros(2, dtype=np.uint64),
        )  # fmt: skip
        columns = [np.column_stack(each) for each in (said, along[name])]
        looks = Exposures(of_widgets.logged.ravel()[slates])
        of_both[name] = Judged(*columns, {"reward": rewards}, np.arange(rows), seen=seen, exposures=looks)
    log = Logged(
        np.array(WIDGETS)[slates[:, 0]], said[0], np.full(rows, "x"), {}, np.arange(rows), np.zeros(rows, int)
    )
    return SlateDay(of_both["candidate"], of_both["live"], log)


def test_exploration_on_a_page_of_several_positions_is_advised_by_how_the_variance_falls() -> None:
    """Held against logs of the mixtures themselves, for a candidate that turns the live page round."""
    now = mixed(0.0, -4 * LIVE)
    advised = of_slates({"0": now}).variances
    spread = {}
    for share in advised:
        day = mixed(share, -4 * LIVE)
        mine, theirs = (each.terms("reward")["position-based IPS"] for each in (day.candidate, day.live))
        spread[share] = float(np.var(mine.contributions - theirs.contributions))
    for share, ratio in advised.items():
        assert ratio == pytest.approx(spread[share] / spread[0.0], abs=0.06)
    assert list(advised) == [0.0, 0.1, 0.2, 0.5]
    assert advised[0.2] < 0.85
