"""The one place that opens a Spark session: a warm Connect server, the job's own process, or spark-submit."""

import hashlib
import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
from pyspark.sql import DataFrame, Row, SparkSession

from jobs.config import Config, engine_address
from jobs.sources import schemas

T = TypeVar("T")

# What the Connect server, spark-submit and a local session have in common.
SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # Staged folders are listed by the driver: a task per folder took 15 s for a year of days.
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "10000",
    "spark.python.worker.reuse": "true",
    "spark.ui.enabled": "false",
}


class EngineGone(RuntimeError):
    """The Spark engine does not answer."""


def session(config: Config) -> SparkSession:
    """Open a session on the configured engine.

    Raises
    ------
    EngineGone
        When the Connect server does not answer, with what to do.

    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    kind = os.environ.get("VITRINE_ENGINE", config.engine.kind)
    if kind == "connect":
        return _connect(os.environ.get("SPARK_REMOTE") or _own_server(config) or config.engine.remote)
    if kind == "submit":
        # Master, jars and memory are spark-submit's; what makes a job's rows the same everywhere is ours.
        return _with(SparkSession.builder, {**SETTINGS, **config.engine.settings})
    return local(config)


def local(config: Config) -> SparkSession:
    """Open a session in this process, with Delta from the jars that the set-up fetched."""
    return _with(SparkSession.builder.master("local[2]"), settings(config))


def settings(config: Config) -> dict[str, str]:
    """Spark's settings on this machine: the common ones, the jars, and those of conf/."""
    jars = ",".join(str(jar) for jar in sorted((config.home / "jars").glob("*.jar")))
    return {
        **SETTINGS,
        "spark.jars": jars,
        "spark.driver.memory": config.engine.memory,
        "spark.sql.warehouse.dir": str(config.home / "warehouse"),
        **config.engine.settings,
    }


def collected(*frames: DataFrame) -> list[list[Row]]:
    """Collect small frames side by side: to plan a query takes Spark longer than to run it."""
    with ThreadPoolExecutor(len(frames)) as pool:
        return list(pool.map(lambda frame: frame.collect(), frames))


def frame_of(spark: SparkSession, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> DataFrame:
    """Make a frame of few rows, by Arrow: of Python's rows Spark sends each part through a worker."""
    return spark.createDataFrame(pa.Table.from_pylist(rows, schema=schemas.arrow(columns)))


def shuffle_tasks(spark: SparkSession) -> int:
    """Into how many tasks rows go that are dealt out by a number of their own."""
    return int(spark.conf.get("spark.sql.shuffle.partitions") or 1)


def dealt(things: Iterable[T], *, size: Callable[[T], int]) -> list[T]:
    """Order things so that, cut into stretches of one length, however many, each has large and small ones.

    So does Spark cut a list into tasks. A thing's place is its rank by size, its bits read backwards, as in
    van der Corput's sequence.
    """
    by_size = sorted(things, key=size, reverse=True)
    bits = len(by_size).bit_length()
    return [by_size[rank] for rank in sorted(range(len(by_size)), key=lambda rank: f"{rank:0{bits}b}"[::-1])]


def _with(builder: SparkSession.Builder, settings: Mapping[str, str]) -> SparkSession:
    builder = builder.appName("vitrine")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _own_server(config: Config) -> str | None:
    """Address and token of the server that this machine's set-up started, when conf/ means one here."""
    written = engine_address(config.home)
    return written.read_text().strip() if config.engine.is_here and written.exists() else None


@cache
def _connect(remote: str) -> SparkSession:
    address = urlsplit(remote.partition(";")[0])
    try:
        socket.create_connection((address.hostname or "127.0.0.1", address.port or 15002), timeout=5).close()
    except OSError:
        where = f"{address.hostname}:{address.port}"
        raise EngineGone(
            f"No Spark engine answers at {where}: start it with `vitrine up`, or set engine.remote in conf/."
        ) from None
    return SparkSession.builder.remote(_in_shared_session(remote)).getOrCreate()


def _in_shared_session(remote: str) -> str:
    """Name one server-side session for all jobs of this code: its Python workers stay warm between them.

    Changed code is another session, and so gets workers that import it anew.
    """
    root = Path(__file__).resolve().parent.parent
    files = sorted(file for folder in ("jobs", "ml") for file in (root / folder).rglob("*.py"))
    stamp = "".join(f"{file}{file.stat().st_mtime_ns}" for file in files)
    name = uuid.UUID(bytes=hashlib.blake2b(stamp.encode(), digest_size=16).digest(), version=4)
    return f"{remote};session_id={name}" if "/;" in remote else f"{remote.rstrip('/')}/;session_id={name}"
