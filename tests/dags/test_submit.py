"""Submit mode: a job that the DAG hands to spark-submit publishes what it publishes anywhere else."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
import wiring
from pyspark.sql import SparkSession

from jobs import orders, runs
from jobs.config import load
from jobs.house import engine
from jobs.shell import Ask, run_job
from jobs.tables import Tables
from tests.bench.bench_job import write_orders
from tests.conftest import JARS

DAY = date(2017, 9, 1)
ONE_DAY = timedelta(days=1)


def test_a_job_through_spark_submit_publishes_the_same_rows(
    spark: SparkSession, run, render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import DAG

    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        write_orders(folder, DAY, count=40)
    monkeypatch.setenv("VITRINE_OVERLAY", "demo,cluster")
    monkeypatch.setenv("VITRINE_HOME", str(here))
    known = run_job(orders.JOB, Ask(DAY, DAY + ONE_DAY), load(), spark)

    (there / "jars").symlink_to(JARS)
    for name, value in engine.environment(there).items():
        monkeypatch.setenv(name, value)
    local = {"conn_type": "spark", "host": "local[2]"}
    # A machine's own zone must not matter: the session's is ours.
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("AIRFLOW_CONN_VITRINE_ENGINE", json.dumps(local))
    with DAG("lake_etl", **wiring.daily()):
        task = wiring.job("orders")
    task.application_args = render(task, task.application_args, run(day=DAY), "by hand")
    task.execute({})

    [submitted] = runs.of_job(Tables(str(there / "tables")), "orders")
    assert (submitted["status"], submitted["rows_out"]) == ("published", 40)
    assert submitted["dag_run"] == "lake_etl/by hand"
    assert (known.rows_out, known.content_digest) == (40, submitted["content_digest"])
