"""Keeps house: what nobody needs any more goes, and so do old days and who asked to be forgotten.

**Runs** on Sundays at noon, and by hand: `as_of` empty is the newest day that `lake_etl` has loaded, so a
lake that stands still loses nothing of its tables. `plan` only says what would go, in the log of its task.

**Removes**, by the bounds of `maintenance` in conf/: days beyond the contracts' `retention_days`, rows of who
is forgotten, files that left a table more than a week ago, rows of `runs` that nothing rests on, what killed
exports left in the store, old reports, logs, files of models that were never promoted, and old runs in
Airflow's database. Small files are put together, and long logs of tables summed up.

**Keeps**, whatever its age, what a promise rests on: versions of tables that champions and the store's
generations were made from, both colours of the store, models that were ever promoted, each DAG's last run.
The task `plan` lists what stays and why. Time travel and DAG runs that are cleared reach back a week.

**Runs alone**: its task takes every slot of the pool `spark`, so it waits until no job of a night is at work,
and none begins before it is done. Where the pool is made by hand, it needs `airflow.parallelism` less one
slots. `closing_training` has a pool of its own: where it changed a table meanwhile, the sweep says so, leaves
that table as it was, and tries again.

**When a task fails**, read the sentence at the end of its log, mend what it names, and clear the task: what
was done stays done, and it goes on with the rest.
"""

from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param
from wiring import RUN, alone, connect, weekly

PARAMS = {
    "as_of": Param(
        None, type=["null", "string"], format="date", description="as of this day; the newest if empty"
    ),
    "plan": Param(False, type="boolean", description="only say what would go, and remove nothing"),
}
DAY = "{{ ti.xcom_pull(task_ids='as_of') }}"
ONLY_PLANNED = "echo 'Only planned: nothing was removed.'; exit 99"

with DAG("maintenance", doc_md=__doc__, description="Keeps house, once a week", **weekly(PARAMS)) as dag:
    tasks = {
        "as_of": BashOperator(
            task_id="as_of",
            bash_command="vitrine newest erasures {{ last_day(params, dag_run) }}",
            execution_timeout=timedelta(minutes=5),
            doc_md="Finds the day: the one asked for, or the newest that is loaded.",
        ),
        "plan": BashOperator(
            task_id="plan",
            bash_command=f"vitrine maintenance {DAY} --dry-run",
            execution_timeout=timedelta(hours=1),
            doc_md="Says in its log what would go, and what stays and why.",
        ),
        "keep_house": alone(
            "keep_house",
            f"{{% if params.plan %}}{ONLY_PLANNED}{{% else %}}vitrine maintenance {DAY} --dag-run {RUN}"
            "{% endif %}",
            doc_md="Removes what nobody needs any more: `vitrine maintenance --help`.",
        ),
    }
    connect(tasks, {"plan": ["as_of"], "keep_house": ["plan"]})
