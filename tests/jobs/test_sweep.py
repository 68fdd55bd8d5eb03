"""sweep: old days, and rows of who asked to be forgotten, leave the tables and then the disk."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs import sweep
from jobs.config import Config, load
from jobs.contracts import all_tables, contract
from jobs.ids import pseudonym
from jobs.tables import Tables

DAY = date(2017, 10, 12)
OLD = DAY - timedelta(400)
ANN, BOB, PHONE = (pseudonym(kind, raw, key=b"k", key_id="k1") for kind, raw in
                   (("user", "ann"), ("user", "bob"), ("device", "phone")))  # fmt: skip


@pytest.fixture
def swept(home: Path) -> tuple[Config, Tables, list[sweep.Swept]]:
    """Tables with rows of ann, who is forgotten, and of bob, after the sweep."""
    config = load()
    tables = Tables(config.tables)
    rows: dict[str, list[dict[str, Any]]] = {
        "erasures": [{"subject": ANN, "changed_date": DAY}, {"subject": PHONE, "changed_date": DAY},
                     {"subject": BOB, "changed_date": DAY + timedelta(1)}],
        "decisions": [
            *({"subject": who, "position": n, "decision_date": DAY, "subject_bucket": 1}
              for n, who in enumerate((BOB, ANN, BOB, ANN, BOB))),
            {"subject": BOB, "position": 9, "decision_date": OLD, "subject_bucket": 0},
            {"subject": BOB, "position": 8, "decision_date": OLD - timedelta(1), "subject_bucket": 0},
            {"subject": ANN, "position": 7, "decision_date": OLD - timedelta(2), "subject_bucket": 0},
        ],
        "users": [{"subject": BOB, "sponsor": ANN, "role": "customer", "changed_date": DAY},
                  {"subject": ANN, "sponsor": BOB, "role": "customer", "changed_date": DAY}],
        "identities": [{"device": PHONE, "user": BOB, "since_date": DAY}],
        "product_lists": [{"list_key": key, "list_date": DAY} for key in
                          (f"own:{ANN}:TEA", f"own:{BOB}:TEA", "bestsellers")],
        "widget_stats": [{"widget": "w", "stat_date": DAY}],
    }  # fmt: skip
    for name, told in rows.items():
        known = contract(name).columns
        day = str(contract(name).day)
        bucket = {"subject_bucket": 0} if "subject_bucket" in known else {}
        renamed = [{k if k in known else day: v for k, v in row.items()} for row in told]
        tables.append(name, [{**bucket, **row} for row in renamed])
    return config, tables, sweep.sweep(config, DAY, vacuum_hours=0)


def test_old_days_and_the_forgotten_leave_and_all_else_stays_in_order(
    swept: tuple[Config, Tables, list[sweep.Swept]],
) -> None:
    config, tables, told = swept
    left = tables.read("decisions").sort_by([("decision_date", "ascending")]).to_pylist()
    assert [(row["decision_date"], row["position"], row["subject"]) for row in left] == [
        (OLD, 9, BOB),
        (DAY, 0, BOB),
        (DAY, 2, BOB),
        (DAY, 4, BOB),
    ]
    users = tables.read("users").to_pylist()
    assert [(row["subject"], row["sponsor"], row["role"]) for row in users] == [(BOB, None, "customer")]
    assert tables.read("identities").num_rows == 0
    lists = tables.read("product_lists")["list_key"].to_pylist()
    assert sorted(lists) == ["bestsellers", f"own:{BOB}:TEA"]
    assert tables.read("widget_stats").num_rows == 1
    assert tables.read("erasures").num_rows == 3
    counts = {one.table: (one.days, one.rows) for one in told}
    assert counts == {"decisions": (2, 2), "users": (0, 1), "identities": (0, 1), "product_lists": (0, 1)}
    assert str(told[0]) == "decisions: 2 days beyond retention, 2 rows of the erased"
    assert sweep.sweep(config, DAY, vacuum_hours=0) == []


def test_no_file_on_the_disk_names_who_is_forgotten(
    swept: tuple[Config, Tables, list[sweep.Swept]],
) -> None:
    config, _, _ = swept
    import pyarrow.parquet as pq

    files = [
        file for file in Path(config.tables).rglob("*.parquet")
        if "_delta_log" not in file.parts and "erasures" not in file.parts
    ]  # fmt: skip
    assert len(files) > 4
    assert not [file for file in files if ANN in str(pq.read_table(file).to_pylist())]


def test_a_table_that_another_run_changes_meanwhile_stands(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = Tables(load().tables)
    tables.append("erasures", [{"subject": ANN, "changed_date": DAY}])
    tables.append("users", [{"subject": ANN, "changed_date": DAY}])
    whole = sweep._rewrite

    def slow(*args: Any) -> Any:
        if args[1].table == "users":
            tables.append("users", [{"subject": BOB, "changed_date": DAY}])
        return whole(*args)

    monkeypatch.setattr(sweep, "_rewrite", slow)
    with pytest.raises(sweep.SweepError, match="Another run changed users: sweep again"):
        sweep.sweep(load(), DAY, vacuum_hours=0)
    assert sorted(tables.read("users")["subject"].to_pylist()) == sorted([ANN, BOB])
    monkeypatch.undo()


def test_a_row_whose_id_ends_with_an_erased_pseudonym_goes_too(home: Path) -> None:
    """What a forgotten device led its user to: the event's id names the device, the row the user."""
    tables = Tables(load().tables)
    tables.append("erasures", [{"subject": PHONE, "changed_date": DAY}])
    ids = [f"00f067aa0ba902b7-{PHONE[-16:]}", f"00f067aa0ba902b7-{ANN[-16:]}", "o1/1", f"o1-{PHONE[-15:]}"]
    rows = [{"outcome_id": one, "subject": BOB, "outcome_date": DAY, "subject_bucket": 0} for one in ids]
    tables.append("outcomes", rows)
    sweep.sweep(load(), DAY, vacuum_hours=0)
    assert tables.read("outcomes")["outcome_id"].to_pylist() == ids[1:]


def test_every_column_that_holds_a_pseudonym_says_whose() -> None:
    """Else the sweep, the erasure of what arrives and a new key would leave it."""
    unmarked = {
        f"{name}.{column}"
        for name in all_tables()
        for column, about in contract(name).columns.items()
        if "pseudonym" in about.meaning and about.pseudonym is None
    }
    assert unmarked == set()
