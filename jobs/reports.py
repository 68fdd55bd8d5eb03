"""Reports for a person: an HTML file under reports/ in the data home, and the same in MLflow."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.config import Config

if TYPE_CHECKING:
    from mlflow import MlflowClient


def keep(
    config: Config,
    kind: str,
    name: str,
    html: str,
    *,
    experiment: str,
    measures: Mapping[int, Mapping[str, float]],
    tags: Mapping[str, str],
) -> Path:
    """Write reports/KIND/NAME.html, and one MLflow run of that name: written again, it is the same run.

    measures: figures by step, as the number of segments; one step where there is one set of them.
    """
    client = tracking(config)
    target = config.home / "reports" / kind / f"{name.replace(':', '-')}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(html, encoding="utf-8")
    of = experiment_of(client, config, experiment)
    found = client.search_runs([of], f"attributes.run_name = '{name}'", max_results=1)
    run = (found[0] if found else client.create_run(of, run_name=name)).info.run_id
    for step, figures in measures.items():
        for measure, figure in figures.items():
            client.log_metric(run, measure, figure, step=step)
    for tag, text in tags.items():
        client.set_tag(run, tag, text)
    client.log_artifact(run, str(target))
    client.set_terminated(run)
    return target


def experiment_of(client: "MlflowClient", config: Config, name: str) -> str:
    """Return the id of an experiment, made where there is none; its artifacts lie in the data home."""
    if known := client.get_experiment_by_name(name):
        return str(known.experiment_id)
    artifacts = (config.home / "mlflow" / "artifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=artifacts))


def tracking(config: Config) -> "MlflowClient":
    """Return the way to MLflow: the server that the environment names, else a database in the data home."""
    for variable, value in (("MLFLOW_DISABLE_TELEMETRY", "true"), ("GIT_PYTHON_REFRESH", "quiet")):
        os.environ.setdefault(variable, value)
    # Half a second of imports, for reports and models alone.
    import mlflow

    folder = config.home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return mlflow.MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}")
