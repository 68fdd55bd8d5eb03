"""Files in MLflow of models that were never promoted: they go, and the versions stay with their figures.

`models` holds the models themselves, and `releases` says who was promoted; MLflow only shows it. So nothing
that a roll-back needs is touched here.

Reads   releases; MLflow's registry
Writes  MLflow's artifacts
"""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.config import Config
from jobs.releases import promoted
from jobs.reports import tracking
from jobs.tables import Tables


@dataclass(frozen=True)
class Refused:
    """A version that was never promoted, and where its files are."""

    version: str
    artifacts: str


def find(config: Config, before: datetime) -> list[Refused]:
    """Return the versions registered before an instant that were never promoted and still have files."""
    if not (os.environ.get("MLFLOW_TRACKING_URI") or (config.home / "mlflow" / "mlflow.db").exists()):
        return []
    kept = set(promoted(Tables(config.tables)))
    client, found = tracking(config), []
    for one in client.search_model_versions():
        version = one.tags.get("model_version", "")
        is_old = one.creation_timestamp < before.timestamp() * 1000
        if is_old and version and version not in kept:
            address = client.get_run(str(one.run_id)).info.artifact_uri
            if _repository(address).list_artifacts():
                found.append(Refused(version, address))
    return sorted(found, key=lambda one: one.version)


def remove(refused: Refused) -> None:
    """Delete a version's files."""
    _repository(refused.artifacts).delete_artifacts()


def _repository(address: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(address)
