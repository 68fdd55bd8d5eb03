"""The join service, Delta to Delta with its checks, against DuckDB's ASOF JOIN on the same Parquet files.

A day of 1 M subjects, 10 M decisions and 50 M outcomes; a quarter of it, to see how the time grows; and the
day with one subject that has 1 M outcomes more. Labels are compared row by row.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from pyspark.sql import SparkSession

from jobs import checks, feedback
from jobs.config import Config
from jobs.contracts import contract
from jobs.shell import Ask, run_job
from jobs.tables import Tables
from tests.bench.duck import connected
from tests.bench.engine import own_home, spark_of
from tests.bench.measure import Peak, Row, scaled
from tests.bench.rows_of_join import DAY, Scale, lay_down

T = TypeVar("T")
ROUNDS = 3
MEMORY = "768m"  # of the JVM: two Python workers and it stay below 3 GiB together
SUBJECTS = 1_000_000
GIANT = 1_000_000
RUN = Ask(DAY, DAY + timedelta(days=1))


@dataclass(frozen=True)
class Measured:
    """Seconds of both sides, whether they agree, and our peak."""

    rows: int
    ours: float
    peer: float
    equal: bool
    peak_mib: int


def run() -> list[Row]:
    """Run the ladder, each step with its peer."""
    subjects = scaled(SUBJECTS)
    ladder = {
        "quarter of the day": Scale(subjects // 4),
        "day": Scale(subjects),
        "day with a giant": Scale(subjects, giant=scaled(GIANT)),
    }
    checks.preload()
    found = {what: measure(scale) for what, scale in ladder.items()}
    rows = [
        Row(
            f"join service, {what}", got.rows, "s", got.ours, got.peer, "DuckDB ASOF", got.peer / got.ours,
            got.equal, got.peak_mib,
        )
        for what, got in found.items()
    ]  # fmt: skip
    growth = found["day"].ours / found["quarter of the day"].ours
    return [*rows, Row("time of 4 x the rows over that of 1 x", found["day"].rows, "x", growth)]


def measure(scale: Scale) -> Measured:
    """Run both sides in turn on a day of that scale."""
    with own_home(MEMORY) as config:
        tables = Tables(config.tables)
        decisions, outcomes = apart(lay_down, tables, scale)
        ours, peers = [], []
        theirs = Path(config.home) / "peer.parquet"
        with spark_of(config) as spark:
            warm_up(config, spark)
            # Not timed: to add up what all processes hold takes time of the run itself.
            with Peak() as watched:
                ours_once(config, spark)
            for _ in range(ROUNDS):
                ours.append(ours_once(config, spark))
                peers.append(peer_once(tables, theirs))
        equal = apart(agree, tables, theirs)
    return Measured(
        decisions + outcomes, statistics.median(ours), statistics.median(peers), equal, watched.mib
    )


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a process of its own: its memory is not the job's."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def warm_up(config: Config, spark: SparkSession) -> None:
    """Start what a warm engine has started: Python workers, the Delta reader, compiled functions."""
    other = config.model_copy(update={})
    run_job(feedback.JOB, Ask(DAY - timedelta(days=9), DAY - timedelta(days=8)), other, spark)


def ours_once(config: Config, spark: SparkSession) -> float:
    """Seconds of one run; the table is dropped before, so that nothing is unchanged."""
    tables = Tables(config.tables)
    for name in ("feedback", "runs"):
        if tables.exists(name):
            subprocess.run(["rm", "-r", tables.path(name)], check=True)
    began = time.perf_counter()
    done = run_job(feedback.JOB, RUN, config, spark)
    assert done.status == "published"
    return time.perf_counter() - began


def peer_once(tables: Tables, target: Path) -> float:
    """Seconds that the peer needs, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.peer_join", tables.root, str(target)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def agree(tables: Tables, theirs: Path) -> bool:
    """Compare every column of every row."""
    folder = Path(tables.path("feedback"))
    names = [name for name in contract("feedback").columns if name != "rewards"]
    columns = ", ".join(f'"{name}"' for name in names)
    goals = "rewards['detail'] as detail, rewards['basket'] as basket"
    files = [path for path, _ in tables.files("feedback")]
    assert all(Path(path).is_relative_to(folder) for path in files)
    with connected() as connection:
        mine = f"select {columns}, {goals} from read_parquet({files}, hive_partitioning = true)"
        peer = f"select {columns}, {goals} from '{theirs}'"
        (differ,) = connection.execute(
            f"select (select count(*) from ({mine} except all {peer})),"
            f" (select count(*) from ({peer} except all {mine}))"
        ).fetchall()
    return bool(differ == (0, 0))
