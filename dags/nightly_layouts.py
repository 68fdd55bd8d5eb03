"""Tomorrow's layouts: ranks and draws one layout per subject and page, and exports them to the store.

**Runs** every night at 03:00 for the day that is over, as soon as `runs` says that the day's features are
there and the gate has decided: it waits for the day, not for a run of another DAG, so a backfill or a run by
hand finds its day too. For the gate it waits an hour at most: if the evaluation is late, the live policy
stays.

**Reads** subject_features, policies, releases (which policy is live) and what describes products and widgets.
**Writes** product_lists, layouts and exports, then the store: what readers get changes in one step, after the
new generation was verified.

**A quiet subject costs nothing.** A draw stands for a week at most, while nothing that it was made of
changes; `layouts` draws and writes the others, and says how many stand.

**History is not rewritten.** A run for a day older than the live generation's writes its layouts under a
scenario's name and exports nothing, so whatever is backfilled, in any order, the newest day stays live.

**What is too far from the night before is not shown.** The export then stops and says what is beyond its
bounds; if that is as it should be, trigger the DAG for the day with `accept` set to the reason why.

**When a task fails**, the live generation stays as it is. Mend what the end of the log names and clear
the task.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param
from wiring import connect, daily, job, pin, wait_for

NEEDS = {
    "pin": ["wait_for_subject_features", "wait_for_gate"],
    "product_lists": ["pin"],
    "layouts": ["product_lists"],
    "export": ["layouts"],
}

ACCEPT = {
    "accept": Param(
        None,
        type=["null", "string"],
        description="why the new layouts are to be shown though they are beyond their bounds",
    )
}

with DAG(
    "nightly_layouts", doc_md=__doc__, description="Tomorrow's layouts, into the store", **daily(ACCEPT)
) as dag:
    waits = {
        "wait_for_subject_features": wait_for("subject_features"),
        # What readers see must not wait for what might replace it.
        "wait_for_gate": wait_for("gate", at_most=timedelta(hours=1)),
    }
    export = job("export", writes="exports", given={"accept": "params.get('accept')"})
    jobs = {name: job(name) for name in ("product_lists", "layouts")}
    connect({**waits, **jobs, "pin": pin(), "export": export}, NEEDS)
