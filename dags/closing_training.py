"""After each closing: examples, models, a verdict on each, scores for everyone, all by itself.

**Runs** once per closing, when `lake_etl` says that it ended: the asset `closing` carries its id as the key.
Several that end the same night run one after another, oldest first. By hand, start it with `closing_id`: any
closing that is over, whatever was trained before.

**Reads** what `lake_etl` has loaded, up to the closing's last day. **Writes** closing_examples, models,
model_values, the verdicts in releases (a challenger is promoted or the champion kept, with reasons in words),
a report (also in MLflow), and subject_scores: everyone, when there is a new champion.

**A closing that is told again** with nothing changed, as when a day of `lake_etl` is cleared, trains nothing:
the task `is_new` says so and the rest is skipped.

**When a task fails**, it is tried again, and then the run fails; the champion stays, and so do its scores.
Read the sentence at the end of its log, mend what it names and clear the task.
"""

from datetime import timedelta
from itertools import pairwise
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from wiring import RUN, TRAINING_POOL, job, keyed, pin, tell_verdicts

CLOSING = "{{ closing_id(params, dag_run) | quote }}"
DAY = ("{{ ti.xcom_pull(task_ids='closing') }}", None)
SHARED: dict[str, Any] = {"days": DAY, "pool": TRAINING_POOL}
GIVEN = {"closing_id": "closing_id(params, dag_run)"}
BY_HAND = "echo 'Started by hand: it trains, whatever was trained before.'"
TOLD = f"vitrine closing is-new {CLOSING} {DAY[0]} --dag-run {RUN}"

with DAG("closing_training", doc_md=__doc__, description="Models after each closing", **keyed()) as dag:
    tasks = {
        "closing": BashOperator(
            task_id="closing",
            bash_command=f"vitrine closing last-day {CLOSING}",
            execution_timeout=timedelta(minutes=5),
            doc_md="Finds the closing's last day; fails where it is not over, or was called off.",
        ),
        "pin": pin(is_dated=False),
        "closing_examples": job("closing_examples", **SHARED),
        "is_new": BashOperator(
            task_id="is_new",
            bash_command=f"{{% if params.closing_id %}}{BY_HAND}{{% else %}}{TOLD}{{% endif %}}",
            execution_timeout=timedelta(minutes=5),
            doc_md="Skips the rest where a finished run trained on the same examples.",
        ),
        "models": job("models", given=GIVEN, **SHARED),
        "model_values": job("model_values", **SHARED),
        "model_gate": job("model_gate", writes="releases", on_success_callback=tell_verdicts, **SHARED),
        "model_report": job("model_report", writes="", **SHARED),
        "subject_scores": job("subject_scores", **SHARED),
    }
    for before, after in pairwise(tasks.values()):
        before >> after
