"""Which days a run is for, in every kind of run; where a job's task is run."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
import wiring
from airflow.sdk.exceptions import ParamValidationError
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

from jobs import plan
from jobs.config import load
from jobs.shell import with_arguments

OCTOBER_3 = date(2017, 10, 3)


def days(params, dag_run):
    return wiring.from_day(params, dag_run), wiring.to_day(params, dag_run)


def test_scheduled_and_backfilled_runs_take_their_own_day(run):
    assert days({}, run(day=OCTOBER_3)) == ("2017-10-03", "2017-10-04")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"start": "2017-08-18", "end": "2017-10-12"}, ("2017-08-18", "2017-10-13")),
        ({"start": "2017-08-18", "end": None}, ("2017-08-18", "2017-08-19")),
        ({"start": None, "end": "2017-08-20"}, ("2017-08-20", "2017-08-21")),
        ({"start": None, "end": None}, ("2017-10-03", "2017-10-04")),
        ({"start": "2016-02-28", "end": "2016-02-29"}, ("2016-02-28", "2016-03-01")),
    ],
)
def test_params_name_first_and_last_day_both_included(run, params, expected):
    assert days(params, run(day=OCTOBER_3)) == expected


def test_a_run_by_hand_without_dates_takes_the_day_before_it_was_started(run):
    # 02:00 UTC on the 5th is still the evening of the 4th in New York.
    by_hand = run(run_after=datetime(2017, 10, 5, 2, tzinfo=UTC))
    assert days({}, by_hand) == ("2017-10-03", "2017-10-04")


def test_a_run_with_a_logical_date_but_no_interval_takes_the_day_before_it(run):
    by_hand = run(
        logical_date=datetime(2017, 10, 5, 12, tzinfo=UTC), run_after=datetime(2020, 1, 1, tzinfo=UTC)
    )
    assert days({}, by_hand) == ("2017-10-04", "2017-10-05")


def test_a_partition_key_is_the_day(run):
    assert days({}, run(partition_key="2017-10-07T03:00:00", run_after=datetime(2020, 1, 1, tzinfo=UTC))) == (
        "2017-10-07",
        "2017-10-08",
    )


def test_days_in_the_wrong_order_are_refused_in_one_sentence(run):
    with pytest.raises(
        ValueError, match=r"^start 2017-10-09 is after end 2017-10-02: give the earlier day first\.$"
    ):
        days({"start": "2017-10-09", "end": "2017-10-02"}, run(day=OCTOBER_3))


def test_a_run_without_any_date_says_so_unless_it_is_told_days(run):
    dateless = run(run_after=None)
    assert days({"start": "2017-10-02", "end": None}, dateless) == ("2017-10-02", "2017-10-03")
    for params in ({}, {"start": None, "end": None}):
        with pytest.raises(ValueError, match=r"has no date .*: trigger it with start and end\.$"):
            days(params, dateless)


def test_every_day_of_the_year_has_one_run_also_when_clocks_change(run):
    """One run after another, as a backfill of the year makes them, with days of 23 and 25 hours."""
    timetable = CronDataIntervalTimetable("0 3 * * *", timezone="America/New_York")
    end = datetime(2017, 1, 1, 8, tzinfo=UTC)
    seen, hours = [], {}
    for _ in range(365):
        interval = timetable.infer_manual_data_interval(run_after=end + timedelta(hours=25))
        end = interval.end
        day = days({}, run(logical_date=interval.start, data_interval_start=interval.start))[0]
        seen.append(day)
        hours[day] = (interval.end.timestamp() - interval.start.timestamp()) / 3600
    assert seen == [(date(2017, 1, 1) + timedelta(days=number)).isoformat() for number in range(365)]
    assert {day: length for day, length in hours.items() if length != 24} == {
        "2017-03-11": 23,
        "2017-11-04": 25,
    }


def test_a_later_overlay_wins_key_by_key(monkeypatch):
    monkeypatch.setenv("VITRINE_OVERLAY", "demo,cluster")
    assert wiring.configured("engine", "kind") == "submit"
    assert wiring.configured("business_time_zone") == "America/New_York"
    assert wiring.configured("engine", "memory") == load(overlays="demo,cluster").engine.memory
    assert wiring.configured("engine", "nothing", "at all") is None


def test_on_a_cluster_a_job_is_handed_to_spark_submit(monkeypatch, run, render):
    from airflow.sdk import DAG

    monkeypatch.setenv("VITRINE_OVERLAY", "demo,cluster")
    with DAG("lake_etl", **wiring.daily()):
        task = wiring.job("sessions")
    arguments = render(task, task.application_args, run(day=OCTOBER_3), "manual__it's me")
    assert type(task).__name__ == "SparkSubmitOperator"
    assert task.application == str(wiring.ROOT / "jobs" / "sessions.py")
    assert arguments == [
        "--from",
        "2017-10-03",
        "--to",
        "2017-10-04",
        "--dag-run",
        "lake_etl/manual__it's me",
    ]
    assert task.conf["spark.sql.shuffle.partitions"] == "512"
    assert task.pool == "spark"


def test_a_run_id_cannot_smuggle_in_a_command(dags, run, render):
    task = dags["lake_etl"].get_task("pin")
    command = render(task, task.bash_command, run(day=OCTOBER_3), "x; rm -rf $HOME 'y'")
    assert command == """vitrine pin --dag-run 'lake_etl/x; rm -rf $HOME '"'"'y'"'"''"""


def test_an_emoji_in_an_answer_comes_through_to_the_job():
    given = with_arguments(load(), "releases", [f"answer={wiring.to_json({'names': ['core 🎉']})}"])
    assert given.jobs["releases"]["answer"] == {"names": ["core 🎉"]}


def test_tasks_get_the_stores_login_from_the_connection_that_conf_names(monkeypatch):
    import wiring

    assert wiring.job("layouts").env is None
    known = wiring.configured
    monkeypatch.setattr(
        wiring, "configured", lambda *path: "shop_store" if path == ("store", "connection") else known(*path)
    )
    task = wiring.job("layouts")
    assert task.append_env is True
    assert task.env == {
        "VITRINE_STORE_USER": "{{ conn.shop_store.login or '' }}",
        "VITRINE_STORE_PASSWORD": "{{ conn.shop_store.password or '' }}",
    }


def test_every_task_tells_of_its_failure_and_those_that_judge_of_their_news(dags):
    verdicts, drift = [wiring.tell_verdicts], [wiring.tell_drift]
    news = {"gate": verdicts, "model_gate": verdicts, "drift": drift}
    for dag in dags.values():
        for task in dag.tasks:
            assert list(task.on_failure_callback) == [wiring.tell_failure], task.task_id
            assert list(task.on_success_callback) == news.get(task.task_id, []), task.task_id


def test_a_night_is_late_only_where_conf_says_so(monkeypatch):
    assert wiring.daily()["deadline"] is None
    monkeypatch.setattr(wiring, "configured", lambda *path: 3 if path == ("alerts", "late_hours") else None)
    deadline = wiring._deadline()
    # A date's night is due at three on the next day.
    assert (deadline.interval, deadline.callback.path) == (timedelta(hours=27), "jobs.telling.late")


def test_a_run_that_only_plans_waits_for_nothing_and_runs_nothing(dags, render, run):
    """`pin` prints the plan and is skipped, and so is what comes after it."""
    for dag_id in ("lake_etl", "policy_evaluation", "nightly_layouts", "drift"):
        dag, by_hand = dags[dag_id], run(day=OCTOBER_3)
        told = {
            task.task_id: render(
                task, task.bash_command, by_hand, "r1", plan=True, start="2017-10-01", end="2017-10-02"
            )
            for task in dag.tasks
            if task.task_id == "pin" or task.task_id.startswith("wait_for_")
        }
        assert told.pop("pin") == f"vitrine plan {dag_id} 2017-10-01 2017-10-02 && exit 99"
        assert set(told.values()) <= {"true"}
        assert dag.get_task("pin").skip_on_exit_code == [99]
        others = set(dag.task_ids) - {"pin", *told}
        assert others == {one.task_id for one in dag.get_task("pin").get_flat_relatives(upstream=False)}
        assert {dag.get_task(name).trigger_rule.value for name in others} == {"all_success"}


def test_forms_say_that_a_second_backfill_is_refused(dags):
    for dag_id in ("lake_etl", "policy_evaluation", "nightly_layouts", "drift"):
        params = dags[dag_id].params
        assert "Airflow takes one of a DAG at a time" in params.get_param("start").description
        assert params.get_param("plan").schema["type"] == "boolean"
        assert params["plan"] is False


def test_a_plan_knows_what_a_dag_writes_and_waits_for(dags, home):
    steps = plan.steps_of("nightly_layouts", load())
    assert list(steps.writes.items()) == [
        ("product_lists", "product_lists"), ("layouts", "layouts"), ("export", "exports"),
    ]  # fmt: skip
    assert sorted(steps.waits) == ["gate", "subject_features"]
    assert plan.steps_of("policy_evaluation", load()).writes["gate"] == "releases"
    with pytest.raises(plan.PlanError, match=r"There is no DAG 'lake'; there are closing_training, drift, l"):
        plan.steps_of("lake", load())


def test_tonights_tasks_get_their_slots_before_a_backfills(dags):
    """As the scheduler reads the DAG back; of one run's tasks those that most wait for go first."""
    from airflow.serialization.serialized_objects import DagSerialization

    read = DagSerialization.from_dict(DagSerialization.to_dict(dags["lake_etl"]))

    def weight(task_id, run_id):
        task = read.get_task(task_id)
        return task.weight_rule.get_weight(SimpleNamespace(task=task, run_id=run_id))

    night, backfill = "scheduled__2017-10-13T07:00:00+00:00", "backfill__2017-08-19T07:00:00+00:00"
    first, last = "pin", "closing"
    assert weight(last, night) > weight(first, backfill) > weight(last, backfill) == 1
    assert weight(last, "manual__2017-10-13") < weight(last, "asset_triggered__2017-10-13")
    assert weight(first, night) - weight(last, night) == len(dags["lake_etl"].tasks) - 1


@pytest.mark.parametrize(
    ("zone", "change", "hours"),
    [
        ("America/New_York", date(2017, 3, 12), 23),
        ("America/New_York", date(2017, 11, 5), 25),
        ("Europe/Helsinki", date(2017, 3, 26), 23),  # where three o'clock does not exist
        ("Europe/Helsinki", date(2017, 10, 29), 25),
        ("Australia/Lord_Howe", date(2017, 4, 2), 24.5),
    ],
)
def test_each_day_has_one_run_when_the_clocks_change(run, monkeypatch, zone, change, hours):
    monkeypatch.setattr(wiring, "configured", lambda *_: zone)
    timetable = CronDataIntervalTimetable("0 3 * * *", timezone=zone)
    first, last = (datetime(day.year, day.month, day.day, 12, tzinfo=UTC) for day in
                   (change - timedelta(3), change + timedelta(4)))  # fmt: skip
    restriction = TimeRestriction(earliest=first, latest=last, catchup=True)
    interval, found, lengths = None, [], []
    while info := timetable.next_dagrun_info(last_automated_data_interval=interval, restriction=restriction):
        interval = info.data_interval
        found.append(wiring.own_day(run(data_interval_start=interval.start)))
        lengths.append((interval.end - interval.start).total_seconds() / 3600)
    assert found == [found[0] + timedelta(number) for number in range(len(found))]
    assert found[0] <= change - timedelta(1) <= change <= change + timedelta(1) <= found[-1]
    assert sum(lengths) == 24 * len(lengths) + hours - 24


@pytest.mark.parametrize(
    ("dag_id", "name", "bad"),
    [
        ("lake_etl", "start", "2017-13-01"),
        ("lake_etl", "start", "10/11/2026"),
        ("nightly_layouts", "end", 20171012),
        ("drift", "plan", "perhaps"),
        ("maintenance", "as_of", "yesterday"),
        ("segmentation", "k", "one"),
        ("closing_training", "closing_id", 7),
    ],
)
def test_a_form_refuses_what_cannot_be(dags, dag_id, name, bad):
    with pytest.raises(ParamValidationError):
        dags[dag_id].params.get_param(name).resolve(bad)
