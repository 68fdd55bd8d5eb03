"""Kinds of widgets: what has a place at which moment."""

import pyarrow as pa
import pytest

from jobs.config import ROOT, ConfigError, load, read_yaml
from jobs.contracts import contract
from jobs.kinds import FILL_BASKET, LAST_CALL, NOTHING_SAID, Kinds, standing

OFFERS = Kinds.model_validate(
    {
        "carousel": {"any": {"browsing": True}, "bought together": {"browsing": False}},
        "banner": {"bank offer": {"browsing": False, "reward": {"click": 1}}},
    }
)


@pytest.mark.parametrize(
    ("kind", "purpose", "last_call"),
    [
        ("carousel", None, False),
        ("carousel", "bought together", True),
        ("carousel", "bank offer", False),
        ("banner", "bank offer", True),
        ("banner", None, False),  # nothing is said of it
        (None, None, False),
    ],
)
def test_what_sends_back_to_browsing_has_no_place_at_the_last_call(kind, purpose, last_call) -> None:
    assert OFFERS.may_stand(FILL_BASKET, kind, purpose)
    assert OFFERS.may_stand(LAST_CALL, kind, purpose) is last_call
    assert not NOTHING_SAID.may_stand(LAST_CALL, kind, purpose)


def test_readers_hear_of_the_widgets_that_have_a_place() -> None:
    rows = [
        {"widget": "top", "kind": "carousel", "pages": ["home", "checkout"]},
        {"widget": "with it", "kind": "carousel", "purpose": "bought together", "pages": ["checkout"]},
        {"widget": "nowhere", "kind": "carousel", "pages": None},
    ]
    widgets = pa.Table.from_pylist(rows, schema=contract("widgets").arrow_schema)
    found = standing(widgets, {"home": FILL_BASKET, "checkout": LAST_CALL}, OFFERS)
    assert found["pages"].to_pylist() == [["home"], ["checkout"], []]
    assert found.schema.equals(widgets.schema)
    assert standing(widgets, {"home": FILL_BASKET}, OFFERS) is widgets


def test_kinds_of_conf_are_those_of_the_contract(tmp_path) -> None:
    kinds = load(overlays="demo,test").kinds
    assert set(read_yaml(ROOT / "conf" / "kinds.yaml")) == {"carousel", "banner", "call_to_action"}
    assert [purpose for _, purpose, _ in kinds.rewards()] == [
        "bank offer", "monetisation", "any", "rate a purchase", "track an order",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"conf/kinds\.yaml.*browsing is missing"):
        _with_kinds(tmp_path, "banner: {poster: {}}\n")


def _with_kinds(folder, text):
    import shutil

    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "conf" / "kinds.yaml").write_text(text, encoding="utf-8")
    return load(folder / "conf", overlays="demo,test")
