"""The whole of lake_etl for one day: seconds and peak memory by table, with 30 and with 365 days of history.

1 M subjects, 10 M spans. Each table's job runs warm, in one engine, in the order of the DAG. The history is
laid into `subject_daily` (tests.bench.history) with its monthly checkpoints; making the lake is not timed.
A hundredth of the day goes first, for neither history to meet a cold engine.

LAKE_ROUNDS is how often each job is timed; its median is told.
"""

import os
import statistics
import time
from collections.abc import Mapping
from datetime import date, timedelta
from importlib import import_module

from pyspark.sql import SparkSession

from jobs import checks
from jobs.checkpoints import is_settled
from jobs.config import Config
from jobs.shell import Ask, run_job
from jobs.synth import lake
from jobs.synth.size import Size
from jobs.tables import Tables
from tests.bench import history
from tests.bench.engine import own_home, spark_of
from tests.bench.measure import Peak, Row, scaled

USERS = 1_000_000
HISTORIES = (30, 365)
MEMORY = "6g"
ROUNDS = int(os.environ.get("LAKE_ROUNDS", "3"))
TABLES = (
    "users", "products", "widgets", "closings", "consents", "orders", "order_lines", "events", "sessions",
    "decisions", "outcomes", "identities", "feedback", "subject_daily", "widget_stats", "subject_widgets",
    "subject_totals", "subject_products", "subject_features", "contexts", "bandit_statistics",
    "bandit_totals", "policies",
)  # fmt: skip
ONCE = ("users", "products", "widgets", "closings", "consents")  # who is there does not depend on history
FIRST = date(2026, 2, 10)


def run() -> list[Row]:
    """Load the same day behind a short and behind a long history."""
    checks.preload()
    users = scaled(USERS)
    measure(Size(max(1, users // 100), 1, FIRST), min(HISTORIES))  # its seconds are those of a cold engine
    found = {days: measure(Size(users, 1, FIRST), days) for days in HISTORIES}
    rows = []
    for table in TABLES:
        for days in HISTORIES:
            seconds, count, peak = found[days][table]
            rows.append(Row(f"{table}, {days} days of history", count, "s", seconds, peak_mib=peak))
    totals = {days: sum(seconds for seconds, _, _ in found[days].values()) for days in HISTORIES}
    peaks = {days: max(peak for _, _, peak in found[days].values()) for days in HISTORIES}
    rows += [
        Row(f"lake_etl, {days} days of history", users, "s", totals[days], peak_mib=peaks[days])
        for days in HISTORIES
    ]
    short, long = (totals[days] for days in HISTORIES)
    return [*rows, Row("lake_etl: 365 days of history over 30", users, "x", long / short)]


def measure(size: Size, days: int) -> Mapping[str, tuple[float, int, int]]:
    """Seconds (median), rows and peak MiB of each table's job."""
    with own_home(MEMORY) as config, spark_of(config) as spark:
        folders = lake.Folders(config.lake, {name: source.path for name, source in config.sources.items()})
        lake.write(spark, size, folders)
        history.lay(spark, config, size, days)
        _checkpoints(config, spark, size.first, days)
        return {table: _table(config, spark, size, table) for table in TABLES}


def _checkpoints(config: Config, spark: SparkSession, until: date, days: int) -> None:
    """Make the checkpoints that the nights of the history would have made."""
    for n in range(days, 0, -1):
        day = until - timedelta(n)
        if is_settled(day, config.late_days):
            run_job(import_module("jobs.subject_totals").JOB, Ask(day, day + timedelta(1)), config, spark)


def _table(config: Config, spark: SparkSession, size: Size, table: str) -> tuple[float, int, int]:
    seconds, peak, count = [], 0, 0
    day = Ask(size.first, size.first + timedelta(size.days))
    for _ in range(1 if table in ONCE else ROUNDS):
        _forget(config, table)
        with Peak() as watched:
            began = time.perf_counter()
            done = run_job(import_module(f"jobs.{table}").JOB, day, config, spark)
            seconds.append(time.perf_counter() - began)
        peak, count = max(peak, watched.mib), done.rows_out
    return statistics.median(seconds), count, peak


def _forget(config: Config, table: str) -> None:
    """Forget earlier runs of the table, so that its rows are published anew and not found unchanged."""
    tables = Tables(config.tables)
    if tables.exists("runs"):
        tables.open("runs").delete(f"job = '{table}'")
