"""Hashes of rows: those of Spark, for every type of the contracts, whatever is missing and however sliced."""

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from jobs.contracts import all_tables, arrow_type, contract
from jobs.row_hashes import row_hashes, seed_of
from ml import xxhash

ROWS = 400
WORDS = ("subject", "a word of more than thirty-two bytes")
ODD = (0.0, -0.0, float("nan"), float("inf"), -float("inf"), 5e-324, 1.5)


def types() -> list[str]:
    """Return every type of a column of any contract, and some that none has yet."""
    held = {column.type for name in all_tables() for column in contract(name).columns.values()}
    return sorted(held | {"array<map<string,int>>", "array<array<string>>"})


def given(kind: str, dice: random.Random) -> Any:
    """Draw a value of a type, None one time in eight."""
    if dice.random() < 1 / 8:
        return None
    plain: dict[str, Callable[[], Any]] = {
        "string": lambda: "".join(dice.choices("abzé€😀\0", k=dice.choice((0, 1, 3, 7, 8, 15, 31, 40, 99)))),
        "binary": lambda: dice.randbytes(dice.randrange(70)),
        "int": lambda: dice.choice((0, -1, 2**31 - 1, -(2**31), dice.randrange(1000))),
        "long": lambda: dice.choice((0, -1, 2**63 - 1, -(2**63), dice.randrange(10**12))),
        "float": lambda: float(np.float32(dice.choice((*ODD, dice.gauss(0, 1))))),
        "double": lambda: dice.choice((*ODD, dice.gauss(0, 1))),
        "boolean": lambda: dice.random() < 0.5,
        "date": lambda: date(1969, 1, 1) + timedelta(dice.randrange(30_000)),
        "timestamp": lambda: datetime(1969, 1, 1, tzinfo=UTC) + timedelta(0, 0, dice.randrange(10**16)),
    }
    if kind in plain:
        return plain[kind]()
    some = dice.choice((0, 1, 2, 5, 13))
    if kind.startswith("array<"):
        return [given(kind[6:-1], dice) for _ in range(some)]
    of_key, of_value = kind[4:-1].split(",", 1)
    keys = {key for _ in range(some) if (key := given(of_key, dice)) is not None}
    return [(key, given(of_value, dice)) for key in dice.sample(sorted(keys), len(keys))]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    dice = random.Random(5)
    columns = {kind: [given(kind, dice) for _ in range(ROWS)] for kind in types()}
    return pa.table({kind: pa.array(column, arrow_type(kind)) for kind, column in columns.items()})


def as_spark_hashes(spark: SparkSession, table: pa.Table) -> dict[str, list[int]]:
    """Return Spark's hash of each column, maps in the order of their keys, and of all after two words."""
    frame = spark.createDataFrame(table)

    def sorted_maps(name: str) -> Column:
        column = F.col(f"`{name}`")
        if name.startswith("array<map<"):
            return F.transform(column, lambda one: F.sort_array(F.map_entries(one)))
        return F.sort_array(F.map_entries(column)) if name.startswith("map<") else column

    every = [sorted_maps(name) for name in table.column_names]
    hashes = [F.xxhash64(one) for one in every] + [F.xxhash64(*map(F.lit, WORDS), *every)]
    found = frame.select(*(one.alias(f"hash {at}") for at, one in enumerate(hashes))).toArrow()
    names = [*table.column_names, "all"]
    return {name: [one % 2**64 for one in found[at].to_pylist()] for at, name in enumerate(names)}


@pytest.mark.parametrize("sliced", [slice(0, ROWS), slice(3, ROWS - 5)])
def test_hashes_are_those_of_spark(spark: SparkSession, table: pa.Table, sliced: slice) -> None:
    expected = as_spark_hashes(spark, table)
    (batch,) = table.combine_chunks().to_batches()
    batch = batch.slice(sliced.start, sliced.stop - sliced.start)
    for name in table.column_names:
        assert row_hashes([batch[name]]).tolist() == expected[name][sliced], name
    assert row_hashes(batch.columns, seed=seed_of(WORDS)).tolist() == expected["all"][sliced]


def test_words_of_a_dictionary_hash_as_texts(table: pa.Table) -> None:
    for batch in table.select(["string", "binary"]).slice(9, 90).to_batches():
        for column in batch.columns:
            expected = row_hashes([column])
            assert row_hashes([column.dictionary_encode()]).tolist() == expected.tolist()
    keys, items = pa.array(["b", "a", "c"]), pa.array([1, 2, 3])
    maps, coded = (pa.MapArray.from_arrays([0, 2, 3], one, items) for one in (keys, keys.dictionary_encode()))
    assert row_hashes([maps]).tolist() == row_hashes([coded]).tolist()


def test_nothing_has_no_hash_or_the_seed() -> None:
    assert row_hashes([pa.array([], pa.string())]).tolist() == []
    assert row_hashes([pa.nulls(2, pa.string())]).tolist() == [xxhash.SEED] * 2
    assert seed_of([]) == xxhash.SEED


def test_places_come_in_the_order_of_their_ranks_between_bounds() -> None:
    order = xxhash.order_within(np.array([0, 0, 3, 4, 6]), np.array([2, 0, 1, 9, 5, 4]))
    assert order.tolist() == [1, 2, 0, 3, 5, 4]
