"""Checks: the digest of any split, one key in two places, a key's missing part, two keys of one hash."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import checks, read_back, repeats
from jobs.contracts import Check, Column, Contract, all_tables, contract
from tests.jobs.given import digest, measured, table

UNIQUE = "the key is unique"
DAY = date(2017, 9, 1)
# The constants of XXH64 (Collet), and the seed that Spark begins with.
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
SPARK_SEED = 42


def pairs(*, of: str = "long") -> Contract:
    """Return a contract of rows whose key is a pair."""
    a, b = (Column.model_validate({"type": of, "is": name}) for name in "ab")
    unique = Check(measure="count(*) - count(distinct a, b)", max=0)
    return Contract(
        table="pairs", grain="pair", partition_by=[], key=["a", "b"], columns={"a": a, "b": b}, rows={},
        checks={UNIQUE: unique, "a is some": Check(measure="count_if(a is null)", max=0)},
    )  # fmt: skip


def of_pairs(
    spark: SparkSession, found: Sequence[tuple[Any, Any]], about: Contract, folder: Path
) -> dict[str, Any]:
    return measured(spark.createDataFrame(list(found), about.ddl), about, folder)


def decisions(spark: SparkSession, count: int = 200) -> DataFrame:
    """Return rows in two buckets and two days, each with a key of its own."""
    made = (
        {
            "decision_id": f"d{n // 2}", "position": n % 2, "subject": f"u{n}", "subject_bucket": n % 2,
            "decision_date": DAY + timedelta(n // 100), "rewards": {"detail": float(n), "basket": 1.0},
        }
        for n in range(count)
    )  # fmt: skip
    return table(spark, "feedback", made)


@pytest.fixture(params=[{}, {"BATCH_ROWS": 7, "AT_ONCE": 20}, {"FEW_BYTES": 0}], ids=str)
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files here, as a few are, in one piece or in several; then in tasks."""
    for name, most in request.param.items():
        monkeypatch.setattr(read_back, name, most)


@pytest.mark.usefixtures("ways")
def test_one_key_twice_is_found_wherever_it_lies(spark: SparkSession, tmp_path: Path) -> None:
    about, once = contract("feedback"), decisions(spark)
    assert measured(once.repartition(3), about, tmp_path)[UNIQUE] == 0
    elsewhere = once.where("subject = 'u7'").withColumns(
        {"subject_bucket": F.lit(0), "subject": F.lit("u8"), "decision_date": F.lit(DAY + timedelta(1))}
    )
    found = measured(once.union(elsewhere), about, tmp_path)
    assert (found[checks.ROWS], found[UNIQUE]) == (201, 1)
    assert [str(one) for one in checks.judge(found, 0, about)] == [
        "'the key is unique' measured 1, expected at most 0"
    ]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([], 0),
        ([(1, 1), (1, 2), (2, 1)], 0),
        ([(1, 1), (1, 1), (1, 1), (2, 2), (2, 2)], 3),
        # A key with a part missing is no key, even when it is the only one.
        ([(1, None), (2, 1)], 1),
        ([(None, None)], 1),
        ([(1, None), (None, 1), (1, 1)], 2),
    ],
)
def test_it_counts_what_the_contract_says(
    spark: SparkSession, tmp_path: Path, held: list[tuple[int | None, int | None]], expected: int
) -> None:
    found = of_pairs(spark, held, pairs(), tmp_path)
    assert found[UNIQUE] == expected
    assert found["a is some"] == sum(a is None for a, _ in held)


def test_a_part_that_may_be_missing_is_a_value_where_the_contract_says_so(
    spark: SparkSession, tmp_path: Path
) -> None:
    layouts = [
        {"scenario": "live", "subject": "u1", "page": "home", "variant": variant, "layout_date": DAY}
        for variant in (None, "phone")
    ]
    about = contract("layouts")
    assert measured(table(spark, "layouts", layouts), about, tmp_path)[UNIQUE] == 0
    assert measured(table(spark, "layouts", [*layouts, layouts[0]]), about, tmp_path)[UNIQUE] == 1
    empty = {**layouts[0], "variant": ""}
    assert measured(table(spark, "layouts", [*layouts, empty]), about, tmp_path)[UNIQUE] == 1


def test_two_keys_of_one_hash_are_two_keys(spark: SparkSession, tmp_path: Path) -> None:
    one, other = (1, 2), (3, partner(1, 2, 3))
    hashes = spark.createDataFrame([one, other], "a long, b long").select(F.xxhash64("a", "b")).distinct()
    assert hashes.count() == 1
    assert of_pairs(spark, [one, other], pairs(), tmp_path)[UNIQUE] == 0
    assert of_pairs(spark, [one, other, one], pairs(), tmp_path)[UNIQUE] == 1


def test_only_a_measure_of_that_form_is_asked_of_hashes() -> None:
    of = checks.REPEATS.fullmatch
    assert [found and found[1] for found in map(of, (
        "count(*) - count(distinct a, coalesce(b, ''))",
        "count(*) - count(distinct a, coalesce(b, 'b'))",
        "count(*) - count(distinct a, lower(b))",
        "count(*) - count(distinct a) - count(distinct b)",
        "count(*) - count(distinct a) + 1",
        "count(distinct a)",
    ))] == ["a, coalesce(b, '')", None, None, None, None, None]  # fmt: skip
    assert checks.PARTS.findall("a, coalesce(b_c, ''), coalesced") == [
        ("", "a"), ("coalesce(", "b_c"), ("", "coalesced"),
    ]  # fmt: skip


@given(
    st.lists(st.lists(st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1)), max_size=9), max_size=6),
    st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_hashes_repeat_in_one_range_or_nowhere(tasks: list[list[int]], ranges: int) -> None:
    pieces = [repeats.cut([np.array(task, np.uint64)], ranges) for task in tasks]
    found = [repeats.any_twice(of_range) for of_range in zip(*pieces, strict=True)]
    every = [one for task in tasks for one in task]
    assert any(found) == (len(set(every)) < len(every))
    held = [one for task in pieces for piece in task for one in np.frombuffer(piece, np.uint64).tolist()]
    assert sorted(held) == sorted(every)


def test_ranges_meet_whole_across_tasks(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_back, "FEW_BYTES", 0)
    monkeypatch.setattr(repeats, "IN_RANGE", 100)
    once = spark.range(0, 1000, numPartitions=3).selectExpr("id as a", "id % 7 as b")
    whole = measured(once, pairs(), tmp_path)
    assert (whole[UNIQUE], whole[checks.DIGEST]) == (0, digest(once, pairs()))
    assert measured(once.union(once.where("a = 999")), pairs(), tmp_path)[UNIQUE] == 1


@pytest.mark.usefixtures("ways")
def test_the_digest_is_the_sum_of_row_hashes_in_any_order(spark: SparkSession, tmp_path: Path) -> None:
    about, made = contract("feedback"), decisions(spark)
    expected = digest(made, about)
    assert measured(made, about, tmp_path)[checks.DIGEST] == expected
    turned = made.withColumn("rewards", F.map_from_entries(F.reverse(F.map_entries("rewards"))))
    assert measured(turned.repartition(5), about, tmp_path)[checks.DIGEST] == expected
    less = measured(made.where("subject != 'u3'"), about, tmp_path)
    assert less[checks.DIGEST] != expected


def test_the_digest_is_that_of_a_file_of_several_row_groups(spark: SparkSession, tmp_path: Path) -> None:
    """Texts in maps are read as dictionaries, of which each row group has its own."""
    about, folder = contract("feedback"), str(tmp_path / "small")
    key = F.when(F.monotonically_increasing_id() < 1500, "detail").otherwise("basket")
    made = (
        decisions(spark, 3000)
        .coalesce(1)
        .withColumns(
            {
                "rewards": F.create_map(key, F.col("position").cast("double")),
                "decision_date": F.lit(DAY),
                "subject_bucket": F.lit(0),
            }
        )
    )
    made.write.option("parquet.block.size", 1 << 14).partitionBy(*about.partition_by).parquet(folder)
    (file,) = map(pq.read_metadata, Path(folder).rglob("*.parquet"))
    assert file.num_row_groups > 1
    assert "rewards.key_value.key" in read_back._of_few_words(file)
    found = checks.measure(spark.read.schema(about.ddl).parquet(folder), folder, about)
    assert found[checks.DIGEST] == digest(made, about)


@pytest.mark.usefixtures("ways")
def test_what_arrow_and_spark_read_must_be_as_many_rows(spark: SparkSession, tmp_path: Path) -> None:
    about, folder = pairs(), str(tmp_path / "two")
    made = spark.createDataFrame([(n, n) for n in range(30)], about.ddl).coalesce(1)
    made.write.parquet(folder)
    listed = spark.read.schema(about.ddl).parquet(folder)
    assert checks.measure(listed, folder, about)[checks.ROWS] == 30
    made.limit(7).write.mode("append").parquet(folder)
    with pytest.raises(read_back.Unlike, match="Spark read 30 rows and Arrow 37"):
        checks.measure(listed, folder, about)


def test_a_partition_may_be_a_text_or_nothing(spark: SparkSession, tmp_path: Path) -> None:
    about = pairs(of="string").model_copy(update={"partition_by": ["b"]})
    made = spark.createDataFrame([("x", "a/b = 50 %"), ("y", None), ("z", "é")], about.ddl)
    assert measured(made, about, tmp_path)[checks.DIGEST] == digest(made, about)


def test_nothing_has_the_digest_nought(spark: SparkSession, tmp_path: Path) -> None:
    found = of_pairs(spark, [], pairs(), tmp_path)
    assert (found[checks.ROWS], found[checks.DIGEST]) == (0, "0" * 16)


@pytest.mark.parametrize("name", all_tables())
def test_unique_is_said_of_the_key(name: str) -> None:
    about = contract(name)
    if UNIQUE in about.checks:
        said = about.checks[UNIQUE].measure.replace("coalesce(variant, '')", "variant")
        assert said == f"count(*) - count(distinct {', '.join(about.key)})"


def partner(a: int, b: int, other: int) -> int:
    """Return the long that, after `other`, hashes as `b` does after `a`: each step can be turned back."""
    wanted = mixed(b) ^ after(hashed(a, SPARK_SEED)) ^ after(hashed(other, SPARK_SEED))
    back = turned(wanted * pow(P1, -1, 2**64) % 2**64, 33) * pow(P2, -1, 2**64) % 2**64
    return back - 2**64 if back >= 2**63 else back


def hashed(value: int, seed: int) -> int:
    """XXH64 of one long, as Spark chains them: the hash so far is the seed."""
    x = (turned(after(seed) ^ mixed(value), 27) * P1 + P4) % 2**64
    x = (x ^ x >> 33) * P2 % 2**64
    x = (x ^ x >> 29) * P3 % 2**64
    return x ^ x >> 32


def after(seed: int) -> int:
    return (seed + P5 + 8) % 2**64


def mixed(value: int) -> int:
    return turned(value * P2 % 2**64, 31) * P1 % 2**64


def turned(x: int, by: int) -> int:
    return (x << by | x >> (64 - by)) % 2**64
