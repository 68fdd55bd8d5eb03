"""A job of closings, and a process of its own that is killed while it publishes them."""

import os
import signal
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from py4j.java_gateway import java_import
from pyspark import SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import DataFrame, SparkSession

from jobs.config import load
from jobs.shell import Ask, Job, Until, run_job
from jobs.tables import Tables

FIRST = date(2017, 9, 1)


def closing_rows(spark: SparkSession, days: Sequence[date], count: int = 3, broken: int = 0) -> DataFrame:
    rows = [
        (f"{day:%d}-{n}", day, day, day - timedelta(1) if n < broken else day, False)
        for day in days
        for n in range(count)
    ]
    return spark.createDataFrame(
        rows, "closing_id string, changed_date date, first_date date, last_date date, is_deleted boolean"
    )


def job(count: int = 3, broken: int = 0, twice: bool = False) -> Job:
    def build(closings: DataFrame, *, days: Sequence[date]) -> DataFrame:
        built = closing_rows(closings.sparkSession, days, count, broken)
        return built.union(built) if twice else built

    return Job(build, reads=(Until("closings"),), writes="closings")


def joined() -> SparkSession:
    """Return a session on the engine of another process, whose port and secret the environment names."""
    gateway = launch_gateway()
    for package in ("org.apache.spark.api.java.*", "org.apache.spark.api.python.*", "org.apache.spark.sql.*"):
        java_import(gateway.jvm, package)
    engine = gateway.jvm.org.apache.spark.SparkContext.getOrCreate()
    return SparkSession(SparkContext(gateway=gateway, jsc=gateway.jvm.JavaSparkContext(engine)))


def main(moment: str) -> None:
    """Run the job until just before, or just after, the one step that publishes."""
    publish = Tables.publish

    def killed(self: Tables, *args: Any, **kwargs: Any) -> None:
        if moment == "after":
            publish(self, *args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    Tables.publish = killed  # type: ignore[method-assign]
    run_job(job(count=5), Ask(FIRST, FIRST + timedelta(1)), load(), joined())


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    finally:
        sys.excepthook(*sys.exc_info())
        os._exit(1)  # the engine is another's, and is not to be stopped on the way out
