"""Staged rows: a task per bucket, whatever the day; in pieces or not, the same rows with the same reasons."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import nobody, pieces, staging
from jobs.contracts import contract
from jobs.sources import schemas
from jobs.staging import Misplaced, Staged, in_pieces
from jobs.tables import parquet_files

ABOUT = contract("events")
SCHEMA = in_pieces(ABOUT)
DAYS = [date(2026, 1, 1) + timedelta(n) for n in range(3)]
NAMES = ("page_view", "scroll", None)
ONE_OF = st.sampled_from
EVENT = st.fixed_dictionaries(
    {
        "event_id": ONE_OF(("a", "b", "c")),
        "event_name": ONE_OF(NAMES),
        "event_at": ONE_OF((None, datetime(2026, 1, 1, 12, tzinfo=UTC))),
        "event_date": ONE_OF((None, *DAYS)),
        "arrival_date": ONE_OF(DAYS),
        "subject": ONE_OF((None, "u1")),
        "subject_bucket": ONE_OF((0, 1)),
        "user": ONE_OF((None, "u1")),
        "is_consented": ONE_OF((None, True, False)),
        "widgets": ONE_OF((None, [], ["w", None])),
        "_reason": ONE_OF((None, None, "it cannot be")),
    }
)


def event(**said: Any) -> dict[str, Any]:
    """Return an event that nothing is wrong with."""
    known = {"event_name": "page_view", "event_at": datetime(2026, 1, 1, tzinfo=UTC), "subject": "u1"}
    when = {"event_date": DAYS[0], "arrival_date": DAYS[0], "_day": DAYS[0]}
    return {"event_id": "a", **known, **when, "subject_bucket": 0, "is_consented": True, **said}


def sent(rows: Sequence[dict[str, Any]]) -> list[pa.RecordBatch]:
    """Cut rows into pieces, as a job's last tasks do."""
    return list(pieces.cut(iter([pa.RecordBatch.from_pylist(list(rows), SCHEMA)]), nobody.by_bucket))


def framed(spark: SparkSession, *batches: pa.RecordBatch) -> DataFrame:
    return spark.createDataFrame(pa.Table.from_batches(batches, pieces.ARROW))


def staged(folder: Path) -> Staged:
    return Staged("data", str(folder / "data"))


def on_disk(folder: str) -> list[dict[str, Any]]:
    """Return the rows under a folder, with what its folders name."""
    if not Path(folder).exists():
        return []
    hive = ds.partitioning(
        pa.schema([("event_date", pa.date32()), ("subject_bucket", pa.int32())]), flavor="hive"
    )
    found = ds.dataset(folder, format="parquet", partitioning=hive).to_table().to_pylist()
    return sorted(({name: row.get(name) for name in SCHEMA.names} for row in found), key=str)


def test_the_buckets_of_a_day_are_dealt_out_to_all_tasks(spark: SparkSession) -> None:
    days = [date(2026, 1, 1) + timedelta(n) for n in range(8)]
    rows = [(day, bucket) for day in days for bucket in (0, 1)] * 3
    frame = spark.createDataFrame(rows, "event_date date, subject_bucket int")
    dealt = staging._by_partition(frame, ABOUT).withColumn("task", F.spark_partition_id())
    found = {tuple(row) for row in dealt.distinct().collect()}
    assert len(found) == 16  # a partition's rows are one task's
    for day in days:
        assert {task for at, _, task in found if at == day} == {0, 1}


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=8))
def test_rows_in_pieces_are_judged_as_the_engine_judges_them(
    spark: SparkSession, rows: list[dict[str, Any]]
) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    found = staging.judged(table, ABOUT)
    engine = staging.accept(spark.createDataFrame(table), ABOUT.model_copy(update={"partition_by": []}), DAYS)
    assert found["_reason"].to_pylist() == [row["_reason"] for row in engine.select("_reason").collect()]
    assert found.drop_columns(["_reason"]).equals(table.drop_columns(["_reason"]))


def test_a_rule_may_name_a_column_that_means_something_to_duckdb_and_hold_a_text_of_its_name() -> None:
    about = ABOUT.model_copy(update={"rows": {"it's so": "user = 'user' and position = 1", "never": "false"}})
    rows = pa.Table.from_pylist([event(user="user", position=1), event(user="u", position=1)], SCHEMA)
    assert staging.judged(rows, about)["_reason"].to_pylist() == ["never", "it's so"]
    assert staging.judged(rows, ABOUT.model_copy(update={"rows": {}})) is rows


def test_in_pieces_or_not_the_same_files_are_staged(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "AT_ONCE", 2)
    rows = [
        event(event_id=f"e{n}", event_date=day, arrival_date=day, _day=day, subject_bucket=n % 2, **more)
        for day in DAYS
        for n, more in enumerate(({}, {}, {}, {"event_name": None}, {"_reason": "no", "_raw": "{}"}))
    ]
    ways = {
        "pieces": framed(spark, *sent(rows[7:]), *sent(rows[:7])),
        "rows": spark.createDataFrame(pa.Table.from_pylist(rows, SCHEMA)),
    }
    found = {}
    for way, built in ways.items():
        place = staged(tmp_path / way)
        staging.stage(built, ABOUT, DAYS[:2], place)
        good = [{name: row[name] for name in ABOUT.columns} for row in on_disk(place.good)]
        found[way] = good, on_disk(place.bad)
        assert len(parquet_files(place.good)) == 4
    assert [len(of) for of in found["pieces"]] == [6, 4]
    assert found["pieces"] == found["rows"]


def test_row_groups_are_sorted_and_hold_what_came_together(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "AT_ONCE", 3)
    groups = [["c", "a"], ["b"], ["f", "e"], ["d"]]
    batches = [batch for group in groups for batch in sent([event(event_id=name) for name in group])]
    for _ in range(2):  # a task that is tried again writes the same file
        list(staging._written(iter(batches), ABOUT, frozenset(DAYS), staged(tmp_path)))
    (file,) = Path(staged(tmp_path).good).rglob("*.parquet")
    held = pq.ParquetFile(file)
    found = [held.read_row_group(n)["event_id"].to_pylist() for n in range(held.num_row_groups)]
    assert found == [["a", "b", "c"], ["d", "e", "f"]]
    assert held.schema_arrow.names == [name for name in ABOUT.columns if name not in ABOUT.partition_by]


def test_an_accepted_row_among_pieces_of_another_partition_is_told(tmp_path: Path) -> None:
    (batch,) = sent([event(event_date=DAYS[1])])
    with pytest.raises(
        Misplaced, match="A row of events whose event_date is not 2026-01-01 lies among those"
    ):
        list(staging._written(iter([batch]), ABOUT, frozenset(DAYS), staged(tmp_path)))


def test_only_files_by_day_and_bucket_can_be_staged_as_pieces(spark: SparkSession, tmp_path: Path) -> None:
    nothing = spark.createDataFrame(pieces.ARROW.empty_table(), schemas.ddl(pieces.COLUMNS))
    for name in ("layouts", "users"):
        with pytest.raises(ValueError, match=f"{name} cannot be staged as pieces"):
            staging.stage(nothing, contract(name), DAYS, staged(tmp_path))
