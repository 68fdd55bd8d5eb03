"""Drift: how far features, scores and rewards have moved since training and since the last sales period.

**Runs** every night at 03:00 for the day that is over, as soon as `runs` says that its scores are there. For
other days trigger it with `start` and `end` (both included), or backfill it.

**Reads** subject_features, subject_scores and feedback, of the days and of those at the same point of earlier
sales periods. **Writes** drift. Where something moved beyond the upper bound since a champion was trained,
its last task, `closing`, tells `closing_training` the newest closing once more, once in a sales period: that
run trains only if the closing's examples have changed since.

What newly moved beyond a bound on the newest day is told once: alarms, else what is watched. The page
*Drift* under *Browse* shows what has moved, how far and for whom.

**Late or failed**, it holds nobody up.

**When a task fails**, mend what the end of its log names and clear the task.
"""

from airflow.sdk import DAG
from wiring import FROM, TO, connect, daily, job, pin, tell_closings, tell_drift, wait_for

NEEDS = {
    "pin": ["wait_for_subject_scores", "wait_for_feedback"],
    "drift": ["pin"],
    "closing": ["drift"],
}

with DAG("drift", doc_md=__doc__, description="What has moved since training?", **daily()) as dag:
    tasks = {
        "wait_for_subject_scores": wait_for("subject_scores"),
        "wait_for_feedback": wait_for("feedback"),
        "pin": pin(),
        "drift": job("drift", on_success_callback=tell_drift),
        "closing": tell_closings(
            f"vitrine closing drifted --from {FROM} --to {TO}",
            "Nothing alarmed that was not told already.",
        ),
    }
    connect(tasks, NEEDS)
