"""What tables may no longer hold leaves them: days beyond their retention, and who asked to be forgotten.

**Runs** on Sundays at noon, and by hand: `as_of` empty is the newest day that `lake_etl` has loaded, so a
lake that stands still loses nothing.

**Reads** erasures and the contracts' `retention_days`. **Writes** every table that holds what must go, file
by file, and deletes files that left a table more than a week ago: time travel and `vitrine replay` reach back
as far.

**Runs alone**: its task takes every slot of the pool `spark`, so it waits until no job of a night is at work,
and none begins before it is done. Where the pool is made by hand, it needs `airflow.parallelism` less one
slots. `closing_training` has a pool of its own: where it changed a table meanwhile, the sweep says so, leaves
that table as it was, and tries again.

**When a task fails**, read the sentence at the end of its log, mend what it names, and clear the task: what
was swept stays swept, and it goes on with the rest.
"""

from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param
from wiring import alone, connect, weekly

PARAMS = {
    "as_of": Param(
        None, type=["null", "string"], format="date", description="as of this day; the newest if empty"
    )
}

with DAG(
    "maintenance", doc_md=__doc__, description="Old days and the forgotten leave the tables", **weekly(PARAMS)
) as dag:
    tasks = {
        "as_of": BashOperator(
            task_id="as_of",
            bash_command="vitrine newest erasures {{ last_day(params, dag_run) }}",
            execution_timeout=timedelta(minutes=5),
            doc_md="Finds the day: the one asked for, or the newest that is loaded.",
        ),
        "sweep": alone(
            "sweep",
            "vitrine sweep {{ ti.xcom_pull(task_ids='as_of') }}",
            doc_md="Removes what tables may no longer hold: `vitrine sweep --help`.",
        ),
    }
    connect(tasks, {"sweep": ["as_of"]})
