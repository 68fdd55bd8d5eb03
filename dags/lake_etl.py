"""Lake to tables: loads the days' arrivals, joins what was shown with what came of it, and learns from it.

**Runs** every night at 03:00 for the day that is over. For other days trigger it with `start` and `end`
(both included), or backfill it: a range at once gives the same rows as day by day.

**Reads** the lake. **Writes** every table from `events` to `bandit_statistics`; what is wrong in a row goes
to `quarantine`. Where a closing ended in these days, its last task, `closing`, starts `closing_training`.

**When a task fails**, read the sentence at the end of its log, mend what it names, and clear the task
with downstream: its rerun replaces the same partitions, and the tasks after it follow.
"""

from airflow.sdk import DAG
from wiring import FROM, TO, connect, daily, job, pin, tell_closings

# Each table, and the tables of this run that it is made from.
NEEDS = {
    "erasures": ["pin"],
    "users": ["erasures"],
    "products": ["pin"],
    "widgets": ["pin"],
    "closings": ["pin"],
    "consents": ["erasures"],
    "product_vectors": ["products"],
    "orders": ["users"],
    "order_lines": ["orders", "products"],
    "subject_products": ["order_lines"],
    "events": ["users", "widgets", "consents"],
    "sessions": ["events"],
    "decisions": ["events"],
    "outcomes": ["events", "order_lines"],
    "identities": ["events"],
    "feedback": ["decisions", "outcomes"],
    "subject_daily": ["order_lines", "feedback"],
    "widget_stats": ["feedback"],
    "subject_widgets": ["feedback"],
    "subject_vectors": ["product_vectors", "identities", "outcomes"],
    "subject_totals": ["subject_daily"],
    "subject_features": ["subject_totals", "widget_stats", "subject_widgets", "subject_vectors"],
    "segments": ["subject_features"],
    "subject_scores": ["segments"],
    "contexts": ["subject_features"],
    "bandit_statistics": ["contexts"],
    "bandit_totals": ["bandit_statistics"],
    # Segments too: examples have them, and trained anew they must be the same.
    "closing": ["closings", "bandit_statistics", "segments"],
}

with DAG("lake_etl", doc_md=__doc__, description="Lake to tables, night by night", **daily()) as dag:
    jobs = {name: job(name) for name in NEEDS if name != "closing"}
    ended = tell_closings(f"vitrine closing ended --from {FROM} --to {TO}", "No closing ended in these days.")
    tasks = {"pin": pin(), **jobs, "closing": ended}
    connect(tasks, NEEDS)
