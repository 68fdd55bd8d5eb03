"""Registers the rule by which tonight's tasks go before those of backfills: jobs/house/priority.py."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from jobs.house.priority import NightFirst


class Priorities(AirflowPlugin):
    """Adds the rule."""

    name = "vitrine_priorities"
    priority_weight_strategies: list[Any] = [NightFirst]
