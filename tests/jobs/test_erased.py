"""Who asked to be forgotten is kept out of every table, whatever its contract and however it is written."""

import ast
from datetime import date
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import erased, sweep
from jobs.config import ROOT, load
from jobs.contracts import all_tables, contract
from jobs.ids import pseudonym
from jobs.shell import Job
from jobs.staged_pieces import in_pieces
from jobs.tables import Tables
from tests.jobs.given import table

ANN, BOB = (pseudonym("user", raw, key=b"k", key_id="k1") for raw in ("ann", "bob"))
DAY = date(2017, 10, 12)
GOES = ("own", "tail")
PERSONAL = [name for name in all_tables() if contract(name).pseudonyms(*GOES, "other")]


def rows_of(name: str) -> list[dict[str, Any]]:
    """A row of bob, and for each column that may name a person a row of his that names ann in it."""
    about = contract(name)

    def row(column: str | None) -> dict[str, Any]:
        said = {one: "x-" + BOB[-16:] if one in about.pseudonyms("tail") else f"own:{BOB}:TEA" if
                one == "list_key" else BOB for one in about.pseudonyms(*GOES, "other")}  # fmt: skip
        if column:
            said[column] = said[column].replace(BOB, ANN).replace(BOB[-16:], ANN[-16:])
        bucket = {"subject_bucket": 0} if "subject_bucket" in about.partition_by else {}
        return {**said, **bucket, str(about.day): DAY}

    return [row(None), *(row(column) for column in about.pseudonyms(*GOES, "other"))]


def named(name: str, rows: list[dict[str, Any]]) -> int:
    """How many rows name ann, anywhere."""
    return sum(ANN[-16:] in str(row) for row in rows)


def test_rows_that_name_them_are_turned_away_from_every_table(spark: SparkSession) -> None:
    listed = spark.createDataFrame([(ANN,)], "subject string")
    judged = []
    for name in PERSONAL:
        marked = contract(name).pseudonyms(*GOES, "other")
        built = erased.without(table(spark, name, rows_of(name)), contract(name), listed)
        judged.append(built.select(F.lit(name).alias("name"), "_reason", F.array(*marked).alias("said")))
    found = reduce(DataFrame.unionByName, judged).collect()
    for name in PERSONAL:
        own = [row for row in found if row["name"] == name]
        gone = [row for row in own if row["_reason"] == erased.REASON]
        left = [str(row["said"]) for row in own if row["_reason"] is None]
        assert len(gone) == len(contract(name).pseudonyms(*GOES)), name
        assert left
        assert not [row for row in left if ANN[-16:] in row], name


@pytest.mark.parametrize("name", PERSONAL)
def test_rows_in_pieces_are_turned_away_alike(name: str) -> None:
    about = contract(name)
    given = [{**row, "_reason": "r" if n == 0 else None} for n, row in enumerate(rows_of(name))]
    rows = pa.RecordBatch.from_pylist(given, in_pieces(about))
    found = erased.without_pieces(rows, about, pa.array([ANN])).to_pylist()
    assert [row["_reason"] for row in found[:1]] == ["r"]
    gone = [row for row in found if row["_reason"] == erased.REASON]
    left = [row for row in found if row["_reason"] is None]
    assert (len(gone), len(left)) == (len(about.pseudonyms(*GOES)), len(about.pseudonyms("other")))
    assert all(ANN[-16:] in str(row) for row in gone)
    assert not any(ANN[-16:] in str(row) for row in left)
    assert [list(row) for row in found] == [in_pieces(about).names] * len(found)


def test_rows_that_name_them_are_swept_out_of_every_table(home: Path) -> None:
    config = load()
    tables = Tables(config.tables)
    tables.append("erasures", [{"subject": ANN, "changed_date": DAY}])
    for name in PERSONAL:
        tables.append(name, rows_of(name))
        assert named(name, tables.read(name).to_pylist()) == len(rows_of(name)) - 1
    swept = {one.table: one.rows for one in sweep.sweep(config, DAY, vacuum_hours=0)}
    for name in PERSONAL:
        assert named(name, tables.read(name).to_pylist()) == 0
        assert tables.read(name).num_rows == 1 + len(contract(name).pseudonyms("other"))
    assert swept == {name: len(contract(name).pseudonyms(*GOES)) for name in PERSONAL}


@pytest.mark.parametrize("name", PERSONAL)
def test_every_table_with_persons_is_written_by_the_shell(name: str) -> None:
    """It turns rows away; a job that publishes by itself would have to see to it."""
    job = import_module(f"jobs.{name}").JOB
    assert isinstance(job, Job)
    assert job.writes == name


def test_what_is_written_past_the_shell_names_nobody() -> None:
    written = set()
    for file in (ROOT / "jobs").rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in ("append", "replace"):
                written |= {arg.value for arg in call.args[:1] if isinstance(arg, ast.Constant)}
    past = {name for name in all_tables() if name in written}
    assert past == {"exports", "quarantine", "releases", "runs"}
    assert not [name for name in past if contract(name).personal]
