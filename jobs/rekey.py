"""Rekey: every table's pseudonyms of one key become those of another.

A pseudonym is HMAC(key, raw id), so the new one follows from the raw id alone. The lake still names raw ids:
each is hashed under both keys, once, and the pairs are kept beside the tables (jobs/rotation.py). Then every
table whose contract marks pseudonyms is written anew, some days at a time, in one Delta transaction each:
what a column holds is replaced, buckets follow, files keep their order. Last the live generation is exported
again, each layout under both pseudonyms, so that readers may change their key when they like.

Draws, and the sums by bucket of nobody's tables, stay as they are. A pseudonym whose raw id is in no file of
the lake any more is counted, and stays under its old key, or goes with its rows.

Killed anywhere, it is run again and goes on: days that have no pseudonym to replace are left alone. Nothing
else may write meanwhile; jobs refuse to run until it is done.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import erased, export, rotation, runs, staging, store
from jobs.config import Config
from jobs.contracts import Contract, Pseudonym, all_tables, contract
from jobs.raw_ids import names_of_lake
from jobs.runs import Run
from jobs.shell import Recorder
from jobs.sources import changes
from jobs.store.errors import StoreError
from jobs.tables import Tables, discard, rows_by_partition

WHOLE: Final = ("own", "other", "kept")
ALL: Final = (*WHOLE, "tail")


class RekeyError(RuntimeError):
    """The key cannot be changed; the sentence says why."""


@dataclass(frozen=True)
class Rekeyed:
    """What became of a table: days written anew, and pseudonyms whose raw id the lake no longer has."""

    table: str
    days: int
    unknown: int

    def __str__(self) -> str:
        left = f"; {self.unknown:,} pseudonyms are of no raw id in the lake" if self.unknown else ""
        return f"{self.table}: {self.days:,} days written anew{left}"


def rekey(
    config: Config,
    spark: SparkSession,
    *,
    drop_unknown: bool = False,
    days_at_once: int = 30,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Rekeyed]:
    """Give every table, and the store, the pseudonyms of `ids.key_id` in place of those of `ids.before`.

    drop_unknown: rows of those whose raw id is nowhere any more go, as if they had asked to be forgotten.

    Raises
    ------
    RekeyError
        When conf/ names no key before, or a table changed meanwhile. What is done stands: run it again.
    ConfigError
        When a key is missing.

    """
    if config.ids.before is None:
        raise RekeyError(
            "conf/ names no key to change from: set ids.before to the present key's id, ids.key_id to a new"
            " one, VITRINE_ID_KEY_BEFORE to the present key and VITRINE_ID_KEY to the new one."
        )
    tables, at = Tables(config.tables), runs.now()
    run = Run(
        f"{runs.REKEY}-{rotation.name_of(config.ids)}-{uuid.uuid4().hex[:12]}",
        runs.REKEY, None, at.date(), at.date(), config.digest, at,
    )  # fmt: skip
    with Recorder(config, run):
        if rotation.is_done(config) or not rotation.has_names(config):
            names_of_lake(spark, config).write.mode("overwrite").parquet(rotation.names_path(config))
        names = spark.read.parquet(rotation.names_path(config))
        found = []
        for name in all_tables():
            if contract(name).pseudonyms(*ALL) and tables.exists(name):
                found.append(_table(spark, config, contract(name), names, run, drop_unknown, days_at_once))
                tell(str(found[-1]))
        run.message = _export(config, tables, run)
        tell(run.message)
        run.rows_out, run.status = sum(one.days for one in found), "published"
    return found


def renamed(rows: DataFrame, about: Contract, names: DataFrame, before: str) -> DataFrame:
    """Replace the pseudonyms of a key in all columns that are there and marked; rows stay as many.

    Values may hold a pseudonym among other text, or (tail) end with the end of one.
    """
    both = names.select(F.col("before").alias("_before"), F.col("now").alias("_now"))
    ends = names.select(changes.tail("before").alias("_before"), changes.tail("now").alias("_now"))
    for name in _columns(rows, about, *ALL):
        if name in about.pseudonyms("tail"):
            held, pairs = erased.pseudonym(name, erased.TAIL), ends.dropDuplicates(["_before"])
            value = F.concat(F.left(F.col(name), F.length(name) - 16), "_now")
        else:
            held, pairs = _held(name, before), both
            value = F.replace(F.col(name), F.col("_before"), F.col("_now"))
        joined = rows.join(pairs, held == F.col("_before"), how="left")
        rows = joined.withColumn(name, F.coalesce(value, F.col(name))).drop("_before", "_now")
    return rows


def _table(
    spark: SparkSession,
    config: Config,
    about: Contract,
    names: DataFrame,
    run: Run,
    drop_unknown: bool,
    days_at_once: int,
) -> Rekeyed:
    tables, before = Tables(config.tables), str(config.ids.before)
    version = tables.version(about.table)
    rows = spark.read.format("delta").option("versionAsOf", version).load(tables.path(about.table))
    day = F.col(about.day) if about.day else F.lit(None).cast("date")
    marked = _columns(rows, about, *ALL)
    was = [F.col(name).alias(f"_was_{name}") for name in marked]
    now = renamed(rows.select(day.alias("_day"), *marked, *was), about, names, before)
    left = F.array_compact(F.array(*[_held(name, before) for name in _columns(rows, about, *WHOLE)]))
    facts = now.select(
        "_day",
        F.exists(left, lambda held: held != "").alias("is_left"),
        reduce(Column.__or__, [~F.col(m).eqNullSafe(F.col(f"_was_{m}")) for m in marked]).alias("is_changed"),
    )
    by_day = facts.groupBy("_day").agg(
        F.count("*").alias("rows"),
        F.bool_or("is_left").alias("is_left"),
        F.bool_or("is_changed").alias("is_changed"),
    )
    days = {row["_day"]: row for row in by_day.collect()}
    unknown, count = None, 0
    if any(row["is_left"] for row in days.values()):
        place = f"{rotation.folder(config)}/{rotation.name_of(config.ids)}/unknown/table={about.table}"
        named = now.select(F.explode(left).alias("subject")).where(F.col("subject") != "").distinct()
        named.write.mode("overwrite").parquet(place)
        unknown = spark.read.schema("subject string").parquet(place)
        count = unknown.count()
    drops = drop_unknown and unknown is not None and bool(about.pseudonyms("own"))
    wanted = [at for at, row in days.items() if row["is_changed"] or (drops and row["is_left"])]
    for some in _pieces(sorted(wanted, key=str), days_at_once):
        of_days = rows.where(F.col(about.day).isin(some)) if about.day else rows
        written = _rebucketed(of_days, about, names, before, config.subject_buckets)
        if drops and unknown is not None:
            written = erased.without(written, about, unknown).where(F.col("_reason").isNull())
        kept = None if drops or about.day is None else sum(days[at]["rows"] for at in some)
        version = _publish(written, about, tables, version, f"data/{run.run_id}-{some[0]}", some, kept)
    return Rekeyed(about.table, len(wanted), count)


def _pieces(days: list[date | None], size: int) -> list[list[date | None]]:
    return [days[first : first + size] for first in range(0, len(days), size)]


def _rebucketed(rows: DataFrame, about: Contract, names: DataFrame, before: str, buckets: int) -> DataFrame:
    """Replace pseudonyms, and the bucket of the subject whose pseudonym was replaced."""
    if "subject_bucket" not in about.columns:
        return renamed(rows, about, names, before)
    owner = about.pseudonyms("own", "kept")[0]
    now = renamed(rows.withColumn("_was", F.col(owner)), about, names, before)
    is_moved = ~F.col(owner).eqNullSafe(F.col("_was"))
    if "cluster" in now.columns:  # what many got stays with whom it was drawn for
        is_moved = is_moved & F.col("cluster").isNull()
    moved = F.when(is_moved, changes.bucket(F.col(owner), buckets))
    return now.withColumn("subject_bucket", F.coalesce(moved, "subject_bucket")).drop("_was")


def _publish(
    rows: DataFrame,
    about: Contract,
    tables: Tables,
    version: int | None,
    folder: str,
    days: Sequence[date | None],
    kept: int | None,
) -> int:
    """Put rows in place of those of their days, which must be so many; return the table's version."""
    staged = staging.Staged(folder, f"{tables.path(about.table)}/{folder}")
    # A table of before its contract gained a column has none of it.
    columns = [staging.column_of(rows, name, kind.type).alias(name) for name, kind in about.columns.items()]
    staging.write(rows.select(*columns, F.lit(False).alias(staging.REJECTED)), about, staged)
    problem = ""
    if kept is not None and kept != sum(rows_by_partition(staged.good, str(about.day)).values()):
        problem = f"{about.table} would have lost or doubled rows of {days[0]} to {days[-1]}"
    elif tables.version(about.table) != version:
        problem = f"Another run changed {about.table}"
    if problem:
        discard(staged.path)
        raise RekeyError(f"{problem}; it stands as it was. Rekey again, when no run is under way.")
    own = None if about.day is None else [day for day in days if day]
    return tables.publish(about.table, f"{folder}/rejected=false", days=own, run_id=folder)


def _export(config: Config, tables: Tables, run: Run) -> str:
    """Export the live generation again, for readers that hash with either key; tell what was done."""
    live = store.live(config.store_url)
    if live is None:
        return "There is no store yet."
    for again in (False, True):
        versions = {name: tables.version(name) for name in export.READS}
        try:
            done = export.run(
                config, tables, live.layout_date,
                versions=versions, run_id=run.run_id, at=run.started_at, again=again,
            )  # fmt: skip
        except StoreError as error:
            return f"The store stays as it is until the next night: {error}"
        if done.outcome != "other_inputs":
            break
    return done.message


def _columns(rows: DataFrame, about: Contract, *kinds: Pseudonym) -> list[str]:
    return [name for name in about.pseudonyms(*kinds) if name in rows.columns]


def _held(name: str, key_id: str) -> Column:
    """The pseudonym of a key that a column's value is or holds; empty without one, null of null."""
    return F.regexp_extract(F.col(name), f"({key_id}-[0-9a-f]{{32}})", 1)
