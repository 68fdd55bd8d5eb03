"""maintenance: house is kept as of the newest day that is loaded, alone among the jobs, on Sundays."""

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest
from airflow.timetables.interval import CronDataIntervalTimetable

from jobs.config import load
from jobs.house import airflow

SUNDAY = datetime(2017, 10, 15, 16, tzinfo=UTC)  # noon in New York


@pytest.fixture
def command(dags):
    """Return a function that renders the command of a task in a run of a kind."""
    ti = SimpleNamespace(xcom_pull=lambda task_ids: {"as_of": "2017-10-14"}[task_ids])

    def render(name, run_type="scheduled", **params):
        task = dags["maintenance"].get_task(name)
        run = SimpleNamespace(run_type=run_type, data_interval_end=SUNDAY)
        context = {"params": {"as_of": None, "plan": False, **params}, "dag_run": run, "run_id": "r1"}
        context |= {"dag": task.dag, "ti": ti}
        return task.render_template(task.bash_command, context, task.dag.get_template_env())

    return render


def test_it_keeps_house_as_of_a_day_that_is_loaded(dags, command):
    assert command("as_of") == "vitrine newest erasures --upto 2017-10-14"
    assert command("as_of", "manual") == "vitrine newest erasures "
    assert command("as_of", "manual", as_of="2017-10-12") == "vitrine newest erasures --day 2017-10-12"
    assert command("plan") == "vitrine maintenance 2017-10-14 --dry-run"
    assert command("keep_house") == "vitrine maintenance 2017-10-14 --dag-run maintenance/r1"
    assert dags["maintenance"].get_task("plan").upstream_task_ids == {"as_of"}
    assert dags["maintenance"].get_task("keep_house").upstream_task_ids == {"plan"}


def test_a_run_that_only_plans_removes_nothing(dags, command):
    task = dags["maintenance"].get_task("keep_house")
    assert command("keep_house", "manual", plan=True).endswith(f"exit {task.skip_on_exit_code[0]}")
    assert "vitrine" not in command("keep_house", "manual", plan=True)
    assert command("plan", "manual", plan=True) == "vitrine maintenance 2017-10-14 --dry-run"


def test_it_runs_on_sundays_at_noon(dags):
    dag = dags["maintenance"]
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    told = dag.timetable
    timetable = CronDataIntervalTimetable(told.expression, timezone=str(told.timezone))
    interval = timetable.infer_manual_data_interval(run_after=datetime(2017, 10, 18, tzinfo=UTC))
    assert interval.end == SUNDAY
    assert interval.start.date() == date(2017, 10, 8)


def test_its_task_takes_the_whole_pool_of_the_jobs(dags, monkeypatch):
    """With a slot less a job could run beside it; with one more it would never start."""
    made = {}

    class Api:
        def put_pool(self, name, slots, _):
            made[name] = slots

        def put_connection(self, _):
            pass

        def dag_ids(self):
            return set(dags)

    monkeypatch.setattr(airflow.engine, "remote", lambda _: "sc://127.0.0.1:15002/;token=t")
    airflow._furnish(Api(), load())
    task = dags["maintenance"].get_task("keep_house")
    assert task.pool_slots == made[task.pool]
