"""The business day that a run of Airflow's is for by itself; what it was asked for is not looked at.

DAGs ask when a task is rendered, and a plugin when a run is made: this imports nothing, and they import it
then, so that parsing DAGs loads no job.
"""

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo


def of_run(dag_run: Any, zone: ZoneInfo) -> date | None:
    """Return its partition's day, else its interval's first, else the one before; None where it has no date.

    A run that has no interval, as one by hand, is for the last day that was over when it began.
    """
    if getattr(dag_run, "partition_key", None):
        return date.fromisoformat(dag_run.partition_key[:10])
    if dag_run.data_interval_start is not None:
        return dag_run.data_interval_start.astimezone(zone).date()  # type: ignore[no-any-return]
    at = dag_run.logical_date or dag_run.run_after
    return at.astimezone(zone).date() - timedelta(days=1) if at else None
