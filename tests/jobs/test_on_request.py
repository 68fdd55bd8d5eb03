"""on_request: ranking for who has no layout, against the plain formula."""

import json
from datetime import date

import numpy as np
import pytest

from jobs.on_request import PURPOSE, Known, Ranker
from jobs.store.errors import BrokenValue
from ml.draw import slate_propensities
from ml.randomness import subject_keys, uniform

DAY = date(2017, 12, 31)  # a Sunday
WIDGETS = ["category:0", "category:1", "trending"]
CATEGORIES = {"category:0": "CHEESE", "category:1": "TEA"}
THETA = [[0.1, 0.2, 0.3, 0.4, 0.0, 2.0], [0.2, 0.0, -0.1, 0.1, 0.5, 1.0], [0.3, 0.1, 0.0, 0.0, 0.0, 3.0]]
STATIC = {"share/category:0": 0.3, "share/category:1": 0.2}


def feature(name, transform="identity", center=0.0, scale=1.0, missing=0.0):
    return {"name": name, "transform": transform, "center": center, "scale": scale, "missing": missing}


ABOUT = {
    "format": 1,
    "page": "home",
    "policy_version": "linucb-home@2017-12-30",
    "positions": 2,
    "seed": 7,
    "rule": {"temperature": 0.5, "floor": 0.01, "epsilon": 0.0},
    "candidates": WIDGETS,
    "context": [
        feature("intercept"),
        feature("role/consultant"),
        feature("missing/role/consultant"),
        feature("day_of_week", center=3, scale=2),
        feature("has_orders", missing=-0.5),
    ],
    "action": [feature("share/{widget}", "log1p", center=0.1, scale=0.2, missing=-1.0)],
    "theta": THETA,
    "static": STATIC,
}

PAGE = {"page": "home", "positions": 2, "policy": "linucb-home", "temperature": 0.5, "floor": 0.01}
LABELS = {"category:0": {"theme": "grocery"}, "category:1": {"theme": "grocery"}}


def steered(positions=2, main="", worths=None, goals=None, variants=(), **rules):
    """What comes with a page that has goals, rules or variants."""
    page = {**PAGE, "positions": positions, "variants": list(variants)}
    page |= ({"rules": rules} if rules else {}) | ({"goals": goals} if goals else {})
    return {
        **ABOUT, "format": 2, "positions": positions, "drawn": page, "main": main, "worths": worths,
        "labels": LABELS,
    }  # fmt: skip


def softmax(values, left, temperature=0.5, floor=0.01):
    """The plain formula of a draw from those that are left."""
    odds = {name: np.exp((values[name] - max(values[one] for one in left)) / temperature) for name in left}
    return {name: floor + (1 - len(left) * floor) * one / sum(odds.values()) for name, one in odds.items()}


def ranker(**other):
    return Ranker(json.dumps({**ABOUT, **other}).encode(), CATEGORIES)


def scores(consultant, has_orders, shares):
    """θ·x by hand: who is not known to be anything, or a consultant (1) or something else (0)."""
    role, missing = (0.0, 1.0) if consultant is None else (consultant, 0.0)
    context = [1.0, role, missing, (6 - 3) / 2, has_orders]
    own = [-1.0 if share is None else (np.log1p(share) - 0.1) / 0.2 for share in shares]
    return [
        sum(t * x for t, x in zip(theta, [*context, one], strict=True))
        for theta, one in zip(THETA, own, strict=True)
    ]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (Known(), scores(None, -0.5, (0.3, 0.2, None))),
        (Known("consultant"), scores(1.0, -0.5, (0.3, 0.2, None))),
        (Known("customer", "North"), scores(0.0, -0.5, (0.3, 0.2, None))),
        (Known(recent=("TEA", "TEA", "SOAP")), scores(None, -0.5, (0.6 / 5, 2.4 / 5, None))),
        (Known(has_orders=True), scores(None, 1.0, (0.3, 0.2, None))),
    ],
)
def test_scores_are_the_policys_on_what_is_known(known, expected):
    found = ranker().rank("k1-" + "a" * 32, DAY, known)
    assert found.scores == pytest.approx(
        [expected[WIDGETS.index(widget)] for widget in found.widgets], abs=1e-5
    )
    assert found.policy_version == "request:linucb-home@2017-12-30"
    columns = np.array([[WIDGETS.index(widget) for widget in found.widgets]])
    wanted = slate_propensities(
        np.array([expected]), np.ones((1, 3), dtype=bool), columns, temperature=0.5, floor=0.01
    )
    assert found.propensities == pytest.approx(wanted[0].tolist(), abs=1e-6)


def test_the_draw_is_the_nights_draw_with_a_stream_of_its_own():
    """Position 0 is where a seeded number falls among the probabilities, and slates follow them."""
    rank, first = ranker(positions=1), []
    expected = np.array(scores(None, -0.5, (0.3, 0.2, None)))
    odds = np.exp((expected - expected.max()) / 0.5)
    p = 0.01 + (1 - 3 * 0.01) * odds / odds.sum()
    for number in range(600):
        found = rank.rank(f"subject {number}", DAY, Known())
        u = uniform(
            7, subject_keys([f"subject {number}"]), page="home", purpose=PURPOSE, position=0, epoch=17531
        )[0]
        assert WIDGETS.index(found.widgets[0]) == np.searchsorted(np.cumsum(p), u)
        first.append(found.widgets[0])
    shares = [first.count(widget) / len(first) for widget in WIDGETS]
    assert shares == pytest.approx(p.tolist(), abs=0.06)


def test_the_same_question_has_the_same_answer_and_another_another_name():
    one, rank = Known("consultant"), ranker()
    assert rank.rank("a", DAY, one) == ranker().rank("a", DAY, one)
    names = {
        rank.rank(who, DAY, known).draw_id
        for who, known in (("a", one), ("b", one), ("a", Known()), ("a", Known(recent=("TEA",))))
    }
    assert len(names) == 4
    assert all(len(name) == 32 for name in names)
    assert rank.rank("a", DAY, one).draw_id != ranker(seed=8).rank("a", DAY, one).draw_id


def test_a_page_longer_than_its_widgets_is_as_long_as_they_are():
    found = ranker(positions=9).rank("a", DAY, Known())
    assert sorted(found.widgets) == WIDGETS
    assert len(found.reasons) == len(found.propensities) == 3


EXPECTED = dict(zip(WIDGETS, scores(None, -0.5, (0.3, 0.2, None)), strict=True))
AS_CONSULTANT = dict(zip(WIDGETS, scores(1.0, -0.5, (0.3, 0.2, None)), strict=True))
FOR_CONSULTANTS = {"category:0": {"roles": ["consultant"]}}


@pytest.mark.parametrize(
    ("role", "candidates", "values"),
    [
        ("", WIDGETS[1:], EXPECTED),
        ("consultant", WIDGETS, AS_CONSULTANT),
        ("customer", WIDGETS[1:], dict(zip(WIDGETS, scores(0.0, -0.5, (0.3, 0.2, None)), strict=True))),
    ],
)
def test_a_page_under_rules_is_drawn_from_whom_they_let_stand(role, candidates, values):
    """trending is pinned below; of the others stand those that are for the role, none where it is unknown."""
    rank = ranker(**steered(pins={"2": "trending"}, eligible=FOR_CONSULTANTS))
    for number in range(20):
        found = rank.rank(f"subject {number}", DAY, Known(role))
        assert found.candidates == candidates
        assert (found.widgets[1], found.propensities[1], found.reasons[1]) == ("trending", 1.0, "pinned")
        wanted = softmax(values, [one for one in candidates if one != "trending"])
        assert found.propensities[0] == pytest.approx(wanted[found.widgets[0]], abs=1e-6)
        assert json.loads(found.rules)["pins"] == [-1, candidates.index("trending")]
        assert len(json.loads(found.rules)["themes"]) == len(candidates)


def test_caps_spacing_and_blocked_pairs_hold():
    rank = ranker(**steered(positions=3, caps={"grocery": 1}))
    slates = [rank.rank(f"subject {number}", DAY, Known()) for number in range(20)]
    assert {len(found.widgets) for found in slates} == {len(found.propensities) for found in slates} == {2}
    assert all("trending" in found.widgets for found in slates)
    for found in slates:
        first, second = found.widgets
        assert found.propensities[0] == pytest.approx(softmax(EXPECTED, WIDGETS)[first], abs=1e-6)
        left = ["trending"] if first != "trending" else WIDGETS[:2]
        assert found.propensities[1] == pytest.approx(softmax(EXPECTED, left)[second], abs=1e-6)
    apart = ranker(**steered(positions=3, blocked=[["category:0", "trending"]]))
    for number in range(20):
        assert {"category:0", "trending"} - set(apart.rank(f"subject {number}", DAY, Known()).widgets)


GOALS = {"weights": {"reward": 1.0, "revenue": 3.0}, "differences": {"reward": 0.5, "revenue": 20.0}}


def test_a_page_with_goals_is_drawn_by_what_they_make_of_its_scores():
    """σ(reward) · Σ w · goal / σ(goal) / Σ w, where a widget's revenue is its score times its worth."""
    worths = [[0.5] * 3, [0.5] * 3, [10.0, 90.0, 1.0], [1.0] * 3]
    found = ranker(**steered(goals=GOALS, worths=worths)).rank("a", DAY, Known())
    values = {
        widget: 0.5 * (1.0 * score / 0.5 + 3.0 * score * revenue / 20.0) / 4.0
        for (widget, score), revenue in zip(EXPECTED.items(), worths[2], strict=True)
    }
    first, second = found.widgets
    assert found.scores == pytest.approx([EXPECTED[first], EXPECTED[second]], abs=1e-5)
    assert found.propensities[0] == pytest.approx(softmax(values, WIDGETS)[first], abs=1e-5)
    left = [one for one in WIDGETS if one != first]
    assert found.propensities[1] == pytest.approx(softmax(values, left)[second], abs=1e-5)
    assert found.rules is None


def test_a_variant_has_its_own_widgets_draw_and_feature():
    for_phones = {"category:1": {"devices": ["phone"]}}
    about = steered(main="desktop", variants=["device"], eligible=for_phones)
    about["context"] = [*ABOUT["context"][:-1], feature("variant/phone")]
    rank = ranker(**about)
    phone, desktop = (rank.rank("a", DAY, Known(variant=one)) for one in ("phone", "desktop"))
    assert (phone.candidates, desktop.candidates) == (WIDGETS, ["category:0", "trending"])
    assert phone.draw_id != desktop.draw_id
    assert rank.rank("a", DAY, Known()) == desktop
    for found, is_phone in ((phone, 1.0), (desktop, 0.0)):
        wanted = dict(zip(WIDGETS, scores(None, is_phone, (0.3, 0.2, None)), strict=True))
        assert found.scores == pytest.approx([wanted[widget] for widget in found.widgets], abs=1e-5)


def test_whom_the_rules_leave_nothing_is_not_ranked():
    nobody = {widget: {"regions": ["North"]} for widget in WIDGETS}
    rank = ranker(**steered(eligible=nobody))
    assert rank.rank("a", DAY, Known("consultant")) is None
    assert sorted(rank.rank("a", DAY, Known(region="North")).candidates) == WIDGETS


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"{", "cannot be read"),
        (json.dumps({**ABOUT, "format": 3}).encode(), "format 3, and this one knows 2"),
        (json.dumps({**ABOUT, "theta": THETA[:2]}).encode(), "cannot be read"),
        (json.dumps({k: v for k, v in ABOUT.items() if k != "static"}).encode(), "'static'"),
        (json.dumps(steered(mood="sad")).encode(), "mood"),
        (json.dumps(steered(goals=GOALS, worths=[[1.0, 2.0]] * 4)).encode(), "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(value, said):
    with pytest.raises(BrokenValue, match=said):
        Ranker(value, CATEGORIES)
