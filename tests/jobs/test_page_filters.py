"""Filters of a page: who is kept out and why, where they give way, and that draws and judgements agree."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs import judging, steering
from jobs.config import FeatureSet, Policy
from jobs.contracts import contract
from jobs.drawing import PageRules, draw_pages
from jobs.explaining import explain, told
from jobs.page_specs import Page
from ml.draw import DrawRule
from ml.rank import ruled

DAY = date(2017, 10, 1)
CANDIDATES = ["bank", "bread", "dairy", "soup", "top"]
LABELS: dict[str, dict[str, Any]] = {
    "bank": {"kind": "banner", "theme": "money"},
    "bread": {"kind": "carousel", "theme": "food"},
    "dairy": {"kind": "carousel", "theme": "food"},
    "soup": {"kind": "carousel", "theme": "food"},
    "top": {"kind": "carousel", "theme": "popular"},
}
KNOWN: list[dict[str, float]] = [
    {},
    {"lately/bought/bread": 1, "lately/bought/dairy": 7, "lately/bought/soup": 8},
    {
        "lately/unclicked/14/home/top": 5,
        "lately/unclicked/7/home/bank": 2,
        "lately/unclicked/14/home/bread": 4,
    },
    {"lately/unclicked/7/home/bank": 3, "lately/bought/bread": 2, "lately/unclicked/14/home/bread": 6},
    {f"lately/bought/{widget}": 3 for widget in CANDIDATES[1:]},
]
RULES = {
    "already_bought": {"days": 7},
    "seen_too_often": {"any": {"times": 5, "days": 14}, "banner": {"times": 3, "days": 7}},
}
OUT = [
    set(),
    {"bread", "dairy"},
    {"top"},
    {"bank", "bread"},
    set(),  # three positions, and one widget left: filters give way
]


def page(**rules: Any) -> Page:
    return Page.model_validate(
        {"page": "home", "positions": 3, "policy": "p", "temperature": 0.5, "floor": 0.01, "rules": rules}
    )


def subjects(known: list[dict[str, float]]) -> pa.RecordBatch:
    schema = contract("subject_features").arrow_schema
    of = [
        {"subject": f"s{number}", "subject_bucket": 0, "feature_date": DAY, "role": "direct",
         "features": [], "lately": list(lately.items()) or None}
        for number, lately in enumerate(known)
    ]  # fmt: skip
    rows = pa.RecordBatch.from_pylist(of, schema=schema)
    columns = {name: rows[name] for name in schema.names}
    columns |= {
        "layout_date": rows["feature_date"],
        "pages": pa.array([1] * len(known)),
        "variant": pa.array([""] * len(known)),
    }
    return pa.RecordBatch.from_pydict(columns)


def test_who_bought_or_looked_past_is_kept_out_and_told_why() -> None:
    may = steering.may_stand(page(**RULES), CANDIDATES, LABELS, subjects(KNOWN))
    for allowed, out in zip(may.eligible, OUT, strict=True):
        assert {name for name, is_in in zip(CANDIDATES, allowed, strict=True) if not is_in} == out
    assert may.filtered is not None
    assert may.filtered.to_pylist()[:4] == [
        [],
        ["bread: bought the day before", "dairy: bought 7 days before"],
        ["top: seen 5 times in 14 days without a click"],
        [
            "bank: seen 3 times in 7 days without a click",
            "bread: bought 2 days before, seen 6 times in 14 days without a click",
        ],
    ]
    assert len(may.filtered.to_pylist()[4]) == 4
    for text, at in may.alike():
        mine = [name for name, is_in in zip(CANDIDATES, may.eligible[at[0]], strict=True) if is_in]
        assert text == steering.bind(page(**RULES), mine, LABELS)


def test_pins_stand_whatever_filters_say_and_a_page_is_never_shorter_for_them() -> None:
    pinned = steering.may_stand(page(**RULES, pins={1: "bread"}), CANDIDATES, LABELS, subjects(KNOWN))
    assert pinned.eligible[1].tolist() == [True, True, False, True, True]
    # Where caps leave three widgets for three positions, the filter of any of them gives way.
    capped = steering.may_stand(
        page(**RULES, caps={"money": 0, "popular": 0}), CANDIDATES, LABELS, subjects(KNOWN)
    )
    assert capped.eligible[1].all()
    # top may not stand anyway: that it is kept out leaves the page as it was.
    assert capped.eligible[2].tolist() == [True, True, True, True, False]
    none = steering.may_stand(
        page(caps={"money": 0, "popular": 0, "food": 0}), CANDIDATES, LABELS, subjects(KNOWN)
    )
    assert not none.eligible.any()
    assert none.filtered is None


def test_a_draw_is_the_one_from_the_widgets_that_are_left_and_its_propensities_are_exact() -> None:
    features = FeatureSet.model_validate(
        {"name": "f", "page": "home", "context": [{"name": "intercept"}],
         "action": [{"name": "share/{widget}", "missing": 0.25}]}
    )  # fmt: skip
    spec = Policy(name="p", page="home", algorithm="linucb", feature_set="f", ridge=1.0, alpha=0.3)
    rng, width = np.random.default_rng(3), 2
    theta = rng.normal(size=(5, width))
    packed = np.tile([0.2, 0.0, 0.1], (5, 1))
    row = {"policy_version": "p@1", "spec_digest": spec.digest, "widgets": CANDIDATES, "worths": None,
           "theta": theta.ravel(), "covariance": packed.ravel()}  # fmt: skip
    asked = page(**RULES)
    rules = PageRules(asked, spec, features, 1, "live", {DAY: row}, {DAY: CANDIDATES}, {DAY: LABELS})
    schema = contract("layouts").arrow_schema
    (drawn,) = draw_pages(iter([subjects(KNOWN)]), rules=[rules], schema=schema)
    rows = drawn.to_pylist()
    assert len({one["draw_id"] for one in rows}) == len(rows)
    for one, out in zip(rows, OUT, strict=True):
        mine = [name for name in CANDIDATES if name not in out]
        assert one["candidates"] == mine
        assert len(one["widgets"]) == 3
        assert len(one["action_context"]) == len(mine)
        assert one["rules"] == steering.bind(asked, mine, LABELS)
        places = [CANDIDATES.index(name) for name in mine]
        x = np.array([[1.0, 0.25]] * len(mine))
        bonus = np.sqrt(np.einsum("ij,jk,ik->i", x, [[0.2, 0.0], [0.0, 0.1]], x))
        values = (x * theta[places]).sum(axis=1) + 0.3 * bonus
        slate = np.array([[mine.index(name) for name in one["widgets"]]])
        expected = ruled.slate_propensities(
            values[None], np.ones((1, len(mine)), bool), slate, rule=DrawRule(0.5, 0.01), rules=None
        )
        assert one["propensities"] == pytest.approx(expected[0].tolist(), rel=1e-5)
    told_of = [list(explain(one, told(one)))[4:] for one in (rows[0], rows[2], rows[4])]
    assert told_of[0] == []
    assert told_of[1] == ["  Kept out of the whole page: top (seen 5 times in 14 days without a click)."]
    assert told_of[2][0].startswith(
        "  Could stand all the same, so that the page is full: bread (bought 3 days before), dairy"
    )


def test_a_target_under_the_logs_filters_sees_what_the_log_saw_and_under_others_what_they_leave() -> None:
    rows, labels = subjects(KNOWN), {DAY: LABELS}
    same, other = page(**RULES), page(already_bought={"days": 7})
    about = SimpleNamespace(candidates=CANDIDATES, day=DAY, rules=steering.bind(same, CANDIDATES, LABELS))
    text, eligible = judging.under(rows, about, same, labels)  # type: ignore[arg-type]
    assert text == about.rules
    assert eligible.all()
    text, eligible = judging.under(rows, about, other, labels)  # type: ignore[arg-type]
    assert text != about.rules
    assert eligible.tolist() == steering.may_stand(other, CANDIDATES, LABELS, rows).eligible.tolist()
    assert eligible.sum(axis=1).tolist() == [5, 3, 5, 4, 5]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"already_bought": {"days": 0}}, "greater than 0"),
        ({"seen_too_often": {"times": 3}}, "Field required"),
        ({"seen_too_often": {"banner": {"times": 3, "days": 90}}}, "less than or equal to 84"),
    ],
)
def test_filters_that_cannot_be_are_refused(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        page(**rules)


def test_a_kind_that_no_widget_has_is_a_mistake() -> None:
    asked = page(already_bought={"poster": {"days": 7}})
    (mistake,) = asked.mistakes(["food"])
    assert mistake.startswith("rules.already_bought names 'poster', which is no kind of widget: carousel,")
