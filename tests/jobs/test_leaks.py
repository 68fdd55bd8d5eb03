"""The leak check: features that stand on their own day pass, and a planted leak is named by its column."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import feedback, layouts, leaks, releases, subject_features, users
from jobs.config import ConfigError, Consent, load
from jobs.shell import OF_RUN, Command, Job
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


def test_layouts_need_nothing_that_only_a_run_knows() -> None:
    parameters = inspect.signature(layouts.build).parameters
    needed = [name for name, one in parameters.items() if one.default is one.empty]
    assert set(needed) & set(OF_RUN) == {"days"}


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (feedback.JOB, "feedback reads whole files of decisions and outcomes, of which nothing"),
        (releases.JOB, "releases is not built from tables day by day: there is nothing to compare."),
        (users.JOB, "users is read from the lake: it learns nothing that could leak."),
    ],
)
def test_what_cannot_leak_says_so(home: Path, job: Job | Command, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        leaks.leaks(job, date(2017, 10, 12), load(), None)  # type: ignore[arg-type]
