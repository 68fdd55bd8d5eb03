"""The shell: what every job gets: bound arguments, pinned versions, audit, quarantine, atomic publishing."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import runs, segment_answer, segment_profiles, segment_report, segmentations, segments
from jobs.config import Config, ConfigError, load
from jobs.inputs import MissingInput
from jobs.publish import Stopped
from jobs.shell import Ask, Days, Job, Lake, Until, bind, describe, read_versions, run_job, with_arguments
from jobs.tables import Tables
from tests.jobs.killed import FIRST, closing_rows, job


def run(
    job: Job,
    config: Config,
    spark: SparkSession,
    start: date = FIRST,
    days: int = 1,
    dag_run: str | None = None,
) -> runs.Run:
    return run_job(job, Ask(start, start + timedelta(days), dag_run), config, spark)


def ids(tables: Tables, version: int | None = None) -> list[str]:
    return sorted(tables.read("closings", version=version)["closing_id"].to_pylist())


def test_an_interval_replaces_exactly_its_days(config: Config, tables: Tables, spark: SparkSession) -> None:
    run(job(count=3), config, spark, days=2)
    run(job(count=1), config, spark, FIRST + timedelta(1))
    assert ids(tables) == ["01-0", "01-1", "01-2", "02-0"]


def test_a_range_at_once_equals_day_by_day_in_any_order(
    config: Config, tables: Tables, spark: SparkSession
) -> None:
    for offset in (2, 0, 1):
        run(job(), config, spark, FIRST + timedelta(offset))
    singly = ids(tables)
    whole = run(job(), config, spark, days=3)
    assert ids(tables) == singly
    digests = {row["content_digest"] for row in runs.of_job(tables, "closings")}
    assert whole.content_digest in digests
    assert len(digests) == 4


def test_a_rerun_changes_nothing_and_says_so(config: Config, tables: Tables, spark: SparkSession) -> None:
    first = run(job(), config, spark)
    run(job(), config, spark, FIRST + timedelta(1))
    again = run(job(), config, spark)
    assert (first.status, again.status) == ("published", "unchanged")
    assert again.content_digest == first.content_digest
    assert tables.version("closings") == 2
    assert describe(again).startswith("closings: nothing changed in 3 rows of 2017-09-01")


def test_a_row_that_breaks_a_rule_goes_to_quarantine_with_its_reason(
    config: Config, tables: Tables, spark: SparkSession
) -> None:
    done = run(job(count=40, broken=1), config, spark)
    assert (done.rows_in, done.rows_out, done.rows_rejected) == (40, 39, 1)
    held = tables.read("quarantine").to_pylist()
    assert [(row["table"], row["reason"], row["quarantine_date"]) for row in held] == [
        ("closings", "a closing ends after it starts", FIRST)
    ]
    assert '"closing_id": "01-0"' in held[0]["row"]
    assert not list(Path(tables.path("closings")).glob("data/*/rejected=true")), (
        "what is wrong lies about, open"
    )
    run(job(count=40), config, spark)
    assert tables.read("quarantine").num_rows == 0


def test_too_many_rejected_rows_stop_the_run_before_it_publishes(
    config: Config, tables: Tables, spark: SparkSession
) -> None:
    run(job(count=2), config, spark)
    with pytest.raises(
        Stopped, match=r"'share of rejected rows' measured 0\.5, expected at most 0\.05 in 4 rows"
    ):
        run(job(count=4, broken=2), config, spark)
    assert ids(tables) == ["01-0", "01-1"]
    assert runs.of_job(tables, "closings")[-1]["status"] == "stopped"


def test_a_check_that_stops_leaves_the_old_rows(config: Config, tables: Tables, spark: SparkSession) -> None:
    run(job(count=2), config, spark)
    with pytest.raises(Stopped, match=r"'the key is unique' measured 3, expected at most 0"):
        run(job(count=3, twice=True), config, spark)
    assert ids(tables) == ["01-0", "01-1"]
    staged = Path(tables.path("closings")) / "data"
    assert len(list(staged.iterdir())) == 1


def test_a_dag_run_reads_what_it_pinned_or_wrote(config: Config, tables: Tables, spark: SparkSession) -> None:
    run(job(count=1), config, spark)
    runs.pin(tables, "night", ["closings", "users"], runs.now())
    run(job(count=2), config, spark)
    assert runs.resolve(tables, ["closings", "users"], "night") == {"closings": 1, "users": None}
    run(job(count=3), config, spark, FIRST + timedelta(1), dag_run="night")
    assert runs.resolve(tables, ["closings"], "night") == {"closings": 3}
    assert runs.resolve(tables, ["closings"], None) == {"closings": 3}
    assert runs.is_ready(tables, "closings", [FIRST, FIRST + timedelta(1)])
    assert not runs.is_ready(tables, "closings", [FIRST + timedelta(2)])


def test_days_that_late_data_named_reach_the_jobs_that_read_them(
    config: Config, tables: Tables, spark: SparkSession
) -> None:
    def build(events: DataFrame, *, days: Sequence[date]) -> DataFrame:
        return closing_rows(events.sparkSession, days, 1)

    early = date(2017, 8, 30)
    done = runs.Run(
        "r1", "events", "night", FIRST, FIRST + timedelta(1), "", runs.now(), [early, FIRST], output="events"
    )
    done.status, done.output_version = "published", 0
    tables.open("events")
    runs.record(tables, done)
    made = run(Job(build, (Days("events"),), "closings"), config, spark, dag_run="night")
    assert made.days == [early, FIRST]
    assert ids(tables) == ["01-0", "30-0"]


def test_a_missing_lake_day_stops_with_the_folder_that_is_missing(
    config: Config, spark: SparkSession, home: Path
) -> None:
    def build(orders: DataFrame, *, days: Sequence[date]) -> DataFrame:
        return closing_rows(orders.sparkSession, days)

    (home / "lake" / "orders" / "date=2017-09-01").mkdir(parents=True)
    reads = Job(build, (Lake("orders"),), "closings")
    assert run(reads, config, spark).status == "published"
    with pytest.raises(
        MissingInput, match=r"The lake has no folder orders/date=2017-09-02 and 1 more days: deliver it"
    ):
        run(reads, config, spark, days=3)


def test_arguments_are_bound_by_name_and_checked() -> None:
    def build(*, days: Sequence[date], late_days: int, bound: int, spare: int = 7) -> None: ...

    config = load().model_copy(update={"jobs": {"closings": {"bound": 5}}})
    assert bind(build, "closings", config) == {"late_days": 3, "bound": 5}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, r"jobs\.closings\.bound is missing"),
        ({"bound": "five"}, r"jobs\.closings\.bound = 'five' cannot be"),
        ({"bound": 5, "bond": 6}, r"jobs\.closings\.bond is not an argument"),
    ]
    for own, sentence in wrong:
        with pytest.raises(ConfigError, match=sentence):
            bind(build, "closings", config.model_copy(update={"jobs": {"closings": own}}))


def test_a_bad_argument_of_the_command_line_is_told_as_one() -> None:
    def build(*, days: Sequence[date], bound: int) -> None: ...

    for pair, sentence in [
        ("bond=6", "--with bond is not an argument"),
        ("bound=x", "--with bound = 'x' cannot"),
    ]:
        with pytest.raises(ConfigError, match=f"^{sentence}"):
            bind(build, "closings", with_arguments(load(), "closings", [pair]))


def test_the_features_of_a_segmentation_are_not_the_declared_ones() -> None:
    functions = (segmentations.build, segment_profiles.build, segment_report.ask_for, segment_answer.verdict)
    for function in functions:
        config = with_arguments(load(), "any", ["segmentation=rfm", "asked=x", "answer={}"])
        bound = bind(function, "any", config, strict=False)
        assert bound["segmentation"] == "rfm"
        assert bound.get("columns") is None
        assert bound.get("features") is None


def test_a_table_read_as_it_is_now_holds_what_another_open_run_wrote(
    config: Config, tables: Tables, spark: SparkSession
) -> None:
    run(job(), config, spark, dag_run="first")
    run(job(), config, spark, FIRST + timedelta(1), dag_run="second")
    reader = Job(job().build, reads=(Until("closings"),), writes="segments")
    assert len(ids(tables, read_versions(reader, tables, "first")["closings"])) == 3
    now = replace(reader, current=("closings",))
    assert len(ids(tables, read_versions(now, tables, "first")["closings"])) == 6
    assert segments.JOB.current == ("releases", "segmentations")


def test_an_empty_interval_is_refused() -> None:
    with pytest.raises(Stopped, match="--to is the day after the last"):
        Ask(FIRST, FIRST)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_while_publishing_the_old_rows_stand_and_a_rerun_mends(
    config: Config, tables: Tables, spark: SparkSession, moment: str
) -> None:
    run(job(count=2), config, spark)
    # A process of its own on the engine that is there: to start one for each takes half a minute.
    gateway = spark.sparkContext._gateway.java_parameters
    engine = {"PYSPARK_GATEWAY_PORT": f"{gateway.port}", "PYSPARK_GATEWAY_SECRET": gateway.auth_token}
    done = subprocess.run(
        [sys.executable, "-m", "tests.jobs.killed", moment],
        env={**os.environ, **engine},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert len(ids(tables)) == (5 if moment == "after" else 2)
    again = run(job(count=5), config, spark)
    assert again.status == "published"
    assert ids(tables) == [f"01-{n}" for n in range(5)]
    assert tables.read("closings", ds.field("changed_date") == FIRST).num_rows == 5


def test_arguments_may_be_given_in_place_of_conf(config: Config) -> None:
    given = ["scenario=replay", "epoch_days=3", "seed=null", 'names=["a=b", "c"]']
    changed = with_arguments(config, "layouts", given)
    assert changed.jobs["layouts"] == {"scenario": "replay", "epoch_days": 3, "names": ["a=b", "c"]}
    assert config.jobs.get("layouts") is None
    assert changed.digest != config.digest
    assert with_arguments(config, "layouts", []) is config


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ("scenario", "--with 'scenario' is not of the form NAME=VALUE."),
        ("a b=1", "--with 'a b=1' is not of the form NAME=VALUE."),
        ("a=[1", "--with 'a=[1': the value is not YAML; quote it as YAML does."),
    ],
)
def test_an_argument_that_cannot_be_read_is_named(config: Config, pair: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        with_arguments(config, "layouts", [pair])
    assert str(error.value) == sentence


def test_a_run_that_hands_its_own_rows_through_stops_when_another_changed_them(
    config: Config, tables: Tables, spark: SparkSession
) -> None:
    def build(closings: DataFrame, *, days: Sequence[date]) -> DataFrame:
        # Another run publishes while this one is at work.
        run(job(count=1), config, spark, FIRST + timedelta(1))
        return closing_rows(closings.sparkSession, days).unionByName(
            closings.select("closing_id", "changed_date", "first_date", "last_date", "is_deleted")
        )

    with pytest.raises(Stopped, match="Another run changed closings while this one was at work"):
        run(Job(build, reads=(Until("closings"),), writes="closings"), config, spark)
    assert ids(tables) == ["02-0"]


def test_the_newest_day_that_ran_is_found(config: Config, tables: Tables, spark: SparkSession) -> None:
    assert_no_day = pytest.raises(runs.NotRun, match="no day is there")
    with assert_no_day:
        runs.newest_day(tables, "closings")
    run(job(count=1), config, spark, days=2)
    second = FIRST + timedelta(1)
    assert runs.newest_day(tables, "closings") == second
    assert runs.newest_day(tables, "closings", upto=FIRST) == FIRST
    assert runs.newest_day(tables, "closings", upto=second, exactly=True) == second
    later = FIRST + timedelta(9)
    with pytest.raises(
        runs.NotRun, match="closings has not run for 2017-09-10; the newest day that is there is"
    ):
        runs.newest_day(tables, "closings", upto=later, exactly=True)
