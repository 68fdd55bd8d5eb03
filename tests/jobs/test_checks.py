"""Checks: the digest of any split, one key in two places, a key's missing part, two keys of one hash."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import checks, repeats
from jobs.contracts import Check, Column, Contract, all_tables, contract
from tests.jobs.given import rows, table

UNIQUE = "the key is unique"
DAY = date(2017, 9, 1)
PIECES = pa.schema([("range", pa.int32()), ("hashes", pa.binary())])
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


def of_pairs(spark: SparkSession, found: Sequence[tuple[Any, Any]], about: Contract) -> dict[str, Any]:
    return checks.measure(spark.createDataFrame(list(found), about.ddl), about)


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


def test_one_key_twice_is_found_wherever_it_lies(spark: SparkSession) -> None:
    about, once = contract("feedback"), decisions(spark)
    assert checks.measure(once.repartition(3), about)[UNIQUE] == 0
    elsewhere = once.where("subject = 'u7'").withColumns(
        {"subject_bucket": F.lit(0), "subject": F.lit("u8"), "decision_date": F.lit(DAY + timedelta(1))}
    )
    measured = checks.measure(once.union(elsewhere), about)
    assert (measured[checks.ROWS], measured[UNIQUE]) == (201, 1)
    assert [str(found) for found in checks.judge(measured, 0, about)] == [
        "'the key is unique' measured 1, expected at most 0"
    ]


@pytest.mark.parametrize(
    ("found", "expected"),
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
    spark: SparkSession, found: list[tuple[int | None, int | None]], expected: int
) -> None:
    measured = of_pairs(spark, found, pairs())
    assert measured[UNIQUE] == expected
    assert measured["a is some"] == sum(a is None for a, _ in found)


def test_a_part_that_may_be_missing_is_a_value_where_the_contract_says_so(spark: SparkSession) -> None:
    layouts = [
        {"scenario": "live", "subject": "u1", "page": "home", "variant": variant, "layout_date": DAY}
        for variant in (None, "phone")
    ]
    about = contract("layouts")
    assert checks.measure(table(spark, "layouts", layouts), about)[UNIQUE] == 0
    assert checks.measure(table(spark, "layouts", [*layouts, layouts[0]]), about)[UNIQUE] == 1


def test_two_keys_of_one_hash_are_two_keys(spark: SparkSession) -> None:
    one, other = (1, 2), (3, partner(1, 2, 3))
    hashes = spark.createDataFrame([one, other], "a long, b long").select(F.xxhash64("a", "b")).distinct()
    assert hashes.count() == 1
    assert of_pairs(spark, [one, other], pairs())[UNIQUE] == 0
    assert of_pairs(spark, [one, other, one], pairs())[UNIQUE] == 1


def test_only_a_measure_of_that_form_is_asked_of_hashes() -> None:
    of = checks.REPEATS.fullmatch
    assert [found and found[1] for found in map(of, (
        "count(*) - count(distinct a, coalesce(b, ''))",
        "count(*) - count(distinct a) - count(distinct b)",
        "count(*) - count(distinct a) + 1",
        "count(distinct a)",
    ))] == ["a, coalesce(b, '')", None, None, None]  # fmt: skip


@given(
    st.lists(
        st.lists(st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)), max_size=9), max_size=6
    ),
    st.integers(1, 5),
    st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_hashes_repeat_in_one_range_or_nowhere(batches: list[list[int]], ranges: int, at_once: int) -> None:
    made = [pa.RecordBatch.from_pydict({"hash": pa.array(batch, pa.int64())}) for batch in batches]
    with mock.patch.object(repeats, "AT_ONCE", at_once):
        cut = pa.Table.from_batches(repeats._cut(ranges)(iter(made)), PIECES)
    found = [
        list(repeats._repeat(iter(cut.filter(pc.field("range") == one).to_batches())))
        for one in range(ranges)
    ]
    every = [one for batch in batches for one in batch]
    assert any(found) == (len(set(every)) < len(every))
    held = [np.frombuffer(piece, np.int64) for piece in cut["hashes"].to_pylist()]
    assert sorted(np.concatenate([*held, np.empty(0, np.int64)])) == sorted(every)


def test_ranges_meet_whole_across_tasks(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "IN_RANGE", 100)
    monkeypatch.setattr(repeats, "FEW", 0)
    once = spark.range(0, 1000, numPartitions=3).select(F.xxhash64("id"))
    assert not repeats.any_twice(once, 1000)
    assert repeats.any_twice(once.union(spark.range(999, 1000).select(F.xxhash64("id"))), 1001)


def test_the_digest_is_the_sum_of_row_hashes_in_any_order(spark: SparkSession) -> None:
    about, made = contract("feedback"), decisions(spark)
    by_name = F.sort_array(F.map_entries("rewards"))
    columns = [by_name if name == "rewards" else F.col(name) for name in about.columns]
    own = made.select(F.xxhash64(*map(F.lit, about.sort_by), *columns)).collect()
    expected = f"{sum(one for (one,) in own) % 2**64:016x}"
    assert checks.measure(made, about)[checks.DIGEST] == expected
    turned = made.withColumn("rewards", F.map_from_entries(F.reverse(F.map_entries("rewards"))))
    assert checks.measure(turned.repartition(5), about)[checks.DIGEST] == expected
    less = checks.measure(made.where("subject != 'u3'"), about)
    assert less[checks.DIGEST] != expected
    assert rows(made.limit(0)) == []


def test_nothing_has_the_digest_nought(spark: SparkSession) -> None:
    measured = of_pairs(spark, [], pairs())
    assert (measured[checks.ROWS], measured[checks.DIGEST]) == (0, "0" * 16)


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
