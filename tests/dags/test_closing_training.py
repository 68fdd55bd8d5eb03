"""closing_training: one run per closing, what its tasks run by key and by hand, and what starts it."""

import json
import os
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
import wiring
from airflow.sdk import PartitionedAssetTimetable
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.sdk.execution_time.task_runner import _serialize_outlet_events

EXPECTED = Path(__file__).parent / "expected" / "closing_training.txt"


@pytest.fixture
def rendered(dags):
    """Return a function that renders a task's command, in a run that a key or a person started."""
    ti = SimpleNamespace(xcom_pull=lambda task_ids: {"closing": "2017-10-08"}[task_ids])

    def render(task, key=None, **params):
        run = SimpleNamespace(partition_key=key)
        context = {"params": {"closing_id": None, **params}, "dag_run": run, "run_id": "run of closing"}
        return task.render_template(
            task.bash_command, {**context, "dag": task.dag, "ti": ti}, task.dag.get_template_env()
        )

    return render


def test_tasks_are_as_committed(dags, rendered):
    blocks = []
    for task in dags["closing_training"].tasks:
        after = ", ".join(sorted(task.upstream_task_ids)) or "nothing"
        blocks.append(f"{task.task_id} (after {after})\n    {rendered(task, '2017-10')}\n")
    if os.environ.get("ACCEPT"):
        EXPECTED.write_text("".join(blocks))
    assert "".join(blocks) == EXPECTED.read_text()


def test_by_hand_it_trains_whatever_was_trained_and_a_name_cannot_smuggle_in_a_command(dags, rendered):
    dag = dags["closing_training"]
    assert rendered(dag.get_task("closing"), closing_id="2017-09") == "vitrine closing last-day 2017-09"
    assert rendered(dag.get_task("is_new"), closing_id="2017-09").startswith("echo 'Started by hand")
    assert "is-new 2017-09 2017-10-08 " in rendered(dag.get_task("is_new"), "2017-09")
    assert rendered(dag.get_task("closing"), closing_id="x; rm").endswith("last-day 'x; rm'")
    # What a person asks for comes before the key.
    assert rendered(dag.get_task("closing"), "2017-08", closing_id="2017-09").endswith(" 2017-09")
    with pytest.raises(ValueError, match=r"^Which closing\? Start this run with closing_id, as 2017-10\.$"):
        rendered(dag.get_task("closing"))


def test_there_is_one_run_at_a_time_by_key_and_every_step_is_tried_again(dags):
    dag = dags["closing_training"]
    assert isinstance(dag.timetable, PartitionedAssetTimetable)
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    for task in dag.tasks:
        assert (task.retries, task.retry_exponential_backoff) == (2, True), task.task_id
        # A skip is told by this code alone; any other one fails.
        assert task.skip_on_exit_code == [99]


YEAR = [f"2017-{number:02}" for number in range(13, 0, -1)]


@pytest.mark.parametrize("ended", [YEAR, []])
def test_closings_that_ended_are_keys_of_events_in_their_order_and_without_any_there_is_none(
    dags, tmp_path, ended
):
    command, nothing = f"echo starting; echo '{json.dumps(ended)}'", "No closing ended in these days."
    task = wiring.Closings(task_id="closing", bash_command=command, nothing=nothing, cwd=str(tmp_path))
    events = OutletEventAccessors()
    context = {"outlet_events": events, "ti": SimpleNamespace(), "dag_run": None}
    if not ended:
        with pytest.raises(AirflowSkipException, match="No closing ended"):
            task.execute(context)
        return
    assert task.execute(context) == ended
    # What Airflow sends, and in which order it starts runs: not by name, which need not be by time.
    assert [event["partition_key"] for event in _serialize_outlet_events(events)] == ended
    own = dags["lake_etl"].get_task("closing")
    assert ([asset.uri for asset in own.outlets], own.downstream_task_ids) == (
        ["vitrine://closing/ended"],
        set(),
    )


def test_the_day_s_closings_are_asked_for_by_the_run_s_days(dags, run, render):
    task = dags["lake_etl"].get_task("closing")
    command = render(task, task.bash_command, run(day=date(2017, 10, 8)), "any")
    assert command == "vitrine closing ended --from 2017-10-08 --to 2017-10-09"
