"""In pieces or not, the same rows are staged, with the same reasons; each partition in whole files."""

from collections.abc import Iterator, Sequence
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

from jobs import nobody, pieces, read_back, staged_pieces, staging
from jobs.contracts import contract
from jobs.sources import schemas
from jobs.staged_pieces import Misplaced, in_pieces
from jobs.staging import Staged
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


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=8))
def test_rows_in_pieces_are_judged_as_the_engine_judges_them(
    spark: SparkSession, rows: list[dict[str, Any]]
) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    found = staged_pieces.judged(table, ABOUT)
    engine = staging.accept(spark.createDataFrame(table), ABOUT.model_copy(update={"partition_by": []}), DAYS)
    assert found["_reason"].to_pylist() == [row["_reason"] for row in engine.select("_reason").collect()]
    assert found.drop_columns(["_reason"]).equals(table.drop_columns(["_reason"]))


def test_a_rule_may_name_a_column_that_means_something_to_duckdb_and_hold_a_text_of_its_name() -> None:
    about = ABOUT.model_copy(update={"rows": {"it's so": "user = 'user' and position = 1", "never": "false"}})
    rows = pa.Table.from_pylist([event(user="user", position=1), event(user="u", position=1)], SCHEMA)
    assert staged_pieces.judged(rows, about)["_reason"].to_pylist() == ["never", "it's so"]
    assert staged_pieces.judged(rows, ABOUT.model_copy(update={"rows": {}})) is rows


def test_in_pieces_or_not_the_same_files_are_staged(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_pieces, "AT_ONCE", 2)
    rows = [
        event(event_id=f"e{n}", event_date=day, arrival_date=day, _day=day, subject_bucket=n % 2, **more)
        for day in DAYS
        for n, more in enumerate(({}, {}, {}, {"event_name": None}, {"_reason": "no", "_raw": "{}"}))
    ]
    # What came too late is of the day on which it came.
    rows.append(event(event_id="late", event_date=date(2025, 1, 1), _reason="too late"))
    ways = {
        "pieces": framed(spark, *sent(rows[7:]), *sent(rows[:7])),
        "rows": spark.createDataFrame(pa.Table.from_pylist(rows, SCHEMA)),
    }
    found = {}
    for way, built in ways.items():
        place = staged(tmp_path / way)
        if way == "pieces":
            staged_pieces.write(built, ABOUT, DAYS[:2], place)
        else:
            staging.write(staging.accept(built, ABOUT, DAYS[:2]), ABOUT, place)
        good = [{name: row[name] for name in ABOUT.columns} for row in on_disk(place.good)]
        # Quarantine does not look at where rejected rows lie.
        bad = [{**row, "event_date": None, "subject_bucket": None} for row in on_disk(place.bad)]
        found[way] = good, sorted(bad, key=str)
        assert len(parquet_files(place.good)) == 4
    assert [len(of) for of in found["pieces"]] == [6, 5]
    assert found["pieces"] == found["rows"]


def test_row_groups_are_sorted_and_hold_what_came_together(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_pieces, "AT_ONCE", 3)
    groups = [["c", "a"], ["b"], ["f", "e"], ["d"]]
    batches = [batch for group in groups for batch in sent([event(event_id=name) for name in group])]
    for _ in range(2):  # a task that is tried again writes the same file
        list(staged_pieces._written(iter(batches), ABOUT, frozenset(DAYS), staged(tmp_path)))
    (file,) = Path(staged(tmp_path).good).rglob("*.parquet")
    held = pq.ParquetFile(file)
    found = [held.read_row_group(n)["event_id"].to_pylist() for n in range(held.num_row_groups)]
    assert found == [["a", "b", "c"], ["d", "e", "f"]]
    assert held.schema_arrow.names == [name for name in ABOUT.columns if name not in ABOUT.partition_by]
    assert {"event_name", "subject"} <= {*read_back._of_few_words(held.metadata)}


def test_a_file_is_there_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_pieces, "AT_ONCE", 1)
    (one,), (other,) = sent([event(event_id="a")]), sent([event(event_id="b")])

    def broken() -> Iterator[pa.RecordBatch]:
        yield one
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(staged_pieces._written(broken(), ABOUT, frozenset(DAYS), staged(tmp_path)))
    assert parquet_files(staged(tmp_path).good) == []
    list(staged_pieces._written(iter([one, other]), ABOUT, frozenset(DAYS), staged(tmp_path)))
    assert [row["event_id"] for row in on_disk(staged(tmp_path).good)] == ["a", "b"]
    assert len(parquet_files(staged(tmp_path).good)) == 1


def test_where_all_rows_are_rejected_there_is_no_file_of_others(tmp_path: Path) -> None:
    list(staged_pieces._written(iter(sent([event(_reason="r")])), ABOUT, frozenset(DAYS), staged(tmp_path)))
    assert parquet_files(staged(tmp_path).good) == []
    assert [row["_reason"] for row in on_disk(staged(tmp_path).bad)] == ["r"]


def test_pieces_of_a_partition_that_do_not_follow_each_other_are_told(tmp_path: Path) -> None:
    batches = [sent([event(subject_bucket=bucket)])[0] for bucket in (0, 1, 0)]
    with pytest.raises(pieces.Disturbed, match="part 0 on 2026-01-01 do not follow each other"):
        list(staged_pieces._written(iter(batches), ABOUT, frozenset(DAYS), staged(tmp_path)))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"event_date": DAYS[1]}, "event_date is not 2026-01-01"),
        ({"event_date": None, "arrival_date": None}, "event_date is not 2026-01-01"),
        ({"subject_bucket": None}, "subject_bucket is not 0"),
    ],
)
def test_an_accepted_row_among_pieces_of_another_partition_is_told(
    tmp_path: Path, said: dict[str, Any], told: str
) -> None:
    about = ABOUT.model_copy(update={"rows": {}})
    with pytest.raises(Misplaced, match=f"A row of events whose {told} lies among those"):
        list(staged_pieces._written(iter(sent([event(**said)])), about, frozenset(DAYS), staged(tmp_path)))


def test_only_files_by_day_and_bucket_can_be_staged_as_pieces(spark: SparkSession, tmp_path: Path) -> None:
    nothing = spark.createDataFrame(pieces.ARROW.empty_table(), schemas.ddl(pieces.COLUMNS))
    for name in ("layouts", "users"):
        with pytest.raises(ValueError, match=f"{name} cannot be staged as pieces"):
            staged_pieces.write(nothing, contract(name), DAYS, staged(tmp_path))
