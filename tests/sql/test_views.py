"""Views: given rows and expected rows in YAML, held against DuckDB and Spark alike."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import yaml
from pyspark.sql import SparkSession

from jobs import query
from jobs.contracts import contract
from tests.jobs.given import table

CASES = [
    pytest.param(file.stem, case, id=f"{file.stem}: {case['name']}")
    for file in sorted(Path(__file__).parent.glob("*.yaml"))
    for case in yaml.safe_load(file.read_text(encoding="utf-8"))
]


def alike(found: Iterable[Mapping[str, Any]], expected: Iterable[Mapping[str, Any]]) -> None:
    def key(row: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(value) for value in row.values() if not isinstance(value, float))

    ours, theirs = sorted(found, key=key), sorted(expected, key=key)
    assert [list(row) for row in ours] == [list(row) for row in theirs]
    for mine, row in zip(ours, theirs, strict=True):
        floats = {name for name, value in row.items() if isinstance(value, float)}
        assert {name: value for name, value in mine.items() if name not in floats} == {
            name: value for name, value in row.items() if name not in floats
        }
        assert [mine[name] for name in floats] == pytest.approx([row[name] for name in floats], rel=1e-9)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_view_in_duckdb(name: str, case: dict[str, Any]) -> None:
    with duckdb.connect(":memory:") as connection:
        for source, told in case["given"].items():
            schema = contract(source).arrow_schema
            full = [{field: _entries(row.get(field)) for field in schema.names} for row in told]
            connection.register(source, pa.Table.from_pylist(full, schema=schema))
        found = connection.sql(query.view(name)).to_arrow_table().to_pylist()
    alike(found, case["expect"])


@pytest.mark.parametrize(("name", "case"), CASES)
def test_view_in_spark(spark: SparkSession, name: str, case: dict[str, Any]) -> None:
    for source, told in case["given"].items():
        table(spark, source, told).createOrReplaceTempView(source)
    found = [row.asDict() for row in spark.sql(query.view(name)).collect()]
    for source in case["given"]:
        spark.catalog.dropTempView(source)
    alike(found, case["expect"])


@pytest.mark.parametrize("name", query.views())
def test_a_view_tells_its_question_its_parameters_and_a_command(name: str) -> None:
    text = query.view(name)
    header = query.header(name)
    assert list(header) == ["Question", "Parameters", "Run"]
    assert f"from {name}" in header["Run"]
    assert header["Question"].endswith("?")
    assert "select *" not in "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    assert {case.values[0] for case in CASES} >= {name}


def _entries(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value
