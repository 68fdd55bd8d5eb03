"""MLflow's registry mirrors `models` and `releases`: it shows what was decided, and decides nothing."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.config import Config
from jobs.reports import experiment_of, tracking

EXPERIMENT = "models"
CHAMPION, CHALLENGER = "champion", "challenger"


def mirror(
    config: Config, model: Mapping[str, Any], verdict: Mapping[str, Any], measures: Mapping[str, float]
) -> None:
    """Register a version as challenger, with signature, lineage and verdict; again, it is the same one."""
    client = tracking(config)
    name, version = model["name"], model["model_version"]
    number = _number(client, name, version)
    if number is None:
        run = _run(client, config, model, measures)
        _log(client, run, model)
        known = [one.name for one in client.search_registered_models(f"name = '{name}'")]
        if not known:
            client.create_registered_model(name)
        source = f"{client.get_run(run).info.artifact_uri}/model"
        made = client.create_model_version(name, source, run, tags={"model_version": version})
        number = made.version
    for tag, text in _tags(model, verdict).items():
        client.set_model_version_tag(name, number, tag, text)
    client.set_registered_model_alias(name, CHALLENGER, number)


def alias_champion(config: Config, name: str, version: str | None) -> None:
    """Let the alias point to the version that releases say is live, if it was ever registered."""
    client = tracking(config)
    number = _number(client, name, version) if version else None
    if number is not None:
        client.set_registered_model_alias(name, CHAMPION, number)


def signature(model: Mapping[str, Any]) -> Any:
    """Return what the model takes and gives, as MLflow says it."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    takes: list[ColSpec | TensorSpec] = [ColSpec("float", name, required=False) for name in model["features"]]
    takes += [ColSpec("string", name, required=False) for name in model["categories"]]
    return ModelSignature(Schema(takes), Schema([ColSpec("double", name) for name in model["classes"]]))


def _number(client: Any, name: str, version: str) -> Any:
    found = client.search_model_versions(f"name = '{name}'")
    return next((one.version for one in found if one.tags.get("model_version") == version), None)


def _run(client: Any, config: Config, model: Mapping[str, Any], measures: Mapping[str, float]) -> str:
    of = experiment_of(client, config, EXPERIMENT)
    run = client.create_run(of, run_name=model["model_version"]).info.run_id
    for measure, value in measures.items():
        client.log_metric(run, measure, value)
    for key, value in json.loads(model["spec"])["learning"].items():
        client.log_param(run, key, value)
    client.set_terminated(run)
    return str(run)


def _log(client: Any, run: str, model: Mapping[str, Any]) -> None:
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.bin").write_bytes(bytes(model["model"]))
        about = Model(run_id=run, signature=signature(model))
        about.add_flavor(
            "vitrine", algorithm=model["algorithm"], data="model.bin", digest=model["model_digest"]
        )
        about.save(str(Path(folder) / "MLmodel"))
        client.log_artifacts(run, folder, "model")


def _tags(model: Mapping[str, Any], verdict: Mapping[str, Any]) -> dict[str, str]:
    inputs = {
        f"input.{table}": f"version {version}" for table, version in dict(model["inputs"] or {}).items()
    }
    return {
        **inputs,
        "closing_id": str(model["closing_id"]),
        "as_of_date": str(model["as_of_date"]),
        "digest": model["digest"],
        "verdict": verdict["verdict"],
        "why": verdict["why"],
        "decided_by": verdict["decided_by"],
    }
