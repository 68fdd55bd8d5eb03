"""The leak check: features that stand on their own day pass, and a planted leak is named by its column."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import leaks, subject_features
from jobs.config import Consent, load
from tests.jobs.given import table
from tests.jobs.test_subject_features import ACTIVITY, SCALES, SETS, day, user, widget


def frames(spark: SparkSession, last: date | None) -> Mapping[str, DataFrame]:
    """What subject_features reads, up to a day or with all that came later."""
    people = [user("u1", -9), user("u1", 2, "recruiter"), user("u2", 2, is_deleted=True)]
    told: Mapping[str, tuple[str, list[dict[str, Any]]]] = {
        "subject_daily": ("activity_date", ACTIVITY),
        "subject_totals": ("settled_date", []),
        "users": ("changed_date", people),
        "consents": ("changed_date", []),
        "widgets": ("changed_date", [widget("w", -9, "figs"), widget("w", 2, "tea")]),
    }
    return {
        name: table(spark, name, [row for row in rows if last is None or row[dated] <= last])
        for name, (dated, rows) in told.items()
    }


def peeking(subject_daily: DataFrame, *, days: Sequence[date], **more: Any) -> DataFrame:
    """Features that show whether the subject will come on the next day."""
    tomorrow = subject_daily.where(F.col("activity_date") == F.lit(days[-1] + timedelta(1)))
    built = subject_features.build(subject_daily, days=days, **more)
    peeked = tomorrow.select("subject", F.lit("tomorrow").alias("_seen"))
    return built.join(peeked, on="subject", how="left").withColumn("region", F.coalesce("_seen", "region"))


def test_a_planted_leak_is_found_and_the_features_have_none(spark: SparkSession) -> None:
    arguments = {
        "feature_declarations": load().feature_declarations,
        "feature_sets": SETS,
        "demographics": SCALES,
        "consent": Consent(purpose="personalisation"),
    }
    known, later = frames(spark, day(0)), frames(spark, None)
    assert leaks.compare(subject_features.JOB, known, later, day(0), arguments) == {}
    planted = replace(subject_features.JOB, build=peeking)
    tomorrow = {row["subject"] for row in ACTIVITY if row["activity_date"] == day(1)}
    assert leaks.compare(planted, known, later, day(0), arguments) == {"region": len(tomorrow)}
