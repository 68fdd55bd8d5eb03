"""Each contract is whole: columns with meanings, partitions and keys, rules that Spark can parse."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import checks
from jobs.config import ConfigError
from jobs.contracts import all_tables, arrow_type, contract
from tests.jobs.given import measured, table


@pytest.mark.parametrize("table", all_tables())
def test_rules_and_checks_compile_against_the_columns(spark: SparkSession, table: str) -> None:
    about = contract(table)
    empty = spark.createDataFrame([], about.ddl)
    for rule in about.rows.values():
        assert empty.where(rule).columns == list(about.columns)
    for check in about.checks.values():
        assert check.min is not None or check.max is not None
    measured = [F.expr(check.measure).cast("double").alias(name) for name, check in about.checks.items()]
    measured += [F.expr(check.usual.when) for check in about.checks.values() if check.usual]
    [row] = empty.agg(F.count("*").alias("rows"), *measured).collect()
    assert row["rows"] == 0


@pytest.mark.parametrize(
    ("unseen", "said"),
    [
        ([], None),
        (
            [13, 13],
            "measured 2, expected at most 0 (all of the last day: as a rule they came into view",
        ),
        ([12, 13], "measured 2, expected at most 0"),
    ],
)
def test_rewards_of_the_unseen_are_explained_where_they_are_all_of_the_last_day(
    spark: SparkSession, tmp_path: Path, unseen: list[int], said: str | None
) -> None:
    days = [(day, True) for day in (12, 13)] + [(day, False) for day in unseen]
    rows = [
        {"decision_id": f"{n}", "position": n, "decision_date": date(2017, 10, day), "subject": "u",
         "is_seen": is_seen, "reward": 1.0}
        for n, (day, is_seen) in enumerate(days)
    ]  # fmt: skip
    about = contract("feedback")
    found = checks.judge(measured(table(spark, "feedback", rows), about, tmp_path), 0, about)
    told = [str(finding).removeprefix("'an unseen position earns nothing' ") for finding in found]
    assert told == [] if said is None else told[0].startswith(said)
    assert ("as a rule" in "".join(told)) == (said is not None and "as a rule" in said)


def test_types_translate() -> None:
    assert arrow_type("map<string,array<double>>") == pa.map_(pa.string(), pa.list_(pa.float64()))
    with pytest.raises(ValueError, match="'decimal' is no type"):
        arrow_type("decimal")


def test_personal_columns_are_marked() -> None:
    assert contract("events").personal == ["event_id", "subject", "device", "user"]
    assert contract("events").day == "event_date"
    assert contract("exports").day is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("table: b\n", "conf/contracts/a.yaml: grain: Field required."),
        (
            "table: b\ngrain: x\npartition_by: []\nkey: []\ncolumns: {}\nrows: {}\nchecks: {}\n",
            "is about 'b'",
        ),
        (
            "table: a\ngrain: x\npartition_by: [day]\nkey: []\ncolumns: {}\nrows: {}\nchecks: {}\n",
            "'day' is none of",
        ),
        (
            "table: a\ngrain: x\npartition_by: []\nkey: []\ncolumns: {c: {type: text, is: x}}\n",
            "'text' is no type",
        ),
    ],
)
def test_a_broken_contract_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        contract("a", tmp_path)
    assert sentence in str(error.value)


def test_an_unknown_table_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"There is no table 'event'; the tables are .*events"):
        contract("event")
