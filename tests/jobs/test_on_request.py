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


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"{", "cannot be read"),
        (json.dumps({**ABOUT, "format": 2}).encode(), "format 2, and this one knows 1"),
        (json.dumps({**ABOUT, "theta": THETA[:2]}).encode(), "cannot be read"),
        (json.dumps({k: v for k, v in ABOUT.items() if k != "static"}).encode(), "'static'"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(value, said):
    with pytest.raises(BrokenValue, match=said):
        Ranker(value, CATEGORIES)
