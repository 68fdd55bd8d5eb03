"""Files in MLflow of models that were never promoted: they go, and the versions stay with their figures.

`models` holds the models themselves, and `releases` says who was promoted; MLflow only shows it. So nothing
that a roll-back needs is touched here.

Reads   releases; MLflow's registry
Writes  MLflow's artifacts
"""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobs.config import Config
from jobs.releases import promoted
from jobs.reports import tracking
from jobs.tables import Tables

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Refused:
    """A version that was never promoted, and where its files are."""

    version: str
    artifacts: str


def find(config: Config, before: datetime) -> tuple[list[Refused], list[str]]:
    """Return the versions registered before an instant that were never promoted and still have files.

    Beside them those whose run is gone from MLflow, and with it where their files are.
    """
    if not (os.environ.get("MLFLOW_TRACKING_URI") or (config.home / "mlflow" / "mlflow.db").exists()):
        return [], []
    kept = set(promoted(Tables(config.tables)))
    client, found, lost = tracking(config), [], []
    for one in client.search_model_versions():
        version = one.tags.get("model_version", "")
        is_old = one.creation_timestamp < before.timestamp() * 1000
        if is_old and version and version not in kept:
            address = _artifacts(client, str(one.run_id))
            if address is None:
                lost.append(version)
            elif _repository(address).list_artifacts():
                found.append(Refused(version, address))
    return sorted(found, key=lambda one: one.version), sorted(lost)


def _artifacts(client: "MlflowClient", run: str) -> str | None:
    """Return where a run's files are, None where there is no such run."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run).info.artifact_uri)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def remove(refused: Refused) -> None:
    """Delete a version's files."""
    _repository(refused.artifacts).delete_artifacts()


def _repository(address: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(address)
