"""Loading days both ways: equal rows have equal digests in any order of files, and seconds are told apart."""

from datetime import date

from jobs.tables import Tables
from tests.week.backfill import Loaded, _digest

DAY = date(2017, 8, 18)


def orders(*ids: str) -> list[dict[str, object]]:
    return [{"order_id": one, "order_date": DAY, "subject": f"k1-{one}"} for one in ids]


def test_rows_are_equal_whatever_order_they_were_written_in(tmp_path):
    at_once, by_run, other = (Tables(str(tmp_path / name)) for name in ("once", "run", "other"))
    at_once.append("orders", orders("1", "2", "3"))
    for ids in (("3", "1"), ("2",)):
        by_run.append("orders", orders(*ids))
    other.append("orders", orders("1", "2", "4"))
    assert _digest(at_once, "orders") == _digest(by_run, "orders") != _digest(other, "orders")


def test_rejected_rows_are_compared_whichever_run_rejected_them(tmp_path):
    wanted, same, other = (Tables(str(tmp_path / name / "tables")) for name in ("wanted", "same", "other"))

    def rows(home, run_id):
        of_all = {"table": "orders", "quarantine_date": DAY, "reason": "no customer", "run_id": run_id}
        return [of_all | {"row": row, "source_file": f"{home}/lake/a"} for row in ("{}", '{"order_id": "1"}')]

    wanted.append("quarantine", rows(tmp_path / "wanted", "one"))
    same.append("quarantine", rows(tmp_path / "same", "two")[::-1])
    other.append("quarantine", rows(tmp_path / "other", "one")[:1])
    assert _digest(wanted, "quarantine") == _digest(same, "quarantine") != _digest(other, "quarantine")


def test_work_and_orchestration_are_told_apart():
    assert Loaded(120.0, 90.0, {}).sentence("run by run", 4) == (
        "4 days run by run: 120 s, of which 90 s with a job at work and 30 s of orchestration; 30.0 s a day."
    )
