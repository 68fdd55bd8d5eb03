"""The DAGs as a whole: their commands as committed, what they share, and that parsing them is cheap."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from wiring import ROOT

EXPECTED = Path(__file__).parent / "expected"
DAG_IDS = ("lake_etl", "policy_evaluation", "nightly_layouts", "drift")
EVERY_ID = (*DAG_IDS, "segmentation", "closing_training", "maintenance")
# What is no job: it decides how the run goes on.
STEPS = ("pin", "as_of", "approval", "approved", "closing", "is_new", "plan", "keep_house")
# Jobs without Spark.
LIGHT = ("segment_report", "releases")


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_commands_are_as_committed(dags, run, render, dag_id):
    """One block per task: what it runs, and after what.

    After a change that is meant, `ACCEPT=1 pytest tests/dags` writes the expected files anew.
    """
    dag = dags[dag_id]
    blocks = []
    for task in sorted(dag.tasks, key=lambda task: task.task_id):
        command = render(
            task, task.bash_command, run(day=date(2017, 10, 3)), "backfill__2017-10-04T07:00:00+00:00"
        )
        after = ", ".join(sorted(task.upstream_task_ids)) or "nothing"
        blocks.append(f"{task.task_id} (after {after})\n    {command}\n")
    expected = EXPECTED / f"{dag_id}.txt"
    if os.environ.get("ACCEPT"):
        expected.write_text("".join(blocks))
    assert "".join(blocks) == expected.read_text()


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_a_dated_dag_is_unpaused_safely(dags, dag_id):
    dag = dags[dag_id]
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert dag.start_date == datetime(2016, 1, 1, tzinfo=UTC)
    # The demo lives in 2017: after its last day no run is due.
    assert dag.end_date == datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)
    assert dag.timetable.expression == "0 3 * * *"
    assert str(dag.timetable.timezone) == "America/New_York"


@pytest.mark.parametrize("dag_id", EVERY_ID)
def test_its_page_tells_what_its_module_says(dags, dag_id):
    doc = (ROOT / "dags" / f"{dag_id}.py").read_text().split('"""')[1]
    assert dags[dag_id].doc_md.strip() == doc.strip()
    assert "**When a task fails**" in doc


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_job_retries_with_backoff_and_has_a_limit(dags, dag_id):
    for task in dags[dag_id].tasks:
        assert task.owner == "vitrine"
        assert task.execution_timeout.total_seconds() <= 3 * 3600, task.task_id
        if task.task_id.startswith("wait_for_"):
            assert (task.mode, task.poke_interval, task.retries) == ("reschedule", 30, 0)
            # A night goes on without a verdict after an hour: the live policy stays.
            assert (task.timeout, task.soft_fail) == (
                (3600, True) if task.task_id == "wait_for_gate" else (10800, False)
            )
        else:
            assert (task.retries, task.retry_exponential_backoff) == (2, True), task.task_id


def test_each_job_emits_its_table_and_uses_the_pool(dags):
    for dag in dags.values():
        for task in dag.tasks:
            is_job = task.task_id not in STEPS and not task.task_id.startswith("wait_for_")
            makes_table = is_job and not task.task_id.endswith("_report")
            table = {"export": "exports", "gate": "releases", "model_gate": "releases"}.get(
                task.task_id, task.task_id
            )
            # What starts another DAG is no table.
            uris = [asset.uri for asset in task.outlets if asset.uri != "vitrine://closing/ended"]
            assert uris == ([f"vitrine://tables/{table}"] if makes_table else [])
            pool = "training" if dag.dag_id == "closing_training" else "spark"
            in_pool = (is_job and task.task_id not in LIGHT) or task.task_id == "keep_house"
            assert task.pool == (pool if in_pool else "default_pool")
            assert task.pool_slots == (3 if task.task_id == "keep_house" else 1)


def test_every_table_is_made_by_one_task(dags):
    contracts = {file.stem for file in (ROOT / "conf" / "contracts").glob("*.yaml")}
    outlets = [asset for dag in dags.values() for task in dag.tasks for asset in task.outlets]
    made = [asset.name for asset in outlets if asset.uri.startswith("vitrine://tables/")]
    # Each job leaves its rows in `runs`, and what it rejected in `quarantine`.
    # Verdicts come from gates, on policies and on models, and from a person, on segmentations.
    # Segments and scores follow a night's features, and what was approved or promoted since.
    twice = ["releases", "releases", "segments", "subject_scores"]
    assert sorted(made) == sorted([*(contracts - {"runs", "quarantine"}), *twice])


def test_parsing_loads_no_engine_and_no_job():
    """The DAG processor parses every minute: a heavy import there is paid all night long."""
    heavy = (
        "pyspark",
        "pandas",
        "numpy",
        "deltalake",
        "great_expectations",
        "jobs",
        "ml",
        "pydantic_settings",
        "fastapi",
    )
    script = (
        "import sys, airflow.sdk, airflow.providers.standard.operators.bash;"
        "import airflow.providers.standard.sensors.bash, airflow.providers.standard.operators.hitl;"
        "import airflow.providers.standard.decorators.short_circuit, airflow.plugins_manager, importlib.util;"
        "known = set(sys.modules);"
        "import lake_etl, policy_evaluation, nightly_layouts, drift;"
        "import segmentation, closing_training, maintenance;"
        # Plugins, too, are loaded there.
        "spec = importlib.util.spec_from_file_location('pages', '../jobs/house/plugins/pages.py');"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec));"
        f"print(sorted(set({heavy!r}) & (set(sys.modules) - known)), len(set(sys.modules) - known) < 40)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT / "dags", capture_output=True, text=True, check=True
    ).stdout
    assert said.splitlines()[-1] == "[] True"
