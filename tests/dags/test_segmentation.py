"""segmentation: what its tasks run, in the order in which a person is asked; what the person is shown."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import wiring
from airflow.timetables.interval import CronDataIntervalTimetable

EXPECTED = Path(__file__).parent / "expected" / "segmentation.txt"
ANSWERED_AT = datetime(2017, 11, 1, 12, tzinfo=UTC)
TOLD = """{"request": "rfm@2017-10-31-3fa9c1", "report": "segments/rfm@2017-10-31-3fa9c1.html",
  "reason": "k = 2: it is stable.", "suggested": 2, "fitted": [2, 3], "segments": [
  {"segment": 0, "name": "core", "subjects": 835, "share": "34%", "revenue": "66%"},
  {"segment": 1, "name": "fading", "subjects": 415, "share": "17%", "revenue": "3%"}]}"""
ANSWER = {
    "chosen_options": ["Approve"],
    "params_input": {"chosen_k": 3, "names": ["it's core", "$HOME", "`rm`"], "why": None},
    "responded_by_user": {"id": "operator", "name": "operator"},
    "responded_at": ANSWERED_AT,
}
XCOM = {"as_of": "2017-10-31", "segment_report": TOLD, "approval": ANSWER}
PARAMS = {"segmentation": "rfm", "k": "2-8", "roles": ["consultant"], "columns": None, "seed": None}


@pytest.fixture
def rendered(dags):
    """Return a function that renders a template of a task as in a run by hand."""
    ti = SimpleNamespace(xcom_pull=lambda task_ids: XCOM[task_ids])

    def render(task, template, run_type="manual", **params):
        run = SimpleNamespace(run_type=run_type, data_interval_end=datetime(2017, 11, 1, 9, tzinfo=UTC))
        context = {"params": {**PARAMS, "as_of": None, **params}, "dag_run": run, "run_id": "manual__1"}
        return task.render_template(
            template, {**context, "dag": task.dag, "ti": ti}, task.dag.get_template_env()
        )

    return render


def test_tasks_are_as_committed(dags, rendered):
    blocks = []
    for task in dags["segmentation"].tasks:
        said = rendered(
            task, getattr(task, "bash_command", None) or getattr(task, "body", "go on if approved")
        )
        after = ", ".join(sorted(task.upstream_task_ids)) or "nothing"
        blocks.append(f"{task.task_id} (after {after})\n    {said.strip()}\n")
    if os.environ.get("ACCEPT"):
        EXPECTED.write_text("".join(blocks))
    assert "".join(blocks) == EXPECTED.read_text()


def test_what_a_person_types_cannot_smuggle_in_a_command(dags, rendered):
    task = dags["segmentation"].get_task("releases")
    command = rendered(task, task.bash_command, segmentation="x; rm -rf $HOME")
    assert "--with 'segmentation=\"x; rm -rf $HOME\"'" in command
    assert "it'\"'\"'s core" in command
    assert '"responded_at": "2017-11-01T12:00:00+00:00"' in command


def test_it_is_monthly_and_a_waiting_run_holds_no_other_up(dags):
    dag = dags["segmentation"]
    assert (dag.timetable.expression, str(dag.timetable.timezone)) == ("0 5 1 * *", "America/New_York")
    assert (dag.catchup, dag.max_active_runs) == (False, 4)
    approval = dag.get_task("approval")
    assert (approval.options, approval.defaults) == (["Approve", "Reject"], ["Reject"])
    assert approval.response_timeout == timedelta(days=14)
    # An answer within a second of the question fails its task.
    assert (approval.retries, approval.retry_delay) == (3, timedelta(seconds=1))
    # What cannot be taken is not tried again.
    assert dag.get_task("releases").retries == 0


@pytest.mark.parametrize(
    ("params", "run_type", "said"),
    [
        ({}, "manual", ""),
        ({"as_of": "2017-10-12"}, "manual", "--day 2017-10-12"),
        ({"as_of": "2017-10-12"}, "scheduled", "--day 2017-10-12"),
        ({}, "scheduled", "--upto 2017-10-31"),
        ({}, "backfill", "--upto 2017-10-31"),
    ],
)
def test_the_day_is_the_one_asked_for_or_the_month_s_last(params, run_type, said):
    timetable = CronDataIntervalTimetable("0 5 1 * *", timezone="America/New_York")
    interval = timetable.infer_manual_data_interval(run_after=datetime(2017, 11, 15, tzinfo=UTC))
    run = SimpleNamespace(run_type=run_type, data_interval_end=interval.end)
    assert wiring.last_day(params, run) == said


@pytest.mark.parametrize(("option", "goes_on"), [("Approve", True), ("Reject", False)])
def test_only_an_approval_goes_on(dags, option, goes_on):
    task = dags["segmentation"].get_task("approved")
    assert task.python_callable({"chosen_options": [option]}) is goes_on


def test_what_a_run_is_started_with_does_not_answer_for_the_person(dags):
    """A run's own parameters have precedence over a task's of the same name."""
    dag = dags["segmentation"]
    assert not set(dag.get_task("approval").params) & set(dag.params)
