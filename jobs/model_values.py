"""model_values: how good a closing's models are, beside each other and the champion, on closings not seen.

Reads   closing_examples and models up to the day; releases
Writes  model_values, partition as_of_date
On failure, mend the cause and clear the task: a rerun gives the same figures.

The champion is the one from before the day, so a rerun after the verdict measures the same.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.champions import champion
from jobs.contracts import contract
from jobs.example_arrays import collect
from jobs.judged_models import candidates, figures, row_of
from jobs.model_specs import ModelSpec
from jobs.publish import Stopped
from jobs.releases import MODEL
from jobs.shell import Job, State, Until


def build(
    closing_examples: DataFrame,
    models: DataFrame,
    releases: DataFrame,
    *,
    days: Sequence[date],
    seed: int,
    sample_rows: int = 100_000,
    resamples: int = 200,
) -> DataFrame:
    """Measure the models that were trained after the closing of each day.

    Raises
    ------
    Stopped
        When none was, or the bytes of one are not those that were kept.

    """
    about = contract("model_values")
    said = [row.asDict(recursive=True) for row in releases.where(F.col("kind") == MODEL).collect()]
    found: list[dict[str, Any]] = []
    for day in days:
        of_day = [
            row.asDict(recursive=True) for row in models.where(F.col("as_of_date") == F.lit(day)).collect()
        ]
        by_spec = candidates(of_day)
        if not by_spec:
            raise Stopped(f"No model was trained as of {day}: run models for it first.")
        before = {name: champion(said, name, day - timedelta(1)) for name in by_spec}
        live = _rows(models, [version for version in before.values() if version])
        rows = collect(closing_examples, day, sample_rows=sample_rows, seed=seed)
        for name, learners in sorted(by_spec.items()):
            spec = ModelSpec.model_validate_json(next(iter(learners.values()))["spec"])
            if before[name] and before[name] not in live:
                raise Stopped(
                    f"{name}: the champion {before[name]} is not in models: train its closing again, or roll"
                    f" back with `vitrine model rollback {name}`."
                )
            made = figures(rows, spec, learners, live.get(before[name] or ""), resamples=resamples, seed=seed)
            found += [row_of(one, learners[spec.algorithm]) for one in made]
    table = [tuple(row[name] for name in about.columns) for row in found]
    return models.sparkSession.createDataFrame(table, about.ddl)


def _rows(models: DataFrame, versions: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    if not versions:
        return {}
    found = models.where(F.col("model_version").isin(list(versions))).collect()
    return {row["model_version"]: row.asDict(recursive=True) for row in found}


JOB = Job(
    build,
    # All closings are rebuilt in the same run; the day that is trained stays the one.
    reads=(State("closing_examples"), Until("models"), State("releases")),
    writes="model_values",
    current=("releases",),
)

if __name__ == "__main__":
    JOB.main()
