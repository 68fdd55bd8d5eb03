"""What the DAGs share: days, schedule, retries, and the one place that decides how a job runs.

DAGs know jobs by name. A job's task runs `vitrine run NAME` against the warm engine, or, where conf/ says
`engine.kind: submit`, hands jobs/NAME.py to spark-submit; neither the DAG nor the job notices.
"""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import yaml
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.bash import BashSensor
from airflow.sdk import (
    Asset,
    BaseOperator,
    CronDataIntervalTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    PartitionedAssetTimetable,
    SyncCallback,
)
from airflow.sdk.exceptions import AirflowSkipException

ROOT: Final = Path(__file__).resolve().parent.parent
SPARK_POOL: Final = "spark"
# A night keeps its slots while models are trained: nobody waits for those.
TRAINING_POOL: Final = "training"
# Tonight's tasks get a slot before those of backfills; a plugin of jobs/house/plugins.
NIGHT_FIRST: Final = "jobs.house.priority.NightFirst"
# Before all data: a run of a day before a DAG's start date succeeds without running a task.
BEFORE_ALL_DATA: Final = datetime(2016, 1, 1, tzinfo=UTC)
FROM: Final = "{{ from_day(params, dag_run) }}"
TO: Final = "{{ to_day(params, dag_run) }}"
PLANS: Final = "params.get('plan')"
INCLUDED: Final = "{{ from_day(params, dag_run) }} {{ until_day(params, dag_run) }}"
PLAN: Final = f"vitrine plan {{{{ dag.dag_id }}}} {INCLUDED} && exit 99"
# Two DAGs' backfills of a day have the same run id: with its DAG it names one run.
RUN: Final = "{{ (dag.dag_id ~ '/' ~ run_id) | quote }}"


def configured(*path: str) -> Any:
    """Look a key up in conf/base.yaml with the overlays merged on top; None where nobody says anything."""
    here: Any = _configuration(os.environ.get("VITRINE_OVERLAY", "demo"))
    for key in path:
        here = here.get(key) if isinstance(here, Mapping) else None
    return here


@cache
def _configuration(overlays: str) -> Mapping[str, Any]:
    # jobs.config reads the same files and checks them; importing it would cost every parse a second.
    merged: dict[str, Any] = {}
    for name in ("base", *(overlay.strip() for overlay in overlays.split(",") if overlay.strip())):
        merged = _merge(merged, yaml.safe_load((ROOT / "conf" / f"{name}.yaml").read_text()) or {})
    return merged


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def own_day(dag_run: Any) -> date:
    """Return the business day that a run without dates of its own is for; a ValueError where it has none."""
    from jobs import run_day

    own = run_day.of_run(dag_run, ZoneInfo(configured("business_time_zone")))
    if own is None:
        raise ValueError("The run has no date that a day would follow from: trigger it with start and end.")
    return own


def run_days(params: Mapping[str, Any], dag_run: Any) -> tuple[date, date]:
    """Return first and last day of a run, both included: from `start` and `end`, else its own day."""
    start, end = (date.fromisoformat(params[name]) if params.get(name) else None for name in ("start", "end"))
    first = start or end or own_day(dag_run)
    last = end or first
    if first > last:
        raise ValueError(f"start {first} is after end {last}: give the earlier day first.")
    return first, last


def from_day(params: Mapping[str, Any], dag_run: Any) -> str:
    """Return a run's first day, as jobs take it."""
    return run_days(params, dag_run)[0].isoformat()


def to_day(params: Mapping[str, Any], dag_run: Any) -> str:
    """Return the day after a run's last: a form means both its days, a job's interval is half-open."""
    return (run_days(params, dag_run)[1] + timedelta(days=1)).isoformat()


def until_day(params: Mapping[str, Any], dag_run: Any) -> str:
    """Return a run's last day, included."""
    return run_days(params, dag_run)[1].isoformat()


def last_day(params: Mapping[str, Any], dag_run: Any) -> str:
    """Return how `vitrine newest` is told a longer run's day: the one asked for, else its interval's last.

    A run by hand takes the newest there is, whenever it is started.
    """
    if params.get("as_of"):
        return f"--day {date.fromisoformat(params['as_of'])}"
    if dag_run.run_type == "manual" or dag_run.data_interval_end is None:
        return ""
    end = dag_run.data_interval_end.astimezone(ZoneInfo(configured("business_time_zone")))
    return f"--upto {end.date() - timedelta(days=1)}"


def closing_id(params: Mapping[str, Any], dag_run: Any) -> str:
    """Return the closing that a run is for: the one asked for, else the key that started it."""
    found = params.get("closing_id") or getattr(dag_run, "partition_key", None)
    if not found:
        raise ValueError("Which closing? Start this run with closing_id, as 2017-10.")
    return str(found)


def daily(more: Mapping[str, Param] | None = None) -> dict[str, Any]:
    """Return the arguments of a DAG that handles a business day after it is over, at three in the morning.

    Three, because two o'clock does not exist on the day that summer time begins.
    """
    days = {
        "start": Param(
            None,
            type=["null", "string"],
            format="date",
            description="first day of one run over many; the run's own if empty. A run a day is a backfill:"
            " Airflow takes one of a DAG at a time, and refuses a second until it has ended",
        ),
        "end": Param(None, type=["null", "string"], format="date", description="last day, included"),
        "plan": Param(
            False,
            type="boolean",
            description="only say, in the log of the task pin, which partitions would be replaced, how many"
            " rows they hold and what they took last time; nothing is changed",
        ),
    }
    return {
        **_scheduled("0 3 * * *", {**days, **(more or {})}),
        "max_active_runs": 1,
        "deadline": _deadline(),
    }


def monthly(params: Mapping[str, Param]) -> dict[str, Any]:
    """Return the arguments of a DAG that runs on the first of a month, for the month that is over.

    Several runs may be open at once: one that waits for a person holds none of the others up.
    """
    return {**_scheduled("0 5 1 * *", params), "max_active_runs": 4}


def weekly(params: Mapping[str, Param]) -> dict[str, Any]:
    """Return the arguments of a DAG that runs on Sundays at noon, when no night is at work."""
    return {**_scheduled("0 12 * * 0", params), "max_active_runs": 1}


def keyed() -> dict[str, Any]:
    """Return the arguments of a DAG with a run for each closing that ended, one after another."""
    params = {
        "closing_id": Param(
            None, type=["null", "string"], description="a closing, as 2017-10; the run's own key if empty"
        )
    }
    return {**_common(params), "schedule": PartitionedAssetTimetable(assets=CLOSING), "max_active_runs": 1}


def _deadline() -> DeadlineAlert | None:
    """Return when a night is late, where conf/ says so: hours after it was due, a day after its date."""
    hours = configured("alerts", "late_hours")
    if hours is None:
        return None
    return DeadlineAlert(
        name="late",
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        interval=timedelta(days=1, hours=float(hours)),
        callback=SyncCallback("jobs.telling.late"),
    )


def tell_failure(context: Any) -> None:
    """Tell whom conf/ names that a task has failed, after its last retry."""
    from jobs import telling

    telling.task_failed(context)


def tell_verdicts(context: Any) -> None:
    """Tell whom conf/ names of policies that are refused and of models that are not promoted."""
    from jobs import telling

    telling.verdicts(context)


def tell_drift(context: Any) -> None:
    """Tell whom conf/ names of what has newly moved beyond a bound."""
    from jobs import telling

    telling.drifted(context)


def hand_on_trace(_: Any) -> None:
    """Name the span of this attempt to what it starts: the job's span hangs under it."""
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from opentelemetry import propagate

        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        os.environ.update({name.upper(): value for name, value in carrier.items() if name == "traceparent"})


def _scheduled(cron: str, params: Mapping[str, Param]) -> dict[str, Any]:
    zone, end = configured("business_time_zone"), configured("airflow", "end_date")
    return {
        **_common(params),
        "schedule": CronDataIntervalTimetable(cron, timezone=zone),
        "end_date": datetime(end.year, end.month, end.day, 23, 59, 59, tzinfo=ZoneInfo(zone))
        if end
        else None,
    }


def _common(params: Mapping[str, Param]) -> dict[str, Any]:
    return {
        "start_date": BEFORE_ALL_DATA,
        "catchup": False,
        "params": dict(params),
        "user_defined_macros": {
            "from_day": from_day,
            "to_day": to_day,
            "until_day": until_day,
            "last_day": last_day,
            "closing_id": closing_id,
        },
        "user_defined_filters": {"quote": shlex.quote, "from_json": json.loads, "to_json": to_json},
        "default_args": {
            "owner": "vitrine",
            "retries": 2,
            "retry_delay": timedelta(seconds=20),
            "retry_exponential_backoff": True,
            "max_retry_delay": timedelta(minutes=10),
            "execution_timeout": timedelta(hours=3),
            "on_failure_callback": tell_failure,
            "weight_rule": NIGHT_FIRST,
            "pre_execute": hand_on_trace,
        },
        "tags": ["vitrine"],
    }


def to_json(value: Any) -> str:
    """Return a value as JSON, which is YAML too: no surrogate pairs; an instant is text."""
    return json.dumps(value, ensure_ascii=False, default=lambda instant: instant.isoformat())


CLOSING: Final = Asset(name="closing", uri="vitrine://closing/ended")
"""A closing has ended; its id is the event's key."""


class Closings(BashOperator):
    """Emits `closing` with a key for each closing that its command prints; is skipped where there is none."""

    def __init__(self, *, nothing: str, **more: Any) -> None:
        super().__init__(**more)
        self.nothing = nothing

    def execute(self, context: Any) -> list[str]:
        """Ask which closings, and name each as a key of the event, in the order in which they are printed."""
        found = list(json.loads(super().execute(context)))
        if not found:
            raise AirflowSkipException(self.nothing)
        event = context["outlet_events"][CLOSING]
        event.add_partitions(found)
        # Airflow keeps them as a set, and starts runs in the order of its iteration: any. A model of the last
        # closing must not come before those of the others, which would promote nothing.
        event.partition_keys = dict.fromkeys(found)
        return found


def tell_closings(command: str, nothing: str) -> BaseOperator:
    """Make the task that starts `closing_training` for every closing that a command prints, as JSON."""
    return Closings(
        task_id="closing",
        bash_command=command,
        nothing=nothing,
        outlets=[CLOSING],
        execution_timeout=timedelta(minutes=5),
        doc_md="Says which closings there are to train: each starts a run of `closing_training`.",
    )


def table(name: str) -> Asset:
    """Return the asset that stands for a table."""
    return Asset(name=name, uri=f"vitrine://tables/{name}")


def pin(*, is_dated: bool = True) -> BaseOperator:
    """Make the first task of a run: all tasks after it read the tables at the versions it noted.

    In a run of a dated DAG that only plans, it prints the plan and skips the rest.
    """
    command = f"vitrine pin --dag-run {RUN}"
    return BashOperator(
        task_id="pin",
        bash_command=f"{{% if {PLANS} %}}{PLAN}{{% else %}}{command}{{% endif %}}" if is_dated else command,
        trigger_rule="none_failed",
        execution_timeout=timedelta(minutes=5),
        doc_md="Notes the version of every table, so that all tasks of this run read the same data.",
    )


def job(
    name: str,
    *,
    writes: str | None = None,
    days: tuple[str, str | None] = (FROM, TO),
    given: Mapping[str, str] | None = None,
    on_engine: bool = True,
    **more: Any,
) -> BaseOperator:
    """Make the task that runs a job.

    `writes` is its table: of its own name by default, none if empty. `days` are templates of its interval,
    and `given` of what it is told in place of conf/. A job that needs no Spark is not `on_engine`.
    """
    first, after = days
    arguments = ["--from", first, *(["--to", after] if after else []), "--dag-run", RUN]
    for key, template in (given or {}).items():
        arguments += ["--with", f"{{{{ ('{key}=' ~ ({template} | to_json)) | quote }}}}"]
    shared: dict[str, Any] = {
        "task_id": name,
        "pool": SPARK_POOL if on_engine else "default_pool",
        "outlets": [table(writes or name)] if writes != "" else [],
        "doc_md": f"Runs the job `{name}`: `vitrine run {name} --help` tells what it reads and writes.",
        **more,
    }
    if on_engine and configured("engine", "kind") == "submit":
        return _submitted(name, arguments, shared)
    login = store_login()
    shared |= {"env": login, "append_env": True} if login else {}
    return BashOperator(bash_command=" ".join(["vitrine", "run", name, *arguments]), **shared)


def store_login() -> dict[str, str]:
    """Return the variables that hold the store's user and password, from the connection that conf/ names."""
    name = configured("store", "connection")
    parts = {"VITRINE_STORE_USER": "login", "VITRINE_STORE_PASSWORD": "password"}
    # Airflow hides the password of a connection wherever it would be shown.
    return {key: f"{{{{ conn.{name}.{part} or '' }}}}" for key, part in parts.items()} if name else {}


def alone(name: str, command: str, **more: Any) -> BaseOperator:
    """Make the task that runs a command while no job does: it takes every slot of the jobs' pool."""
    # As many as jobs.house.airflow gives the pool; with fewer there the task would wait for ever.
    slots = max(1, int(configured("airflow", "parallelism")) - 1)
    return BashOperator(task_id=name, bash_command=command, pool=SPARK_POOL, pool_slots=slots, **more)


def wait_for(name: str, *, at_most: timedelta | None = None) -> BaseOperator:
    """Make the task that waits, without holding a slot, until `runs` says that a job has done the run's days.

    It waits for the days, not for another DAG's run: so a backfill and a run by hand find theirs too. What it
    can do without it awaits `at_most` so long: then the task is skipped, and those after it go on.
    """
    command = f"vitrine ready {name} --from {FROM} --to {TO}"
    return BashSensor(
        task_id=f"wait_for_{name}",
        # A plan says itself what it would wait for.
        bash_command=f"{{% if {PLANS} %}}true{{% else %}}{command}{{% endif %}}",
        retry_exit_code=1,
        mode="reschedule",
        poke_interval=30,
        timeout=(at_most or timedelta(hours=3)).total_seconds(),
        soft_fail=at_most is not None,
        retries=0,
        doc_md=f"Waits for the days' row of `{name}` in the table `runs`.",
    )


def connect(tasks: Mapping[str, BaseOperator], needs: Mapping[str, Sequence[str]]) -> None:
    """Put every task after those that it needs."""
    for name, before in needs.items():
        for other in before:
            tasks[other] >> tasks[name]


def _submitted(name: str, arguments: list[str], shared: dict[str, Any]) -> BaseOperator:
    from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

    # Arguments go to spark-submit as a list, with no shell between: nothing is quoted.
    plain = [argument.replace(" | quote", "") for argument in arguments]
    home = Path(os.environ.get("VITRINE_HOME") or ROOT / "var")
    return SparkSubmitOperator(
        application=str(ROOT / "jobs" / f"{name}.py"),
        application_args=plain,
        conn_id="vitrine_engine",
        jars=",".join(str(jar) for jar in sorted((home / "jars").glob("*.jar"))),
        conf=dict(configured("engine", "settings") or {}),
        name=f"vitrine-{name}",
        env_vars=store_login(),
        **shared,
    )
