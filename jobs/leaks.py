"""Leaks: whether a table's row holds anything that was not known on its day.

A day is built twice: from inputs that end where knowledge ended, and from inputs with all that came later.
Both must give the same rows, labels aside. A difference is a leak: of training on what it should predict.

Reads   a job's inputs, at their newest versions
Writes  nothing
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import inputs
from jobs.config import Config, ConfigError
from jobs.contracts import Contract, contract
from jobs.inputs import Buckets, Days, Lake, Read
from jobs.shell import Command, Job, bind
from jobs.tables import Tables

LAST_DAY = date(9998, 12, 31)
NOT_YET = {"contexts": ("subject_features", "layouts")}
"""Inputs whose rows of the day itself are made at its end, when its decisions have been taken."""

AS_GIVEN = {"closing_examples": ("closings",)}
"""Inputs that say what the rows are about, which may be corrected later: the same on both sides."""


def leaks(job: Job | Command, day: date, config: Config, spark: SparkSession) -> dict[str, int]:
    """Columns of a job's rows of a day that depend on what came later, with the number of rows that do."""
    if isinstance(job, Command):
        raise ConfigError(f"{job.name} is not built from tables day by day: there is nothing to compare.")
    tables = Tables(config.tables)
    versions = {name: tables.version(name) for name in job.tables}
    known, later = {}, {}
    for read in job.reads:
        if isinstance(read, Lake):
            raise ConfigError(f"{job.writes} is read from the lake: it learns nothing that could leak.")
        if isinstance(read, Buckets):
            raise ConfigError(
                f"{job.writes} reads whole files of {' and '.join(read.tables)}, of which nothing can be held"
                " back. Ask for a table that is made of it, as subject_daily."
            )
        whole = inputs.open_read(spark, read, [day, LAST_DAY], config, versions)
        known[read.name], later[read.name] = _until(whole, read, job.writes, day, config), whole
    arguments = bind(job.build, job.writes, config)
    # Rows whose labels are not known yet have their features all the same.
    arguments |= {"unlabelled": True} if "unlabelled" in arguments else {}
    return compare(job, known, later, day, arguments)


def compare(
    job: Job,
    known: Mapping[str, DataFrame],
    later: Mapping[str, DataFrame],
    day: date,
    arguments: Mapping[str, object],
) -> dict[str, int]:
    """Build a day from what was known and from what came later too, and count rows that differ, by column."""
    about = contract(job.writes)
    takes_days = {"days": [day]} if "days" in job.build.__annotations__ else {}
    sides = [
        _side(job.build(**frames, **arguments, **takes_days), about, day, name)
        for name, frames in (("known", known), ("later", later))
    ]
    both = sides[0].join(sides[1], on=about.key, how="full")
    counts: Sequence[Column] = [
        F.count_if(~F.col(f"known.{name}").eqNullSafe(F.col(f"later.{name}"))).alias(name)
        for name in about.columns
        if name not in about.key and not about.columns[name].label
    ]
    lone = F.count_if(F.col("known").isNull() | F.col("later").isNull()).alias("rows there or not")
    found = both.agg(lone, *counts).collect()[0].asDict()
    return {name: rows for name, rows in found.items() if rows}


def _until(whole: DataFrame, read: Read, table: str, day: date, config: Config) -> DataFrame:
    about = contract(read.name)
    if about.day is None or read.name in AS_GIVEN.get(table, ()):
        return whole
    after = read.span([day], config.late_days)[1] if isinstance(read, Days) else day
    last = day - timedelta(1) if read.name in NOT_YET.get(table, ()) else after
    return whole.where(F.col(about.day) <= F.lit(last))


def _side(built: DataFrame, about: Contract, day: date, name: str) -> DataFrame:
    """Rows of the day: the key, and the other columns in one."""
    others = [
        _comparable(column, kind.type) for column, kind in about.columns.items() if column not in about.key
    ]
    own = built.where(F.col(str(about.day)) == F.lit(day))
    return own.select(*about.key, F.struct(*others).alias(name))


def _comparable(name: str, kind: str) -> Column:
    column = F.col(f"`{name}`")
    return (F.sort_array(F.map_entries(column)) if kind.startswith("map<") else column).alias(name)
