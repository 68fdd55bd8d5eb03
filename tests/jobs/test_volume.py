"""A day with a tenth of the usual rows warns, one with none stops; no row is read for it."""

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import volume
from jobs.contracts import contract
from jobs.tables import Tables

START = date(2017, 9, 1)
DAY = START + timedelta(10)
ORDERS = contract("orders")


def judged(rows: dict[int, int], *quiet: date) -> list[tuple[str, bool]]:
    """Judge days given as n days after START, the last of them."""
    known = {START + timedelta(n): count for n, count in rows.items()}
    return [(str(found), found.stops) for found in volume.judge(known, [max(known)], ORDERS, quiet)]


USUAL = dict.fromkeys(range(10), 1000)


def test_a_day_is_held_against_the_median_of_the_weeks_before() -> None:
    assert judged({**USUAL, 10: 100}) == []
    assert judged({**USUAL, 10: 99}) == [("2017-09-11 has 99 rows where 1,000 are usual", False)]
    assert judged({**USUAL, 10: 0}) == [("2017-09-11 has 0 rows where 1,000 are usual", True)]
    assert judged({**USUAL, 3: 9_000_000, 4: 1, 10: 99})[0][0].endswith("1,000 are usual")


def test_too_few_days_and_days_of_long_ago_say_nothing() -> None:
    assert judged({**dict.fromkeys(range(6), 1000), 10: 0}) == []
    assert judged({**USUAL, 37: 0}) == []
    assert judged({**USUAL, 31: 0}) == [("2017-10-02 has 0 rows where 1,000 are usual", True)]


def test_quiet_days_are_neither_judged_nor_usual() -> None:
    assert judged({**USUAL, 10: 0}, DAY) == []
    assert judged({**dict.fromkeys(range(7), 1000), 7: 0, 8: 0, 10: 99}, START + timedelta(7)) != []


@pytest.mark.parametrize("rows", [0, 3])
def test_a_range_counts_its_own_days_and_the_tables_from_their_files(home: Path, rows: int) -> None:
    tables = Tables(str(home / "tables"))
    stored = [
        {"order_id": f"{n}-{m}", "order_date": START + timedelta(n)} for n in range(4) for m in range(40)
    ]
    tables.append("orders", stored)
    assert volume.stored_rows(tables, ORDERS) == {START + timedelta(n): 40 for n in range(4)}
    staged = home / "staged"
    for n in range(4, 11):
        folder = staged / f"order_date={START + timedelta(n)}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"order_id": ["x"] * (40 if n < 10 else rows)}), folder / "a.parquet")
    days = [START + timedelta(n) for n in range(3, 11)]
    found = volume.unusual(ORDERS, tables, str(staged), days)
    assert [(each.day, each.rows, each.usual, each.stops) for each in found] == [(DAY, rows, 40.0, rows == 0)]
    assert volume.unusual(contract("users"), tables, str(staged), days) == []
