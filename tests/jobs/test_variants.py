"""Variants of a page: what is drawn for each, and what of it reaches the store."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.config import FeatureSet, Policy
from jobs.contracts import contract
from jobs.drawing import PageRules, draw_pages
from jobs.export import _kept_as
from jobs.page_specs import Page
from jobs.variants import VariantNames, features
from tests.jobs.test_page_filters import CANDIDATES, DAY, KNOWN, LABELS, subjects

NAMES = VariantNames(device=["desktop", "phone"], daypart={"day": 6, "evening": 18})
ABOUT: dict[str, Any] = {"page": "home", "positions": 3, "policy": "p", "temperature": 0.5, "floor": 0.01}


def page(**more: Any) -> Page:
    return Page.model_validate({**ABOUT, **more})


def drawn(asked: Page, variants: tuple[str, ...], theta: float = 2.0) -> list[dict[str, Any]]:
    """Draw pages by a policy that knows soup is for phones."""
    about = FeatureSet.model_validate(
        {"name": "f", "page": "home", "action": [],
         "context": [{"name": "intercept"}, {"name": "variant/phone", "missing": 0.5}]}
    )  # fmt: skip
    spec = Policy(name="p", page="home", algorithm="linucb", feature_set="f", ridge=1.0, alpha=0.0)
    row = {"policy_version": "p@1", "spec_digest": spec.digest, "widgets": CANDIDATES, "worths": None,
           "theta": np.array([[0.0, theta if name == "soup" else 0.0] for name in CANDIDATES]).ravel(),
           "covariance": np.tile([1.0, 0.0, 1.0], 5)}  # fmt: skip
    rules = PageRules(asked, spec, about, 1, "live", {DAY: row}, {DAY: CANDIDATES}, {DAY: LABELS}, variants)
    rows = subjects(KNOWN)
    place = rows.schema.get_field_index("subject")
    named = pa.array([*rows["subject"].to_pylist()[:-1], "default:home:07"])
    batches = draw_pages(
        iter([rows.set_column(place, "subject", named)]),
        rules=[rules],
        schema=contract("layouts").arrow_schema,
    )
    return [row for batch in batches for row in batch.to_pylist()]


def test_a_page_without_variants_has_one_and_with_them_one_for_each_combination() -> None:
    assert NAMES.of(page()) == ("",)
    assert NAMES.of(page(variants=["device"])) == ("desktop", "phone")
    both = page(variants=["daypart", "device"])
    assert NAMES.of(both) == ("day.desktop", "day.phone", "evening.desktop", "evening.phone")
    assert NAMES.told(page(), "UTC") == {}
    assert list(NAMES.told(both, "UTC")) == ["daypart", "device", "zone"]
    assert features(["variant/phone", "recency"], ["day.phone", "day.desktop", "", None])[
        "variant/phone"
    ].tolist() == pytest.approx([1, 0, np.nan, np.nan], nan_ok=True)


def test_each_variant_is_a_draw_of_its_own_and_knows_what_it_is_of() -> None:
    offer = {"eligible": {"bank": {"devices": ["phone"]}}}
    found = drawn(page(variants=["device"], rules=offer), ("desktop", "phone"))
    by_variant = {name: [row for row in found if row["variant"] == name] for name in ("desktop", "phone")}
    assert [len(rows) for rows in by_variant.values()] == [5, 5]
    assert len({row["draw_id"] for row in found}) == 10
    for name, rows in by_variant.items():
        is_phone = float(name == "phone")
        assert {tuple(row["context"]) for row in rows} == {(1.0, is_phone)}
        assert {row["candidates"][0] for row in rows} == {"bank" if is_phone else "bread"}
        k = len(rows[0]["candidates"])
        for row in rows:
            # The softmax over equal widgets, of which soup is worth 2 more on phones.
            odds = np.array(
                [np.exp(2 * is_phone / 0.5) if each == "soup" else 1.0 for each in row["candidates"]]
            )
            first = row["candidates"].index(row["widgets"][0])
            expected = 0.01 + (1 - 0.01 * k) * odds[first] / odds.sum()
            assert row["propensities"][0] == pytest.approx(expected, rel=1e-4)
    assert by_variant["desktop"][-1]["subject"] == "default:home:07"
    assert by_variant["phone"][-1]["subject"] == "default:home@phone:07"


def test_who_asks_for_none_is_drawn_as_ever() -> None:
    (plain, other) = (drawn(page(), ("",)), drawn(page(), ("",), theta=-1.0))
    assert [row["variant"] for row in plain] == [""] * 5
    assert {tuple(row["context"]) for row in plain} == {(1.0, 0.5)}
    assert {row["draw_id"] for row in plain}.isdisjoint(row["draw_id"] for row in other)


def test_the_store_keeps_a_variant_as_a_page_of_its_own_and_the_main_one_as_the_page() -> None:
    rows = pa.table(
        {"page": ["home"] * 4, "subject": list("abcd"), "variant": ["desktop", "phone", "", None]}
    )
    reader = pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches())
    found = _kept_as(reader, ["subject", "page"], ["desktop"]).read_all().to_pydict()
    assert found == {"subject": list("abcd"), "page": ["home", "home@phone", "home", "home"]}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"variants": ["device", "device"]}, "names one twice"),
        ({"rules": {"eligible": {"bank": {"devices": ["phone"]}}}}, "the page has no variants of device"),
        ({"variants": ["weather"]}, "device"),
    ],
)
def test_variants_that_cannot_be_are_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        page(**more)


def test_names_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="names two things"):
        VariantNames(device=["day"], daypart={"day": 6})
    with pytest.raises(ValueError, match="in the order of their hours"):
        VariantNames(daypart={"day": 18, "evening": 6})
    asked = page(variants=["device"], rules={"eligible": {"bank": {"devices": ["watch"]}}})
    assert NAMES.mistakes(asked) == ["rules.eligible.bank.devices names 'watch', none of desktop, phone"]
