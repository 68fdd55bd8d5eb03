"""segments: each subject's segment as of a day, in the newest approved version of every segmentation.

Reads   subject_features of the days; segmentations up to the last day; releases
Writes  segments, partitions as_of_date and subject_bucket
On failure, mend the cause and clear the task: a rerun replaces the same partitions.

A day's version is the one that was approved last among those fitted up to that day. Scaling and centers are
frozen with it, so a subject's segment depends on its own features alone, on any split.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.contracts import contract
from jobs.releases import APPROVED, SEGMENTATION, newest
from jobs.segment_request import subject_values
from jobs.segmentations import table_of
from jobs.shell import Days, Job, Until
from ml import segments as ml

Batches = Iterator[pa.RecordBatch]


def build(
    subject_features: DataFrame, segmentations: DataFrame, releases: DataFrame, *, days: Sequence[date]
) -> DataFrame:
    """Assign every subject, in each segmentation that has an approved version."""
    about = contract("segments")
    judged = [row.asDict(recursive=True) for row in releases.where(F.col("kind") == SEGMENTATION).collect()]
    wanted = [row["version"] for row in judged if row["verdict"] == APPROVED]
    models = {
        row["segmentation_version"]: row.asDict(recursive=True)
        for row in segmentations.where(F.col("segmentation_version").isin(wanted)).collect()
    }
    # Days of one verdict go together: a part for each would start Python for every day of a year.
    days_of: dict[str, list[date]] = {}
    for day in days:
        for verdict in newest([row for row in judged if row["as_of_date"] <= day]).values():
            days_of.setdefault(verdict["release_id"], []).append(day)
    parts = [subject_features.sparkSession.createDataFrame([], about.ddl)]
    for verdict in judged:
        own = days_of.get(verdict["release_id"])
        if own:
            model = models[verdict["version"]]
            values = values_for(subject_features.where(F.col("feature_date").isin(own)), model)
            parts.append(values.mapInArrow(assigner(model, dict(verdict["details"] or {})), about.ddl))
    return reduce(DataFrame.unionByName, parts)


def values_for(of_day: DataFrame, model: Mapping[str, Any]) -> DataFrame:
    """Return the values that a row of segmentations is about, of the subjects that have them."""
    values = subject_values(
        of_day,
        features=model["features"],
        missing=model["missing"],
        is_proportions=model["is_proportions"],
        roles=model["roles"],
        needs=model["needs"],
    )
    return values.where(F.col("values").isNotNull())


def assigner(model: Mapping[str, Any], names: Mapping[str, str]) -> Callable[[Batches], Batches]:
    """Return the function for mapInArrow that makes rows of segments."""
    schema = contract("segments").arrow_schema.remove_metadata()
    labels = label([model])

    def assign(batches: Batches) -> Batches:
        for batch in batches:
            segment, distance = labels(batch.column("values"))[0]
            n = batch.num_rows
            columns = {
                "segmentation": pa.array([model["segmentation"]] * n),
                "segmentation_version": pa.array([model["segmentation_version"]] * n),
                "as_of_date": batch.column("feature_date"),
                "subject": batch.column("subject"),
                "subject_bucket": batch.column("subject_bucket"),
                "segment": pa.array(segment, pa.int32()),
                "name": pa.array([names[str(number)] for number in segment], pa.string()),
                "distance": pa.array(distance),
            }
            yield pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)

    return assign


def label(
    models: Sequence[Mapping[str, Any]],
) -> Callable[[pa.ListArray], list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]]:
    """Return a function from a column of values to segments and distances, by model of one request."""
    first = models[0]
    scaling = ml.Scaling(tuple(first["transforms"]), np.array(first["centers"]), np.array(first["scales"]))
    centers = [table_of(model, "centroids") for model in models]
    width = len(first["features"])

    def labels(column: pa.ListArray) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        x = ml.apply_scaling(values, scaling)
        return [ml.assign(x, center) for center in centers]

    return labels


JOB = Job(
    build,
    reads=(Days("subject_features"), Until("segmentations"), Until("releases")),
    writes="segments",
    # Another segmentation may be open in a run of its own. Releases first: what is approved has been fitted.
    current=("releases", "segmentations"),
)

if __name__ == "__main__":
    JOB.main()
