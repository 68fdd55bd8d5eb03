"""What a job reads: days of a table, its history, or files of the lake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow.fs as pafs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.config import Config
from jobs.contracts import contract
from jobs.tables import Tables, located

FILES = "path string, source string, form string, arrival_date date"


class MissingInput(RuntimeError):
    """A day of the lake, or a table, that a job cannot do without is not there."""


@dataclass(frozen=True)
class Days:
    """Rows of a table whose day lies among the job's days, widened by whole days."""

    name: str
    before: int = 0
    after: int = 0

    def span(self, days: Sequence[date]) -> tuple[date | None, date]:
        """First and last day to read."""
        return days[0] - timedelta(self.before), days[-1] + timedelta(self.after)


@dataclass(frozen=True)
class Until:
    """Every row of a table up to the job's last day, or from `before` days ahead of its first."""

    name: str
    before: int | None = None

    def span(self, days: Sequence[date]) -> tuple[date | None, date]:
        """First (None: the table's first) and last day to read."""
        return None if self.before is None else days[0] - timedelta(self.before), days[-1]


@dataclass(frozen=True)
class State:
    """Every row of a table, whatever its day: the job picks what it needs, and follows none of its days."""

    name: str

    def span(self, days: Sequence[date]) -> tuple[date | None, date]:  # noqa: ARG002 - as Days and Until
        """First and last day to read: all."""
        return None, date.max


@dataclass(frozen=True)
class Lake:
    """Files of a source that arrived on the job's days, or up to `after` days later."""

    name: str
    after: int = 0


Read = Days | Until | State | Lake


def open_read(
    spark: SparkSession, read: Read, days: Sequence[date], config: Config, versions: Mapping[str, int | None]
) -> DataFrame:
    """Return the DataFrame of one input."""
    if isinstance(read, Lake):
        return spark.createDataFrame(lake_files(config, read, days), FILES)
    about, version = contract(read.name), versions[read.name]
    if version is None:
        return spark.createDataFrame([], about.ddl)
    path = Tables(config.tables).path(read.name)
    frame = spark.read.format("delta").option("versionAsOf", version).load(path)
    if about.day is None:
        return frame
    first, last = read.span(days)
    frame = frame.where(F.col(about.day) <= F.lit(last))
    return frame if first is None else frame.where(F.col(about.day) >= F.lit(first))


def lake_files(config: Config, read: Lake, days: Sequence[date]) -> list[tuple[str, str, str, date]]:
    """List the source's files of these arrival days.

    Raises
    ------
    MissingInput
        When a daily source has no folder for one of the job's own days: an empty day has an empty file.

    """
    source = config.sources[read.name]
    folder = f"{config.lake}/{source.path}"
    scheme = f"{folder.partition('://')[0]}://" if "://" in folder else ""
    filesystem, base = located(folder)
    selector = pafs.FileSelector(base, recursive=True, allow_not_found=True)
    by_day: dict[date, list[str]] = {}
    for info in filesystem.get_file_info(selector):
        day = _arrival(info.path if info.type == pafs.FileType.Directory else info.path.rpartition("/")[0])
        if day is not None:
            by_day.setdefault(day, [])
            if info.type == pafs.FileType.File and not info.base_name.startswith((".", "_")):
                by_day[day].append(scheme + info.path)
    if source.daily:
        _require(config, read.name, [day for day in days if day >= (source.since or days[0])], by_day)
    wanted = {day + timedelta(n) for day in days for n in range(read.after + 1)}
    files = [(path, day) for day in sorted(wanted & by_day.keys()) for path in sorted(by_day[day])]
    return [(path, read.name, source.form, day) for path, day in files]


def _require(config: Config, name: str, days: Sequence[date], found: Mapping[date, object]) -> None:
    missing = [day for day in days if day not in found]
    if missing:
        more = f" and {len(missing) - 1} more days" if len(missing) > 1 else ""
        folder = f"{config.sources[name].path}/date={missing[0]}"
        raise MissingInput(
            f"The lake has no folder {folder}{more}: deliver it (an empty file for a day without {name}),"
            " or run an interval that the lake covers."
        )


def _arrival(folder: str) -> date | None:
    part = next((part for part in reversed(folder.split("/")) if part.startswith("date=")), None)
    try:
        return date.fromisoformat(part.removeprefix("date=")) if part else None
    except ValueError:
        return None
