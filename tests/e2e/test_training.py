"""A closing's event starts one run that ends with a verdict, without a person."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from jobs.house import process
from jobs.tables import Tables
from tests.e2e.nights import LAST, rows

WEEKS = 9
SUBJECTS = 240
CLOSING = f"week-{WEEKS}"


@pytest.fixture(scope="module")
def closings(lived_in, lake_etl):
    """Let weekly closings be behind the three days, with customers who come more or less often, or stop."""
    tables = Tables(str(lived_in / "tables"))
    ends = [LAST - timedelta(7 * (WEEKS - number)) for number in range(1, WEEKS + 1)]
    own = [_closing(f"week-{number}", end) for number, end in enumerate(ends, start=1)]
    known = {row["closing_id"]: row for row in rows(lived_in, "closings")}
    # The demo's own are called off: periods of four weeks have no room here.
    gone = [{**row, "changed_date": LAST, "is_deleted": True} for row in known.values()]
    tables.append("closings", [*own, *gone])
    tables.append("subject_daily", _history(ends[0] - timedelta(6)))


def _closing(name: str, end: date) -> dict[str, Any]:
    told = {"changed_date": LAST, "is_deleted": False}
    return {"closing_id": name, "first_date": end - timedelta(6), "last_date": end, **told}


def _history(first: date) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    often = rng.beta(0.7, 1.5, SUBJECTS)
    ends = first + timedelta(7 * WEEKS)
    days = [first + timedelta(number) for number in range((ends - first).days)]
    return [
        {
            "subject": f"{number:032x}",
            "subject_bucket": number % 2,
            "activity_date": day,
            "orders": 1,
            "lines": 2,
            "sales_cents": int(rng.integers(100, 9000)),
            "category_visits": [("BEEF", 1)],
            "decisions": 0,
            "reward_counts": [],
            "reward_sums": [],
        }
        for day in days
        for number in range(SUBJECTS)
        if rng.random() < 0.4 * often[number]
    ]


def _tell(api, runs: int) -> str:
    """Tell that the closing ended, as lake_etl would, and wait until this has started a run."""
    known = {run["dag_run_id"] for run in _runs(api)}
    assets = api.call("GET", "assets", params={"name_pattern": "closing"})["assets"]
    [asset] = [asset for asset in assets if asset["name"] == "closing"]
    event = {"asset_id": asset["id"], "partition_key": CLOSING, "extra": {}}
    api.call("POST", "assets/events", json=event)
    assert process.wait_until(lambda: len(_runs(api)) == runs, lambda: True, seconds=60)
    [new] = [run for run in _runs(api) if run["dag_run_id"] not in known]
    assert new["partition_key"] == CLOSING
    return new["dag_run_id"]


def _runs(api) -> list[dict[str, Any]]:
    return api.call("GET", "dags/closing_training/dagRuns")["dag_runs"]


def test_no_closing_ended_on_the_three_days(api, lake_etl):
    states = [api.task_states("lake_etl", run["dag_run_id"])["closing"] for run in lake_etl]
    assert (states, _runs(api)) == (["skipped"] * 3, [])


def test_a_closing_that_ended_ends_in_verdicts_without_a_person(api, lived_in, closings):
    run = _tell(api, 1)
    assert api.wait("closing_training", run, seconds=900) == "success", api.failure("closing_training", run)
    assert set(api.task_states("closing_training", run).values()) == {"success"}
    examples = rows(lived_in, "closing_examples", "closing_date")
    # The first two have too few behind them; the next period of the last is not over.
    ends = {LAST - timedelta(7 * number) for number in range(1, WEEKS - 2)}
    assert {row["closing_date"] for row in examples} == ends
    models = {row["model_version"] for row in rows(lived_in, "models", "model_version")}
    verdicts = [row for row in rows(lived_in, "releases") if row["kind"] == "model"]
    assert {row["as_of_date"] for row in verdicts} == {LAST}
    assert {row["version"] for row in verdicts} <= models
    [churn] = [row for row in verdicts if row["name"] == "churn"]
    # Nine weeks of 240 customers, made up, do not tell surely; the run says so, and is none the worse for it.
    assert churn["verdict"] == "cannot tell"
    assert churn["dag_run"].endswith(run)
