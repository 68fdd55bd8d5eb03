"""What a job reads: days of a table, its history, or files of the lake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal

import pyarrow.fs as pafs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.config import Config, Source
from jobs.contracts import Contract, contract
from jobs.spark import dealt
from jobs.tables import Tables, located

FILES = (
    "path string, source string, form string, arrival_date date,"
    " rename map<string,string>, ignore array<string>, services array<string>, bytes long"
)
BUCKETS = "subject_bucket int, files array<struct<table: string, day: date, path: string>>"
LATE: Final = "late_days"
Span = int | Literal["late_days"]


class MissingInput(RuntimeError):
    """A day of the lake, or a table, that a job cannot do without is not there."""


@dataclass(frozen=True)
class Days:
    """Rows of a table whose day lies among the job's days, widened by whole days or by conf's `late_days`."""

    name: str
    before: Span = 0
    after: Span = 0

    def span(self, days: Sequence[date], late_days: int) -> tuple[date | None, date]:
        """First and last day to read."""
        before, after = (late_days if n == LATE else n for n in (self.before, self.after))
        return days[0] - timedelta(before), days[-1] + timedelta(after)

    def readers(self, day: date, last: date, late_days: int) -> list[date]:
        """The day itself and those after it, up to `last`, that read its rows.

        Of days before it a job's own `late` knows more: whether anything reaches back over midnight.
        """
        before = late_days if self.before == LATE else self.before
        return [day + timedelta(n) for n in range(before + 1) if n == 0 or day + timedelta(n) <= last]


@dataclass(frozen=True)
class Until:
    """Every row of a table up to the job's last day, or from `before` days ahead of its first."""

    name: str
    before: int | None = None

    def span(self, days: Sequence[date], late_days: int) -> tuple[date | None, date]:  # noqa: ARG002
        """First (None: the table's first) and last day to read."""
        return None if self.before is None else days[0] - timedelta(self.before), days[-1]

    def readers(self, day: date, last: date, late_days: int) -> list[date]:  # noqa: ARG002
        """The day itself and those after it, up to `last`, that read its rows."""
        until = last if self.before is None else min(last, day + timedelta(self.before))
        return [day + timedelta(n) for n in range(max(0, (until - day).days) + 1)]


@dataclass(frozen=True)
class State:
    """Every row of a table, whatever its day: the job picks what it needs, and follows none of its days."""

    name: str

    def span(self, days: Sequence[date], late_days: int) -> tuple[date | None, date]:  # noqa: ARG002
        """First and last day to read: all."""
        return None, date.max

    def readers(self, day: date, last: date, late_days: int) -> list[date]:  # noqa: ARG002
        """No day: what is read of it does not follow."""
        return []


@dataclass(frozen=True)
class Lake:
    """Files that arrived on the job's days, or up to so many days before or after them.

    Those of all sources that feed `table` (its own name by default), or of those of one form.
    """

    name: str
    before: Span = 0
    after: Span = 0
    table: str | None = None
    form: str | None = None

    def sources(self, config: Config) -> dict[str, Source]:
        """The sources to read, by name."""
        feeding = config.feeding(self.table or self.name)
        return {name: source for name, source in feeding.items() if self.form in (None, source.form)}

    def arrivals(self, days: Sequence[date], late_days: int) -> set[date]:
        """Days on which what is read arrived."""
        before, after = (late_days if n == LATE else n for n in (self.before, self.after))
        return {day + timedelta(n) for day in days for n in range(-before, after + 1)}


@dataclass(frozen=True)
class Buckets:
    """Files of some tables, of the job's days and their neighbours, that tasks read by themselves.

    Grain: one subject bucket, with its files in the order of tables and days. before: days ahead of the
    first; None for all.
    """

    tables: tuple[str, ...]
    before: int | None = 0
    after: int = 0
    name: str = "buckets"

    def readers(self, day: date, last: date, late_days: int) -> list[date]:
        """The day itself and those after it, up to `last`, that read its rows."""
        return Until(self.name, before=self.before).readers(day, last, late_days)


Read = Days | Until | State | Lake | Buckets


def tables_of(read: Read) -> tuple[str, ...]:
    """Names of the tables that a job reads by it."""
    if isinstance(read, Buckets):
        return read.tables
    return () if isinstance(read, Lake) else (read.name,)


def open_read(
    spark: SparkSession, read: Read, days: Sequence[date], config: Config, versions: Mapping[str, int | None]
) -> DataFrame:
    """Return the DataFrame of one input."""
    if isinstance(read, Lake):
        return frame_of_files(spark, lake_files(config, read, days))
    if isinstance(read, Buckets):
        return spark.createDataFrame(bucket_files(Tables(config.tables), read, days, versions), BUCKETS)
    about, version, tables = contract(read.name), versions[read.name], Tables(config.tables)
    first, last = read.span(days, config.late_days)
    if version is None or not _holds_days(tables, about, version, first, last):
        # From Arrow: rows of Python's go through a worker even where there is none.
        return spark.createDataFrame(about.arrow_schema.empty_table(), about.ddl)
    path = tables.path(read.name)
    frame = spark.read.format("delta").option("versionAsOf", version).load(path)
    # A version of before the contract gained a column has none of it.
    gained = {
        name: F.lit(None).cast(column.type)
        for name, column in about.columns.items()
        if name not in frame.columns
    }
    frame = frame.withColumns(gained) if gained else frame
    if about.day is None:
        return frame
    frame = frame.where(F.col(about.day) <= F.lit(last))
    return frame if first is None else frame.where(F.col(about.day) >= F.lit(first))


def _holds_days(tables: Tables, about: Contract, version: int, first: date | None, last: date) -> bool:
    """Tell from a table's log whether it has files of any day from `first` to `last`."""
    files = tables.files(about.table, version)
    if about.day is None:
        return bool(files)
    return any((first or date.min) <= partition[about.day] <= last for _, partition in files)


def lake_files(config: Config, read: Lake, days: Sequence[date]) -> list[tuple[Any, ...]]:
    """List the sources' files of these arrival days: rows of FILES.

    Raises
    ------
    MissingInput
        When a daily source has no folder for one of the job's own days: an empty day has an empty file.

    """
    wanted = read.arrivals(days, config.late_days)
    found: list[tuple[Any, ...]] = []
    for name, source in read.sources(config).items():
        by_day = _by_day(f"{config.lake}/{source.path}")
        if source.daily:
            due = [day for day in days if day >= (source.since or days[0])]
            _require(source.path, name, due, by_day)
            for service in source.services:
                # Where services have folders of their own, one that is missing would hide behind the others.
                if own := _by_day(f"{config.lake}/{source.path}/{service}"):
                    _require(f"{source.path}/{service}", service, due, own)
        found += _listed(name, source, {day: by_day[day] for day in wanted & by_day.keys()})
    return found


def missing_days(config: Config, table: str, days: Sequence[date]) -> dict[str, list[date]]:
    """Return by source the days without a folder in the lake, where the job of a table would stop."""
    found = {}
    for name, source in config.feeding(table).items():
        by_day = _by_day(f"{config.lake}/{source.path}") if source.daily else {}
        due = [day for day in days if source.daily and day >= (source.since or day)]
        if missing := [day for day in due if day not in by_day]:
            found[name] = missing
    return found


def all_files(config: Config, read: Lake) -> list[tuple[Any, ...]]:
    """List the sources' files of all days that the lake holds: rows of FILES."""
    return [
        row
        for name, source in read.sources(config).items()
        for row in _listed(name, source, _by_day(f"{config.lake}/{source.path}"))
    ]


def frame_of_files(spark: SparkSession, files: Sequence[tuple[Any, ...]]) -> DataFrame:
    """Make a frame of FILES whose tasks have as much to read as each other."""
    return spark.createDataFrame(dealt(files, size=lambda row: row[-1]), FILES)


def _listed(name: str, source: Source, by_day: Mapping[date, Mapping[str, int]]) -> list[tuple[Any, ...]]:
    settings = (source.rename, source.ignore, source.services)
    return [
        (path, name, source.form, day, *settings, by_day[day][path])
        for day in sorted(by_day)
        for path in sorted(by_day[day])
    ]


def _by_day(folder: str) -> dict[date, dict[str, int]]:
    """Files under a folder, with their bytes, by the day on which they arrived; a day may have none."""
    scheme = f"{folder.partition('://')[0]}://" if "://" in folder else ""
    filesystem, base = located(folder)
    by_day: dict[date, dict[str, int]] = {}
    for info in filesystem.get_file_info(pafs.FileSelector(base, recursive=True, allow_not_found=True)):
        day = _arrival(info.path if info.type == pafs.FileType.Directory else info.path.rpartition("/")[0])
        if day is not None:
            by_day.setdefault(day, {})
            if info.type == pafs.FileType.File and not info.base_name.startswith((".", "_")):
                by_day[day][scheme + info.path] = info.size
    return by_day


def bucket_files(
    tables: Tables, read: Buckets, days: Sequence[date], versions: Mapping[str, int | None]
) -> list[tuple[int, list[tuple[str, date, str]]]]:
    """List the files of each subject bucket, by table, then day."""
    first = date.min if read.before is None else days[0] - timedelta(read.before)
    last = days[-1] + timedelta(read.after)
    found: dict[int, list[tuple[str, date, str]]] = {}
    for name in read.tables:
        version, day = versions[name], str(contract(name).day)
        files = tables.files(name, version) if version is not None else []
        for path, partition in sorted(files, key=lambda file: (str(file[1][day]), file[0])):
            if first <= partition[day] <= last:
                found.setdefault(partition["subject_bucket"], []).append((name, partition[day], path))
    return sorted(found.items())


def _require(path: str, name: str, days: Sequence[date], found: Mapping[date, object]) -> None:
    missing = [day for day in days if day not in found]
    if missing:
        more = f" and {len(missing) - 1} more days" if len(missing) > 1 else ""
        raise MissingInput(
            f"The lake has no folder {path}/date={missing[0]}{more}: deliver it (an empty file for a"
            f" day without {name}), or run an interval that the lake covers."
        )


def _arrival(folder: str) -> date | None:
    part = next((part for part in reversed(folder.split("/")) if part.startswith("date=")), None)
    try:
        return date.fromisoformat(part.removeprefix("date=")) if part else None
    except ValueError:
        return None
