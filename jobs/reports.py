"""Reports for a person: an HTML file under reports/ in the data home, and the same in MLflow."""

import os
from collections.abc import Mapping
from pathlib import Path

from jobs.config import Config


def keep(
    config: Config, kind: str, name: str, html: str, *, measures: Mapping[str, float], tags: Mapping[str, str]
) -> Path:
    """Write reports/KIND/NAME.html, and one MLflow run of that name: written again, it is the same run."""
    target = config.home / "reports" / kind / f"{name.replace(':', '-')}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(html, encoding="utf-8")
    for variable, value in (("MLFLOW_DISABLE_TELEMETRY", "true"), ("GIT_PYTHON_REFRESH", "quiet")):
        os.environ.setdefault(variable, value)
    # Half a second of imports, for reports alone.
    import mlflow

    folder = config.home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    client = mlflow.MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}")
    known = client.get_experiment_by_name(kind)
    experiment = (
        known.experiment_id
        if known
        else client.create_experiment(kind, artifact_location=(folder / "artifacts").as_uri())
    )
    found = client.search_runs([experiment], f"attributes.run_name = '{name}'", max_results=1)
    run = (found[0] if found else client.create_run(experiment, run_name=name)).info.run_id
    for measure, figure in measures.items():
        client.log_metric(run, measure, figure)
    for tag, text in tags.items():
        client.set_tag(run, tag, text)
    client.log_artifact(run, str(target))
    client.set_terminated(run)
    return target
