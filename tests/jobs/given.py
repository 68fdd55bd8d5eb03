"""Hand-made rows for tests: what a test does not name is null, or follows from what it names."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import checks
from jobs.contracts import Contract, contract

ZONE = "America/New_York"


def table(spark: SparkSession, table: str, rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """Return rows of a table's contract; columns that a row lacks are null.

    By way of Arrow they are known to be few, as small files are: Spark takes rows of Python for many, and
    shuffles all of them for every join.
    """
    about, rows = contract(table), list(rows)
    if unknown := {name for row in rows for name in row} - set(about.columns):
        raise AssertionError(f"{table} has no column {sorted(unknown)}")
    full = [{name: _plain(row.get(name)) for name in about.columns} for row in rows]
    return spark.createDataFrame(pa.Table.from_pylist(full, schema=about.arrow_schema))


def measured(made: DataFrame, about: Contract, folder: Path) -> dict[str, Any]:
    """Write rows as a run does, and return what its checks measure."""
    path = str(folder / uuid.uuid4().hex)
    made.write.partitionBy(*about.partition_by).parquet(path)
    return checks.measure(made.sparkSession.read.schema(about.ddl).parquet(path), path, about)


def digest(rows: DataFrame, about: Contract) -> str:
    """Return the digest of rows by its formula: the sum of their hashes by Spark, as 16 hex digits."""
    columns = [
        F.sort_array(F.map_entries(name)) if column.type.startswith("map<") else F.col(f"`{name}`")
        for name, column in about.columns.items()
    ]
    hashed = F.xxhash64(*map(F.lit, about.sort_by), *columns)
    (total,) = rows.agg(F.sum(hashed.cast("decimal(38,0)"))).collect()[0]
    return f"{int(total or 0) % 2**64:016x}"


def _plain(value: Any) -> Any:
    """A map as Arrow takes it; a time without a zone is one of the machine's, as Spark gives it."""
    if isinstance(value, Mapping):
        return [(key, _plain(item)) for key, item in value.items()]
    return _utc(value)


def local(text: str, zone: str = ZONE) -> datetime:
    """The UTC instant of a local time, as 2017-11-05 01:30:00; a trailing * is the second such hour."""
    wall = datetime.fromisoformat(text.rstrip("*")).replace(
        tzinfo=ZoneInfo(zone), fold=int(text.endswith("*"))
    )
    return wall.astimezone(UTC)


def day_of(at: datetime, zone: str = ZONE) -> date:
    """Return the business day of an instant."""
    return at.astimezone(ZoneInfo(zone)).date()


def event(name: str, at: datetime, *, subject: str = "u1", **more: Any) -> dict[str, Any]:
    """Return an event of a person."""
    day = day_of(at)
    return {
        "event_id": f"{name}-{subject}-{at.timestamp():.6f}-{more.get('position')}-{more.get('widget')}",
        "event_name": name,
        "event_at": at,
        "event_date": day,
        "arrival_date": day,
        "subject": subject,
        "subject_bucket": len(subject) % 2,
        "is_bot": False,
        "is_consented": True,
        **more,
    }


@contextmanager
def split(spark: SparkSession, partitions: int) -> Iterator[None]:
    """Shuffle into so many partitions wherever rows may be shuffled, however few they are."""
    wanted = {
        "spark.sql.shuffle.partitions": f"{partitions}",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.autoBroadcastJoinThreshold": "-1",
    }
    before = {name: spark.conf.get(name) for name in wanted}
    for name, value in wanted.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            spark.conf.set(name, str(value))


def among(frame: DataFrame, column: str, days: Sequence[date], before: int = 0, after: int = 0) -> DataFrame:
    """Keep the rows that the shell would read for these days."""
    return frame.where(frame[column].between(days[0] - timedelta(before), days[-1] + timedelta(after)))


def rows(frame: DataFrame, *by: str) -> list[dict[str, Any]]:
    """Collect as dictionaries, ordered; times are UTC instants."""
    found = [
        {name: _utc(value) for name, value in row.asDict(recursive=True).items()} for row in frame.collect()
    ]
    return sorted(found, key=lambda row: tuple(str(row[name]) for name in by or row))


def _utc(value: Any) -> Any:
    # collect() gives naive times in the machine's zone.
    return value.astimezone(UTC) if isinstance(value, datetime) else value
