"""models: after a closing, each spec of conf/models trained on the closings whose next period is known.

Reads   closing_examples up to the day, closings; models of the day (versions that were released are handed
        through, and so are those of specs that are not asked for); releases
Writes  models, partition as_of_date
On failure, mend the cause and clear the task: a rerun trains the same models again, to the same digest.

A spec that cannot be learned, as one without labels, is told in the log and left out; when none can, the run
stops. Only a sample comes to the driver: 100,000 subjects a closing with 50 features are 40 MB.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.closing_periods import periods
from jobs.config import ConfigError
from jobs.contracts import contract
from jobs.example_arrays import Rows, collect
from jobs.model_specs import ModelSpec
from jobs.publish import Stopped
from jobs.releases import APPROVED, MODEL
from jobs.shell import Days, Job, State
from jobs.training import Trained, train
from jobs.training_examples import Prepared, prepare
from ml.classify import digest_of

LOG = logging.getLogger(__name__)


def build(
    closing_examples: DataFrame,
    closings: DataFrame,
    models: DataFrame,
    releases: DataFrame,
    *,
    days: Sequence[date],
    input_versions: Mapping[str, int],
    model_specs: Mapping[str, ModelSpec],
    seed: int,
    home: Path,
    only: list[str] | None = None,
    closing_id: str | None = None,
    test_closings: int = 1,
    sample_rows: int = 100_000,
    trials: int = 0,
) -> DataFrame:
    """Train each spec after the closing that ends on each day.

    Raises
    ------
    Stopped
        When no closing ends on a day, or no spec can be learned.

    """
    wanted = _wanted(model_specs, only)
    about = contract("models")
    made: list[dict[str, Any]] = []
    for day in days:
        closing = closing_ending(closings, day, closing_id)
        rows = collect(closing_examples, day, sample_rows=sample_rows, seed=seed)
        made += _trained(rows, wanted, closing, day, input_versions, seed, test_closings, trials, home)
    fresh = {row["model_version"] for row in made}
    table = [tuple(row[name] for name in about.columns) for row in made]
    is_mine = F.col("name").isin([spec.name for spec in wanted])
    said_yes = releases.where((F.col("kind") == MODEL) & (F.col("verdict") == APPROVED))
    released = [row["version"] for row in said_yes.select("version").distinct().collect()]
    kept = models.where(~F.col("model_version").isin(list(fresh)))
    others = kept.where(~is_mine)
    old = kept.where(is_mine & F.col("model_version").isin(released)).withColumn("is_current", F.lit(False))
    frame = models.sparkSession.createDataFrame(table, about.ddl)
    columns = list(about.columns)
    return frame.unionByName(others.select(columns)).unionByName(old.select(columns))


def closing_ending(closings: DataFrame, day: date, closing_id: str | None = None) -> str:
    """Return the id of the closing that ends on a day, by the newest change of each.

    Raises
    ------
    Stopped
        When none does, or not the one that was asked for.

    """
    known = periods((row.asDict() for row in closings.collect()), before=day + timedelta(1))
    ending = sorted(one.closing_id for one in known if one.last_date == day)
    if closing_id is not None and closing_id not in ending:
        raise Stopped(f"The closing {closing_id} does not end on {day}: give the day on which it ends.")
    if not ending:
        raise Stopped(f"No closing ends on {day}: models are trained after one; give its last day.")
    return closing_id or ending[-1]


def _trained(
    rows: Rows, specs: Iterable[ModelSpec], closing: str, day: date, inputs: Mapping[str, int], seed: int,
    test_closings: int, trials: int, home: Path,
) -> list[dict[str, Any]]:  # fmt: skip
    made, told = [], []
    for spec in specs:
        try:
            prepared = prepare(rows, spec, test_closings)
        except Stopped as error:
            LOG.warning("Not trained: %s", error)
            told.append(str(error))
            continue
        trained = train(prepared, seed=seed, trials=trials, home=home)
        made += [_row(prepared, model, closing, day, inputs) for model in trained]
    if not made:
        raise Stopped(f"No model can be trained as of {day}. {told[0] if told else 'conf/models has none.'}")
    return made


def _row(
    prepared: Prepared, model: Trained, closing: str, day: date, inputs: Mapping[str, int]
) -> dict[str, Any]:
    spec, shape = prepared.spec, prepared.train.shape
    data, digest = model.core.dump(), model.core.digest()
    parts = "\n".join((spec.digest, model.algorithm, closing, digest))
    short = hashlib.blake2b(parts.encode(), digest_size=4).hexdigest()
    is_candidate = model.algorithm == spec.algorithm
    name = spec.name if is_candidate else f"{spec.name}/{model.algorithm}"
    return {
        "model_version": f"{name}@{day}-{short}",
        "name": spec.name,
        "closing_id": closing,
        "as_of_date": day,
        "spec": spec.model_dump_json(),
        "spec_digest": spec.digest,
        "digest": digest,
        "algorithm": model.algorithm,
        "is_candidate": is_candidate,
        "is_current": True,
        "task": spec.task,
        "features": list(shape.features),
        "categories": list(shape.categories),
        "category_values": {name: list(values) for name, values in shape.categories.items()},
        "classes": list(shape.classes),
        "calibration": [one.kind for one in model.calibration],
        "calibration_values": [list(one.values) for one in model.calibration],
        "trees": model.trees,
        "train": prepared.split.train,
        "validate": prepared.split.validate,
        "test": prepared.split.test,
        "rows": len(prepared.train),
        "metrics": model.metrics,
        "notes": list(prepared.notes),
        "inputs": {
            name: version for name, version in inputs.items() if name in ("closing_examples", "closings")
        },
        "model": bytearray(data),
        "model_digest": digest_of(data),
    }


def _wanted(specs: Mapping[str, ModelSpec], only: list[str] | None) -> list[ModelSpec]:
    if unknown := sorted(set(only or ()) - set(specs)):
        raise ConfigError(f"There is no model {unknown[0]!r}; conf/models has {', '.join(sorted(specs))}.")
    return [specs[name] for name in sorted(specs) if only is None or name in only]


JOB = Job(
    build,
    # All closings are rebuilt in the same run; the day that is trained stays the one.
    reads=(State("closing_examples"), State("closings"), Days("models"), State("releases")),
    writes="models",
    current=("releases",),
)

if __name__ == "__main__":
    JOB.main()
