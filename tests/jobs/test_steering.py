"""Rules bound to a draw's candidates: a text says what the rules said; equal rules are equal texts."""

import json

import numpy as np
import pytest

from jobs import steering
from jobs.config import ConfigError
from jobs.page_specs import Page
from ml.rank.rules import DPP, NO_CAP, NOBODY

CANDIDATES = ["a", "b", "c", "d"]
LABELS = {
    "a": {"theme": "food", "core_theme": "daily", "intent": "replenish"},
    "b": {"theme": "food", "core_theme": "daily", "intent": "discover"},
    "c": {"theme": "travel", "core_theme": "rare", "intent": "discover"},
    "d": {"theme": "travel", "core_theme": None, "intent": None},
}


def page(**rules: object) -> Page:
    return Page.model_validate(
        {"page": "home", "positions": 3, "policy": "p", "temperature": 0.1, "floor": 0.0, "rules": rules}
    )


def test_rules_by_name_become_rules_by_column() -> None:
    asked = page(
        caps={"food": 1}, spacing=2, pins={1: "c", 3: "gone"}, blocked=[["b", "a"], ["a", "gone"]],
        diversity={"kind": "dpp", "strength": 0.5},
    )  # fmt: skip
    text = steering.bind(asked, CANDIDATES, LABELS)
    assert text is not None
    rules = steering.read(text)
    assert rules.pins.tolist() == [2, NOBODY, NOBODY]
    assert rules.themes.tolist() == [0, 0, 1, 1]
    assert rules.caps.tolist() == [1, NO_CAP]
    assert rules.spacing == 2
    assert np.argwhere(rules.blocked).tolist() == [[0, 1], [1, 0]]
    assert (rules.kind, rules.strength) == (DPP, 0.5)
    in_common = [[3, 2, 0, 0], [2, 3, 1, 0], [0, 1, 3, 1], [0, 0, 1, 3]]
    assert rules.likeness == pytest.approx(np.array(in_common) / 3)
    # A rule about a widget that is no candidate changes nothing.
    without = asked.rules.model_copy(update={"pins": {1: "c"}, "blocked": [("a", "b")]})
    assert steering.bind(asked.model_copy(update={"rules": without}), CANDIDATES, LABELS) == text
    assert steering.unknown(asked, CANDIDATES) == ["rules.pins names 'gone'"]


def test_groups_of_candidates_are_bound_as_if_each_were_alone() -> None:
    asked = page(
        caps={"food": 1, "travel": 2}, spacing=1, pins={1: "c", 2: "gone"}, blocked=[["d", "a"], ["b", "c"]],
        diversity={"kind": "mmr", "strength": 0.5}, already_bought={"days": 3},
    )  # fmt: skip
    groups = np.array([[(number >> place) % 2 for place in range(4)] for number in range(16)], dtype=bool)
    assert asked.rules is not None
    assert steering.bind_each(asked, asked.rules, CANDIDATES, LABELS, groups) == [
        steering.bind(asked, [name for name, is_in in zip(CANDIDATES, group, strict=True) if is_in], LABELS)
        for group in groups
    ]


PLAIN = {"pins": [1, -1], "themes": [0, -1], "caps": [2], "spacing": 0, "blocked": [[0, 1]]}


def test_rules_from_elsewhere_are_about_as_many_candidates_as_were_told() -> None:
    text = json.dumps(PLAIN | {"diversity": ["mmr", 1], "labels": [[0, 0], [1, -1]]})
    assert steering.is_about(text, 2)
    assert not steering.is_about(text, 3)
    assert steering.read(text).likeness.tolist() == [[1.0, 0.5], [0.5, 1.0]]


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "7", "null", "[]", "{}", "[" * 100_000, "9" * 5_000,
        *(json.dumps({name: PLAIN[name] for name in PLAIN if name != missing}) for missing in sorted(PLAIN)),
        *(
            json.dumps(PLAIN | told)
            for told in (
                {"pins": [2**40, -1]}, {"pins": [2]}, {"pins": 1}, {"pins": [[1]]}, {"pins": [-2]},
                {"themes": "ab"}, {"themes": {"0": 1, "1": 2}}, {"themes": [[0], [0]]}, {"themes": [0.5, 0]},
                {"themes": [1, 0]}, {"caps": [-1]}, {"caps": ["1"]}, {"caps": [1e400]},
                {"spacing": "1"}, {"spacing": -1}, {"spacing": 2**70}, {"spacing": None},
                {"blocked": [[0, 2]]}, {"blocked": [[0, -1]]}, {"blocked": [[0]]}, {"blocked": [["a", "b"]]},
                {"diversity": ["mmr", 1.0]}, {"diversity": ["all", 1.0]}, {"diversity": [[], 1.0]},
                {"diversity": ["none", "1"]}, {"diversity": ["none", -1]},
                {"diversity": ["none", float("nan")]}, {"labels": []},
                {"labels": [[0]]}, {"labels": [[0, 0], [0]]}, {"labels": [[0, 0]] * 33},
            )
        ),
    ],
)  # fmt: skip
def test_hostile_text_is_no_rules_and_one_sentence(text: str) -> None:
    assert not steering.is_about(text, 2)
    with pytest.raises(
        ConfigError, match=r"(?s)^The rules beside a draw cannot be read: [^\n]+ told them\.$"
    ):
        steering.read(text)


def test_what_is_made_of_rules_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    many = 50_000
    text = json.dumps(PLAIN | {"themes": [-1] * many, "blocked": [], "labels": [[-1] * many]})
    assert not steering.is_about(text, many)
    assert not steering.is_about(text, 2)

    def full(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate")

    monkeypatch.setattr(steering, "likeness", full)
    assert not steering.is_about(json.dumps(PLAIN | {"labels": [[5, 6]]}), 2)


def test_likeness_spans_a_volume() -> None:
    """DPP needs a similarity without negative eigenvalues; shares of labels in common have none."""
    codes = np.random.default_rng(1).integers(-1, 3, (3, 12)).tolist()
    assert np.linalg.eigvalsh(steering.likeness(codes)).min() > -1e-12


def test_a_page_without_rules_has_no_text() -> None:
    assert steering.bind(page().model_copy(update={"rules": None}), CANDIDATES, LABELS) is None


def test_audiences_are_roles_and_regions() -> None:
    asked = page(eligible={"b": {"roles": ["consultant"]}, "c": {"roles": ["direct"], "regions": ["north"]}})
    assert steering.eligible(asked, CANDIDATES, "consultant", "north") == ("a", "b", "d")
    assert steering.eligible(asked, CANDIDATES, "direct", "north") == ("a", "c", "d")
    assert steering.eligible(asked, CANDIDATES, "direct", None) == ("a", "d")


def test_rules_that_leave_nobody_are_known() -> None:
    for rules, is_empty in (
        ({"caps": {"food": 0, "travel": 0}}, True),
        ({"caps": {"food": 0}}, False),
        ({"caps": {"food": 0, "travel": 0}, "pins": {2: "a"}}, False),
        ({"caps": {"food": 0, "travel": 0}, "pins": {2: "gone"}}, True),
    ):
        text = steering.bind(page(**rules), CANDIDATES, LABELS)
        assert text is not None
        assert steering.read(text).is_empty == is_empty
