"""Rows are written a task per bucket, whatever the day."""

from datetime import date, timedelta

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import staging
from jobs.contracts import contract


def test_the_buckets_of_a_day_are_dealt_out_to_all_tasks(spark: SparkSession) -> None:
    days = [date(2026, 1, 1) + timedelta(n) for n in range(8)]
    rows = [(day, bucket) for day in days for bucket in (0, 1)] * 3
    frame = spark.createDataFrame(rows, "event_date date, subject_bucket int")
    dealt = staging._by_partition(frame, contract("events")).withColumn("task", F.spark_partition_id())
    found = {tuple(row) for row in dealt.distinct().collect()}
    assert len(found) == 16  # a partition's rows are one task's
    for day in days:
        assert {task for at, _, task in found if at == day} == {0, 1}
