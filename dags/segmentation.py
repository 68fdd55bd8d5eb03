"""Segments that a person approves: fits, measures and profiles, then waits for an answer, then publishes.

**Runs** on the first of each month for the day before, and by hand: with a spec of conf/segmentations, a
number of segments or a range (`2-8`), other features, roles and seed. `as_of` empty is the newest day whose
features are there.

**Asks** with the task `approval`, which links the report: approve the suggested k, or enter another that was
fitted, and name the segments; or reject. Nobody's answer within two weeks is kept as *cannot tell*. Who
answered, when and why is a row of `releases`. **Only an approved version gets rows in `segments`**; until
then, and after a rejection, readers stay on the one approved before.

**Reads** subject_features, subject_daily, feedback and sessions. **Writes** segmentations, segment_profiles,
a report (also in MLflow), releases and segments.

**When a task fails**, read the sentence at the end of its log. If `releases` could not take the answer, clear
`approval`, and it asks anew; else mend what is named and clear the task.
"""

from datetime import timedelta
from itertools import pairwise
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, Param, task
from wiring import connect, job, monthly, pin

# The same request for every job: so they find each other's rows.
ASKED = {name: f"params.{name}" for name in ("segmentation", "k", "roles", "columns", "seed")}
ANSWER = {"answer": "ti.xcom_pull(task_ids='approval')"}
DAY = ("{{ ti.xcom_pull(task_ids='as_of') }}", None)
TOLD = "{% set told = ti.xcom_pull(task_ids='segment_report') | from_json %}"

BODY = (
    TOLD
    + """{{ told.reason }}

**[Read the report](/vitrine/reports/{{ told.report | urlencode }})** for every k, then answer here.

{% if told.segments %}
| # | suggested name | subjects | of all | of revenue |
|---|---|---|---|---|
{%- for row in told.segments %}
| {{ row.segment }} | {{ row.name }} | {{ row.subjects }} | {{ row.share }} | {{ row.revenue }} |
{%- endfor %}
{% endif %}

Fitted: k = {{ told.fitted | join(', ') }}. Leave `chosen_k` and `names` empty to take what is suggested.
"""
)


OPTIONAL_LIST = {"type": ["null", "array"], "items": {"type": "string"}}
PARAMS = {
    "segmentation": Param("rfm", type="string", description="a file of conf/segmentations"),
    "k": Param(
        None,
        type=["null", "string"],
        pattern=r"^\d+(-\d+)?$",
        description="segments, as 4, or a range, as 2-8; the spec's if empty",
    ),
    "roles": Param(None, **OPTIONAL_LIST, description="only these roles, one a line; all if empty"),
    "columns": Param(None, **OPTIONAL_LIST, description="other features, one a line; the spec's if empty"),
    "seed": Param(None, type=["null", "integer"], description="of sample and starts; conf's if empty"),
    "as_of": Param(
        None, type=["null", "string"], format="date", description="day of the features; the newest if empty"
    ),
}
ANSWERED = {
    # Not `k`: what a run is started with has precedence over a task's own parameters of the same name.
    "chosen_k": Param(
        None, type=["null", "integer"], description="one of those fitted; the suggested if empty"
    ),
    "names": Param(None, **OPTIONAL_LIST, description="one a line, in order; those suggested if empty"),
    "why": Param(None, type=["null", "string"], description="a sentence for those who come later"),
}

with DAG(
    "segmentation", doc_md=__doc__, description="Segments that a person approves", **monthly(PARAMS)
) as dag:
    as_of = BashOperator(
        task_id="as_of",
        bash_command="vitrine newest subject_features {{ last_day(params, dag_run) }}",
        execution_timeout=timedelta(minutes=5),
        doc_md="Finds the day: the one asked for, or the newest whose features are there.",
    )
    approval = HITLOperator(
        task_id="approval",
        subject=TOLD + "Segments {{ told.request }}: which k, and what are they called?",
        body=BODY,
        options=["Approve", "Reject"],
        defaults=["Reject"],
        params=ANSWERED,
        response_timeout=timedelta(days=14),
        execution_timeout=None,
        # An answer within a second of the question fails the task, which was not parked yet: it asks again.
        retries=3,
        retry_delay=timedelta(seconds=1),
        retry_exponential_backoff=False,
        doc_md="Waits for a person: approve, reject, or choose another k and name the segments.",
    )

    @task.short_circuit
    def approved(response: dict[str, Any]) -> bool:
        """Go on only where the answer was to approve."""
        return response["chosen_options"] == ["Approve"]

    tasks = {
        "as_of": as_of,
        "pin": pin(is_dated=False),
        "segmentations": job("segmentations", days=DAY, given=ASKED),
        "segment_profiles": job("segment_profiles", days=DAY, given=ASKED),
        "segment_report": job("segment_report", writes="", days=DAY, given=ASKED, on_engine=False),
        "approval": approval,
        # An answer that cannot be taken is asked anew, not tried again.
        "releases": job("releases", days=DAY, given={**ASKED, **ANSWER}, on_engine=False, retries=0),
        "approved": approved(approval.output),
        "segments": job("segments", days=DAY),
    }
    connect(tasks, {name: [before] for before, name in pairwise(tasks)})
