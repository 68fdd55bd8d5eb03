"""Which task goes first when a pool is full: those of tonight's run, before those of backfills and by hand.

Airflow starts a scheduled run before a backfill's, but hands out the slots of a pool by weight and then by
date, the oldest first: a backfill of past days would take every slot before the night does. The plugins
register this rule, which the DAGs name; it is asked once for each task of each run.
"""

from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

NIGHT = 10_000
"""More than any DAG has tasks."""
SCHEDULED = ("scheduled__", "asset_triggered__")


class NightFirst(PriorityWeightStrategy):
    """A task counts by how many wait for it, and one of a run that came by itself goes before all others."""

    def get_weight(self, ti: "TaskInstance") -> int:
        """Return the weight of a task of a run."""
        assert ti.task is not None
        waiting = len(ti.task.get_flat_relative_ids(upstream=False))
        came_by_itself = str(ti.run_id or "").startswith(SCHEDULED)
        return 1 + waiting + (NIGHT if came_by_itself else 0)
