"""Policies, judged before anybody sees them: fits every spec, estimates what it would earn, and decides.

**Runs** every night at 03:00 for the day that is over, as soon as `runs` says that the day's statistics are
there. For other days trigger it with `start` and `end` (both included), or backfill it: a range at once gives
the same rows as day by day.

**Reads** feedback, contexts and bandit_statistics. **Writes** policies, judgements, policy_values and
releases: the gate's verdict on each spec, yes, no or cannot tell, with its reasons; and a report for a
person, under reports/policies in the data home and in MLflow. A serving counts from the night on by which all
that may come of it has come, mostly the next. Days of the last `late_days` whose feedback was rebuilt are
judged again; verdicts that readers have seen stay.

**Late or failed**, it holds nobody up: `nightly_layouts` waits for it for an hour, then goes on with the
policy that is live.

**When a task fails**, mend what the end of its log names and clear the task.
"""

from airflow.sdk import DAG
from wiring import connect, daily, job, pin, tell_verdicts, wait_for

NEEDS = {
    "pin": ["wait_for_bandit_statistics"],
    "policies": ["pin"],
    "judgements": ["policies"],
    "policy_values": ["judgements"],
    "gate": ["judgements"],
    "policy_report": ["policy_values", "gate"],
}

with DAG(
    "policy_evaluation",
    doc_md=__doc__,
    description="May a policy go live? Values, report, verdicts",
    **daily(),
) as dag:
    tasks = {
        "wait_for_bandit_statistics": wait_for("bandit_statistics"),
        "pin": pin(),
        **{name: job(name) for name in ("policies", "judgements", "policy_values")},
        "gate": job("gate", writes="releases", on_success_callback=tell_verdicts),
        "policy_report": job("policy_report", writes=""),
    }
    connect(tasks, NEEDS)
