"""Tomorrow's layouts: ranks and draws one layout per subject and page, and exports them to the store.

**Runs** every night at 03:00 for the day that is over, as soon as `runs` says that the day's features and
policies are there: it waits for the day, not for a run of `lake_etl`, so a backfill or a run by hand
finds its day too.

**Reads** subject_features, policies and what describes products and widgets. **Writes** product_lists,
layouts and exports, then the store: what readers get changes in one step, after the new generation was
verified.

**History is not rewritten.** A run for a day older than the live generation's writes its layouts under a
scenario's name and exports nothing, so whatever is backfilled, in any order, the newest day stays live.

**When a task fails**, the live generation stays as it is. Mend what the end of the log names and clear
the task.
"""

from airflow.sdk import DAG
from wiring import connect, daily, job, pin, wait_for

NEEDS = {
    "pin": ["wait_for_subject_features", "wait_for_policies"],
    "product_lists": ["pin"],
    "layouts": ["product_lists"],
    "export": ["layouts"],
}

with DAG(
    "nightly_layouts", doc_md=__doc__, description="Tomorrow's layouts, into the store", **daily()
) as dag:
    waits = {f"wait_for_{name}": wait_for(name) for name in ("subject_features", "policies")}
    jobs = {name: job(name) for name in ("product_lists", "layouts")}
    connect({**waits, **jobs, "pin": pin(), "export": job("export", writes="exports")}, NEEDS)
