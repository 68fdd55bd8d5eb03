"""Tables: one that was made before its contract gained a column takes it on with the next publishing."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, Schema, write_deltalake

from jobs import tables as of_tables
from jobs.contracts import contract
from jobs.tables import Tables, parquet_files

FRIDAY, SATURDAY = date(2017, 11, 3), date(2017, 11, 4)


def staged(tables: Tables, day: date, columns: dict[str, list[object]]) -> str:
    """Write a row of closings beside the table, as Spark does."""
    folder = Path(tables.path("closings")) / f"data/{day}" / f"changed_date={day}"
    folder.mkdir(parents=True)
    fields = [contract("closings").arrow_schema.field(name) for name in columns]
    pq.write_table(pa.table(columns, schema=pa.schema(fields)), folder / "part.parquet")
    return f"data/{day}"


def test_a_column_that_the_contract_gained_is_added(tmp_path: Path) -> None:
    tables, about = Tables(str(tmp_path)), contract("closings")
    older = {name: column for name, column in about.columns.items() if name != "is_deleted"}
    tables.create(about.model_copy(update={"columns": older}))
    assert "is_deleted" not in tables.open("closings").to_pyarrow_dataset().schema.names
    row: dict[str, list[object]] = {"closing_id": ["c1"], "first_date": [FRIDAY], "last_date": [SATURDAY]}
    tables.publish("closings", staged(tables, FRIDAY, row), days=[FRIDAY], run_id="r1")
    more = {**row, "is_deleted": [True]}
    version = tables.publish("closings", staged(tables, SATURDAY, more), days=[SATURDAY], run_id="r2")
    found = tables.read("closings").sort_by("changed_date").to_pylist()
    assert [(row["changed_date"], row["is_deleted"]) for row in found] == [(FRIDAY, None), (SATURDAY, True)]
    assert tables.writers("closings", after=version - 1) == ["r2"]


def test_two_runs_of_a_day_at_once_leave_the_rows_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, real = Tables(str(tmp_path)), of_tables._live_files
    row: dict[str, list[object]] = {"closing_id": ["c1"], "first_date": [FRIDAY], "last_date": [SATURDAY]}
    one = staged(tables, FRIDAY, row)
    (tmp_path / "closings" / one).rename(tmp_path / "closings/data/one")
    other, overtaken = staged(tables, FRIDAY, {**row, "closing_id": ["c2"]}), []

    def overtaking(table: object, about: object) -> object:
        found = real(table, about)  # type: ignore[arg-type]
        if not overtaken:
            overtaken.append(True)
            tables.publish("closings", "data/one", days=[FRIDAY], run_id="r1")
        return found

    monkeypatch.setattr(of_tables, "_live_files", overtaking)
    version = tables.publish("closings", other, days=[FRIDAY], run_id="r2")
    assert tables.read("closings")["closing_id"].to_pylist() == ["c2"]
    assert tables.writers("closings", after=version - 2) == ["r2", "r1"]


def test_a_file_without_a_column_or_without_values_in_it_holds_nulls(tmp_path: Path) -> None:
    tables, schema = Tables(str(tmp_path)), contract("runs").arrow_schema
    old = pa.schema([field for field in schema if field.name != "cpu_seconds"])
    row = {"run_id": "old", "job": "users", "dag_run": "d", "status": "published"}
    write_deltalake(tables.path("runs"), pa.Table.from_pylist([row], schema=old), partition_by=["job"])
    tables.append("runs", [{**row, "run_id": "new", "dag_run": None, "cpu_seconds": 1.5}])
    tables.append("runs", [{**row, "run_id": "other", "job": "orders"}])

    def of(where: ds.Expression) -> list[str]:
        return sorted(tables.read("runs", where, ["run_id"])["run_id"].to_pylist())

    assert of(ds.field("cpu_seconds").is_valid()) == ["new"]
    assert of(ds.field("cpu_seconds").is_null()) == ["old", "other"]
    assert of(ds.field("dag_run").is_null()) == ["new"]
    assert of(ds.field("dag_run").is_valid() & (ds.field("job") == "users")) == ["old"]
    assert of(ds.field("cpu_seconds") > 1) == ["new"]


def test_a_table_whose_columns_were_told_in_other_words_takes_rows(tmp_path: Path) -> None:
    about, tables = contract("exports"), Tables(str(tmp_path))
    reworded = pa.schema([field.with_metadata({"comment": "as it was"}) for field in about.arrow_schema])
    DeltaTable.create(tables.path("exports"), schema=Schema.from_arrow(reworded))
    row = dict.fromkeys(about.columns) | {"generation": 7}
    tables.append("exports", [row])
    assert tables.read("exports", columns=["generation"]).to_pylist() == [{"generation": 7}]


def test_files_that_spark_does_not_read_are_none_of_a_table(tmp_path: Path) -> None:
    names = ("a.parquet", "day=_x/b.parquet", "_temporary/0/c.parquet", "day=1/.d.parquet", "day=1/e.crc")
    for name in names:
        (tmp_path / "_staged" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "_staged" / name).touch()
    found = [info.path for info in parquet_files(str(tmp_path / "_staged"))]
    assert sorted(found) == [str(tmp_path / "_staged" / name) for name in names[:2]]
