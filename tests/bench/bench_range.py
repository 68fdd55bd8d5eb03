"""30 days as one interval against 30 runs of a day: seconds of both, and whether their rows are equal.

The tables from events to subject_daily, of a synthetic lake of 30 days; both ways warm, in one engine.
"""

import time
from datetime import timedelta
from importlib import import_module

from pyspark.sql import SparkSession

from jobs import checks, runs
from jobs.config import Config
from jobs.contracts import all_tables, contract
from jobs.shell import Ask, run_job
from jobs.synth import lake
from jobs.synth.size import Size
from jobs.tables import Tables
from tests.bench.engine import own_home, spark_of
from tests.bench.measure import Peak, Row, scaled
from tests.jobs.given import digest

USERS, DAYS = 10_000, 30
MEMORY = "3g"
ENTITIES = ("users", "products", "widgets", "closings", "consents")
TABLES = (
    "orders", "order_lines", "events", "sessions", "decisions", "outcomes", "feedback", "subject_daily",
)  # fmt: skip


def run() -> list[Row]:
    """Load the same lake both ways, each into tables of its own."""
    checks.preload()
    size = Size(scaled(USERS), DAYS)
    first, end = size.first, size.first + timedelta(size.days)
    whole = [Ask(first, end, "whole")]
    days = [Ask(day, day + timedelta(1), str(day)) for day in runs.days_between(first, end)]
    at_once, digests, peak = load(size, whole)
    by_day, same, day_peak = load(size, days)
    rows = [
        Row(f"{DAYS} days, one interval", size.users, "s", at_once, peak_mib=peak),
        Row(f"{DAYS} days, a run each", size.users, "s", by_day, peak_mib=day_peak),
    ]
    what = f"a run each over one interval of {DAYS} days"
    return [*rows, Row(what, size.users, "x", by_day / at_once, equal=digests == same)]


def load(size: Size, asks: list[Ask]) -> tuple[float, dict[str, str], int]:
    """Seconds, digest of each table's content, and peak MiB."""
    with own_home(MEMORY) as config, spark_of(config) as spark:
        folders = lake.Folders(config.lake, {name: source.path for name, source in config.sources.items()})
        lake.write(spark, size, folders)
        for name in ENTITIES:
            run_job(
                import_module(f"jobs.{name}").JOB,
                Ask(size.first, size.first + timedelta(size.days)),
                config,
                spark,
            )
        began = time.perf_counter()
        with Peak() as watched:
            for ask in asks:
                runs.pin(Tables(config.tables), str(ask.dag_run), all_tables(), runs.now())
                for name in TABLES:
                    run_job(import_module(f"jobs.{name}").JOB, ask, config, spark)
        seconds = time.perf_counter() - began
        return seconds, {name: _digest(config, spark, name) for name in TABLES}, watched.mib


def _digest(config: Config, spark: SparkSession, table: str) -> str:
    frame = spark.read.format("delta").load(Tables(config.tables).path(table))
    return digest(frame, contract(table))
