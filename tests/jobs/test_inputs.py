"""What a job reads: files of all the sources that feed its table, as conf/ declares them."""

from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs import spark as spark_of
from jobs.config import Config, ConfigError, Source, load
from jobs.contracts import contract
from jobs.inputs import LATE, Days, Lake, MissingInput, Read, State, Until, lake_files, open_read
from jobs.orders import ORDER
from jobs.sources import records
from jobs.sources.files import LakeFile
from jobs.tables import Tables
from tests.jobs.sources.lake import DAY, DOOR, put

NEXT = DAY + timedelta(1)
ORDERED = "2017-08-21T16:00:00Z"
CSV_FEED = {"OrderNo": "order_id", "Customer": "user_id", "Shop": "store_id", "Placed": "ordered_at"}


@pytest.fixture
def config(home: Path) -> Config:
    """Two services in folders of their own, and a second feed of orders with other column names."""
    for folder in ("telemetry/web", "backend", "tags", "orders"):
        for day in (DAY, NEXT):
            put(home / "lake" / folder / f"date={day}" / f"{day}.jsonl", [])
    put(home / "lake" / "erp" / f"date={DAY}" / "a.csv", [",".join(CSV_FEED), f"7,u1,s1,{ORDERED}"])
    more = {
        "backend": Source(form="otlp", path="backend", table="events"),
        "erp": Source(form="records", path="erp", table="orders", daily=False, rename=CSV_FEED),
    }
    base = load()
    return base.model_copy(update={"sources": {**base.sources, **more}})


def found(config: Config, read: Lake, *days: date) -> list[tuple[str, str, date]]:
    return [
        (source, Path(path).name, day) for path, source, _, day, *_ in lake_files(config, read, list(days))
    ]


def test_a_job_reads_every_source_that_feeds_its_table(config: Config) -> None:
    assert found(config, Lake("telemetry", table="events", form="otlp"), DAY) == [
        ("backend", f"{DAY}.jsonl", DAY),
        ("telemetry", f"{DAY}.jsonl", DAY),
    ]
    assert found(config, Lake("orders", after=LATE), DAY) == [
        ("erp", "a.csv", DAY),
        ("orders", f"{DAY}.jsonl", DAY),
        ("orders", f"{NEXT}.jsonl", NEXT),
    ]
    assert found(config, Lake("orders", before=1), NEXT)[-1] == ("orders", f"{NEXT}.jsonl", NEXT)


def test_a_feed_of_a_known_form_needs_no_code_but_a_map_of_its_columns(config: Config) -> None:
    (path, source, form, day, rename, *_), *_ = lake_files(config, Lake("orders"), [DAY])
    assert source == "erp"
    (batch,) = records.read(iter([LakeFile(path, source, form, day, rename)]), ORDER, DOOR)
    (row,) = batch.to_pylist()
    assert (row["order_id"], row["store_id"], row["ordered_at"].isoformat(), row["_reason"]) == (
        "7",
        "s1",
        "2017-08-21T16:00:00+00:00",
        None,
    )


def test_a_source_that_must_come_daily_is_missed_by_its_folder(config: Config) -> None:
    later = NEXT + timedelta(1)
    with pytest.raises(MissingInput, match=f"The lake has no folder orders/date={later}: deliver it"):
        lake_files(config, Lake("orders"), [NEXT, later])
    assert lake_files(config, Lake("users"), [later]) == []


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{form: ga4, path: x}", "form 'ga4' does not feed 'more': otlp and ga4 feed events"),
        ("{form: records, path: x, table: events}", "form 'records' does not feed 'events'"),
        ("{form: records, path: x}", "sources.more.table = 'more' is none of conf/contracts"),
        ("{form: otlp, path: x, table: events, rename: {a: b}}", "form 'otlp' has no columns to rename"),
        ("{form: records, path: x, table: orders, rename: {a: c, b: c}}", "two columns are renamed to 'c'"),
    ],
)
def test_a_source_that_cannot_be_is_told(tmp_path: Path, source: str, sentence: str) -> None:
    conf = tmp_path / "conf"
    conf.mkdir()
    for entry in (Path(__file__).parents[2] / "conf").iterdir():
        (conf / entry.name).symlink_to(entry)
    (conf / "more.yaml").write_text(f"sources: {{more: {source}}}")
    with pytest.raises(ConfigError, match="more") as error:
        load(conf, overlays="demo,more")
    assert sentence in str(error.value)


def test_what_was_replaced_names_the_days_that_read_it() -> None:
    last = DAY + timedelta(2)
    assert Days("orders", before=LATE).readers(DAY, last, 3) == [DAY, NEXT, last]
    assert Days("decisions", before=1, after=1).readers(DAY, last, 3) == [DAY, NEXT]
    assert Until("subject_daily").readers(DAY, last, 3) == [DAY, NEXT, last]
    assert Until("layouts", before=1).readers(DAY, last, 3) == [DAY, NEXT]
    assert Days("orders", before=LATE).readers(last, DAY, 3) == [last]


def test_a_service_that_delivers_into_a_folder_of_its_own_is_missed_by_it(config: Config) -> None:
    (Path(config.lake) / "telemetry" / "layout" / f"date={DAY}").mkdir(parents=True)
    lake_files(config, Lake("events", form="otlp"), [DAY])
    with pytest.raises(MissingInput, match=f"The lake has no folder telemetry/layout/date={NEXT}: deliver"):
        lake_files(config, Lake("events", form="otlp"), [NEXT])


def test_a_table_without_a_file_of_the_days_is_an_empty_frame(config: Config, spark: SparkSession) -> None:
    tables = Tables(config.tables)
    row = {"subject": "s1", "subject_bucket": 0, "feature_date": DAY, "features": [("recency", 1.0)]}
    tables.append("subject_features", [row])
    tables.append("widgets", [{"widget": "w1", "changed_date": DAY, "is_deleted": False}])
    versions = {name: tables.version(name) for name in ("subject_features", "widgets", "releases")}

    def rows(read: Read, *days: date) -> int:
        frame = open_read(spark, read, days, config, versions)
        assert frame.columns == list(contract(read.name).columns)
        return frame.count()

    assert rows(Days("subject_features"), DAY) == 1
    assert rows(Days("subject_features", before=1), NEXT) == 1
    assert rows(Days("subject_features"), NEXT) == 0
    assert rows(Days("subject_features", before=-1, after=6), DAY) == 0
    assert rows(Until("widgets"), DAY - timedelta(1)) == 0
    assert rows(Until("widgets"), NEXT) == 1
    assert rows(State("releases"), DAY) == 0


@given(st.lists(st.integers(0, 10**6), max_size=40), st.integers(1, 9))
def test_files_are_dealt_out_so_that_no_task_has_all_the_large_ones(sizes: list[int], tasks: int) -> None:
    dealt = spark_of.dealt(sizes, size=lambda size: size)
    assert sorted(dealt) == sorted(sizes)
    cuts = [n * len(dealt) // tasks for n in range(tasks + 1)]
    weights = [sum(dealt[begin:end]) for begin, end in pairwise(cuts)]
    # Twice the largest and an even share are more than any task has.
    assert max(weights) <= 2 * (max(sizes, default=0) + sum(sizes) / tasks)


def test_of_a_day_and_its_late_files_each_of_two_tasks_reads_half() -> None:
    assert spark_of.dealt([90, 80, 70, 60, 3, 2, 1, 0], size=lambda size: size) == [
        90,
        3,
        70,
        1,
        80,
        2,
        60,
        0,
    ]
