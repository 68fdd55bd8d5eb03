"""The real scheduler: days backfilled by form, over REST and by command end in the right partitions."""

import subprocess
import sys
from collections import Counter
from datetime import date
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.config import load
from jobs.demo.world import has_consent
from tests.e2e.nights import DAYS, FIRST, LAST, ONE_DAY, RUN_IDS, days_done, rows


@pytest.fixture(scope="module")
def policy_evaluation(api, lake_etl):
    """Judge the three days' policies."""
    run = api.trigger("policy_evaluation", first=FIRST, last=LAST)
    ended = api.wait("policy_evaluation", run, seconds=1500)
    assert ended == "success", api.failure("policy_evaluation", run)
    return run


@pytest.fixture(scope="module")
def nightly_layouts(api, policy_evaluation):
    """Backfill the three days' layouts over REST."""
    zone = load().business_time_zone
    backfill = api.backfill("nightly_layouts", first=FIRST, last=LAST, zone=zone)
    assert api.wait_backfill("nightly_layouts", backfill, seconds=1500) == {"success": 3}
    return backfill


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param("2017-08-18T00:00:00.000Z", "2017-08-20T23:59:59.999Z", id="form in UTC"),
        pytest.param("2017-08-18T00:00:00-04:00", "2017-08-20T23:59:59-04:00", id="form in shop's zone"),
        pytest.param("2017-08-18T00:00:00+09:00", "2017-08-20T23:59:59+09:00", id="form in Tokyo"),
    ],
)
def test_the_form_means_the_days_that_it_shows(api, start, end):
    body = {"dag_id": "lake_etl", "from_date": start, "to_date": end, "reprocess_behavior": "none"}
    runs = api.call("POST", "backfills/dry_run", json=body)["backfills"]
    # Three in the morning in New York, in summer.
    assert [run["logical_date"] for run in runs] == [f"{day}T07:00:00Z" for day in DAYS]


def test_no_run_is_due_on_its_own_after_the_demo_s_last_day(api):
    for dag_id in ("lake_etl", "nightly_layouts"):
        dag = api.call("GET", f"dags/{dag_id}")
        assert (dag["is_paused"], dag["next_dagrun_logical_date"]) == (False, None)
        assert (
            api.call("GET", f"dags/{dag_id}/dagRuns", params={"run_type": "scheduled"})["total_entries"] == 0
        )


def test_the_engine_is_a_connection_and_its_tasks_have_a_pool(api):
    connection = api.call("GET", "connections/vitrine_engine")
    assert (connection["conn_type"], connection["host"]) == ("spark_connect", "localhost")
    assert api.call("GET", "pools/spark")["slots"] == 3


def test_each_day_was_processed_by_a_run_of_its_own(api, lived_in, lake_etl):
    assert [run["state"] for run in lake_etl] == ["success"] * 3
    done = days_done(lived_in, "lake_etl/backfill__")
    tasks = {task["task_id"] for task in api.call("GET", "dags/lake_etl/tasks")["tasks"]}
    assert {"pin", "users", "events", "feedback", "bandit_statistics"} <= tasks - {"closing"} == set(done)
    for job in tasks - {"pin", "closing"}:
        assert done[job] == {(day, day + ONE_DAY) for day in DAYS}, job


def test_the_days_rows_are_the_lake_s(lived_in, lake_etl):
    orders = Counter(row["order_date"] for row in rows(lived_in, "orders", "order_date"))
    arrived = {
        day: pq.read_metadata(lived_in / "lake" / "orders" / f"date={day}" / "orders.parquet").num_rows
        for day in DAYS
    }
    assert orders == arrived

    visits = pq.read_table(lived_in / "truth" / "start.parquet", columns=["date", "household"]).to_pylist()
    agreed = [visit for visit in visits if has_consent(visit["household"])]
    served = Counter(date.fromisoformat(visit["date"]) for visit in agreed)
    assert len(agreed) < len(visits)
    decisions = Counter(row["decision_date"] for row in rows(lived_in, "decisions", "decision_date"))
    # One position on the start page, six on the home page; some of the last day's arrive on the day after it.
    assert [decisions[day] for day in DAYS[:2]] == [7 * served[day] for day in DAYS[:2]]
    assert 0.95 * 7 * served[LAST] < decisions[LAST] <= 7 * served[LAST]


def test_a_day_cleared_from_its_outcomes_on_changes_no_row(api, lived_in, lake_etl):
    before, done = digests(lived_in), attempts(lived_in, "lake_etl/" + RUN_IDS[-1])
    cleared = {"dag_run_id": RUN_IDS[-1], "task_ids": ["outcomes"], "include_downstream": True}
    more = {"only_failed": False, "reset_dag_runs": True, "dry_run": False}
    tasks = api.call("POST", "dags/lake_etl/clearTaskInstances", json=cleared | more)["task_instances"]
    assert api.wait("lake_etl", RUN_IDS[-1], seconds=900) == "success", api.failure("lake_etl", RUN_IDS[-1])
    again = attempts(lived_in, "lake_etl/" + RUN_IDS[-1]) - done
    assert {"outcomes", "feedback", "subject_features", "bandit_statistics"} <= set(again)
    assert again == Counter({task["task_id"] for task in tasks} - {"closing"})
    assert digests(lived_in) == before


def test_the_newest_day_is_live_whatever_runs_after_it(api, lived_in, nightly_layouts):
    done = days_done(lived_in, "nightly_layouts/backfill__")
    assert set(done) == {"pin", "product_lists", "layouts", "export"}
    assert done["export"] == done["layouts"] == {(day, day + ONE_DAY) for day in DAYS}
    assert exported(lived_in) == [(1, DAYS[0]), (2, DAYS[1]), (3, DAYS[2])]
    before = attempts(lived_in, "nightly_layouts/" + RUN_IDS[0])
    command = ["airflow", "backfill", "create", "--dag-id", "nightly_layouts", "--max-active-runs", "1"]
    days = ["--from-date", f"{FIRST}T00:00:00", "--to-date", f"{FIRST}T23:59:59"]
    asked = partial(
        subprocess.run,
        [Path(sys.executable).parent / "vitrine", *command, *days, "--reprocess-behavior", "completed"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # For some seconds after its last run a backfill counts as active.
    for _ in range(20):
        ended = asked()
        if "AlreadyRunningBackfill" not in ended.stderr:
            break
    assert ended.returncode == 0, ended.stderr
    again = max(
        row["id"] for row in api.call("GET", "backfills", params={"dag_id": "nightly_layouts"})["backfills"]
    )
    assert again != nightly_layouts
    assert api.wait_backfill("nightly_layouts", again, seconds=900) == {"success": 1}
    assert attempts(lived_in, "nightly_layouts/" + RUN_IDS[0]) == before + before
    assert exported(lived_in) == [(1, DAYS[0]), (2, DAYS[1]), (3, DAYS[2])]
    said = [run["message"] for run in rows(lived_in, "runs") if run["output"] == "exports"]
    assert any("the older 2017-08-18 is not exported" in message for message in said)


def test_the_pages_show_a_person_what_the_nights_left(person, lived_in, nightly_layouts):
    told = person.reads("health")
    for table in ("layouts", "exports", "subject_features"):
        assert f"\n{table} well " in told
    drawn = rows(lived_in, "layouts", "subject", "layout_date", "widgets")
    mine = [row for row in drawn if row["layout_date"] == LAST and not row["subject"].startswith("default:")]
    who = mine[0]["subject"]
    positions = sum(len(row["widgets"]) for row in mine if row["subject"] == who)
    assert person.finds(who) == (f"Subject …{who[-8:]}", positions)


def attempts(home, dag_run):
    """Count the finished runs of each job in a DAG run."""
    return Counter(run["job"] for run in rows(home, "runs") if run["dag_run"] == dag_run)


def digests(home):
    """Return, by job and interval, the digest of what its last run published."""
    last = sorted(rows(home, "runs"), key=lambda run: run["started_at"])
    return {
        (run["job"], run["from_date"], run["to_date"]): run["content_digest"] for run in last if run["output"]
    }


def exported(home):
    """Return the generations that were exported, with their nights."""
    return sorted((row["generation"], row["layout_date"]) for row in rows(home, "exports"))
