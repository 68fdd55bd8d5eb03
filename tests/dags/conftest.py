"""DAGs as the DAG processor sees them: parsed without a database, rendered without a run."""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = tempfile.TemporaryDirectory(prefix="vitrine-dags-")
# Airflow reads its home when it is first imported, which must not leave a folder in somebody's home.
os.environ.setdefault("AIRFLOW_HOME", SCRATCH.name)
os.environ.setdefault("AIRFLOW_CONFIG", str(ROOT / "conf" / "airflow" / "airflow.cfg"))
os.environ.setdefault("AIRFLOW__CORE__DAGS_FOLDER", str(ROOT / "dags"))
os.environ.setdefault("AIRFLOW__CORE__PLUGINS_FOLDER", str(ROOT / "jobs" / "house" / "plugins"))
os.environ.setdefault("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{SCRATCH.name}/airflow.db")
sys.path.insert(0, str(ROOT / "dags"))

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(scope="session")
def dags() -> Mapping[str, Any]:
    """Return the project's DAGs by id."""
    import closing_training
    import drift
    import lake_etl
    import maintenance
    import nightly_layouts
    import policy_evaluation
    import segmentation

    daily = (lake_etl, policy_evaluation, nightly_layouts, drift)
    modules = (*daily, segmentation, closing_training, maintenance)
    return {module.dag.dag_id: module.dag for module in modules}


@pytest.fixture
def run() -> Callable[..., SimpleNamespace]:
    """Return a maker of DAG runs: `run(day=…)` is a scheduled run or a backfill of that business day."""

    def make(*, day: date | None = None, **fields: Any) -> SimpleNamespace:
        start = (
            datetime(day.year, day.month, day.day, 3, tzinfo=NEW_YORK).astimezone(ZoneInfo("UTC"))
            if day
            else None
        )
        told = {
            "logical_date": start,
            "data_interval_start": start,
            "partition_key": None,
            "run_after": start,
        }
        return SimpleNamespace(**{**told, **fields})

    return make


@pytest.fixture
def render() -> Callable[..., Any]:
    """Return a function that renders a template as it would be in a run."""

    def rendered(task: Any, template: Any, dag_run: Any, run_id: str, **params: str) -> Any:
        context = {"params": params, "dag_run": dag_run, "run_id": run_id, "dag": task.dag}
        return task.render_template(template, context, task.dag.get_template_env())

    return rendered
