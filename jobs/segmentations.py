"""segmentations: one row per k of a request, fitted on a seeded sample, measured, with one k suggested.

Reads   subject_features of the day; segmentations of the day (rows of other requests are handed through,
        since a day is replaced as a whole); releases (what was approved is never fitted anew)
Writes  segmentations, partition as_of_date
On failure, mend the cause and clear the task: a rerun replaces the rows of the same request.

Only a sample comes to the driver: the `sample_rows` subjects whose hash with the seed is lowest, so 50,000
subjects of 10 features are 4 MB, and the fit holds a few copies of them, however many subjects there are.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from jobs.config import Segmentation
from jobs.contracts import contract
from jobs.publish import Stopped
from jobs.releases import APPROVED, SEGMENTATION
from jobs.segment_request import Request, request, subject_values, unknown_feature
from jobs.shell import Days, Job, Until
from ml import segments

Floats = NDArray[np.float64]


def build(
    subject_features: DataFrame,
    segmentations: DataFrame,
    releases: DataFrame,
    *,
    days: Sequence[date],
    segmentation_specs: Mapping[str, Segmentation],
    segmentation: str,
    seed: int,
    k: int | str | None = None,
    roles: list[str] | None = None,
    columns: list[str] | None = None,
    sample_rows: int = 50_000,
    bootstraps: int = 20,
    shuffles: int = 5,
) -> DataFrame:
    """Fit each number of segments, measure it, and suggest one.

    Raises
    ------
    Stopped
        When nobody can be segmented so: no such feature or role, a constant feature, too few subjects.

    """
    asked = request(segmentation_specs, segmentation, seed=seed, k=k, roles=roles, columns=columns)
    spec = segmentation_specs[segmentation]
    meanings = {feature.name: feature.meaning or feature.name for feature in spec.features}
    approved = {
        row["version"]
        for row in releases.where((F.col("kind") == SEGMENTATION) & (F.col("verdict") == APPROVED)).collect()
    }
    rows: list[dict[str, Any]] = []
    for day in days:
        of_day = subject_features.where(F.col("feature_date") == F.lit(day))
        values, counts = _sample(of_day, asked, day, sample_rows)
        try:
            rows += _fitted(values, asked, day, meanings, bootstraps, shuffles, counts)
        except ValueError as error:
            raise Stopped(f"{asked.segmentation} as of {day}: {error}") from None
    fresh = [row for row in rows if row["segmentation_version"] not in approved]
    about = contract("segmentations")
    table = [tuple(row[name] for name in about.columns) for row in fresh]
    made = segmentations.sparkSession.createDataFrame(table, about.ddl)
    mine = F.col("request").isin([asked.name(day) for day in days])
    kept = segmentations.where(~mine | F.col("segmentation_version").isin(list(approved)))
    return made.unionByName(kept.select(*about.columns))


def _sample(of_day: DataFrame, asked: Request, day: date, rows: int) -> tuple[Floats, tuple[int, int]]:
    """Return values (n, d) of a seeded sample, by hash, and how many subjects have and lack them."""
    all_values = subject_values(
        of_day,
        features=asked.features,
        missing=asked.missing,
        is_proportions=asked.is_proportions,
        roles=asked.roles,
        needs=asked.needs,
    )
    having = all_values.where(F.col("values").isNotNull())
    total, whole = all_values.agg(F.count(F.lit(1)), F.count("values")).collect()[0]
    if not whole:
        raise Stopped(_why_nobody(of_day, asked, day, total))
    lot = F.xxhash64(F.lit(asked.seed), "subject")
    drawn = having.orderBy(lot, "subject").limit(rows).select("values").toArrow()
    flat = drawn["values"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, len(asked.features)), (whole, total - whole)


def _why_nobody(of_day: DataFrame, asked: Request, day: date, total: int) -> str:
    whose = f" of role {' or '.join(asked.roles)}" if asked.roles else ""
    if not total:
        return f"There is no subject{whose} in subject_features of {day}: name other roles, or another day."
    unknown = unknown_feature(of_day, [*asked.features, *asked.needs])
    return unknown or (
        f"No subject{whose} has all of {', '.join(asked.features)} on {day}: leave out the one without"
        " values, or say in conf/segmentations what stands for a missing one (missing: 0)."
    )


def _fitted(
    values: Floats,
    asked: Request,
    day: date,
    meanings: Mapping[str, str],
    bootstraps: int,
    shuffles: int,
    counts: tuple[int, int],
) -> list[dict[str, Any]]:
    scaling = segments.fit_scaling(values, asked.features, asked.transforms)
    x = segments.apply_scaling(values, scaling)
    different = len(np.unique(x, axis=0))
    counts_made = [k for k in asked.counts if k <= different and k < len(x)] or asked.counts[:1]
    made = [segments.fit(x, k, asked.seed) for k in counts_made]
    qualities = segments.evaluate(x, made, asked.seed, bootstraps=bootstraps, shuffles=shuffles)
    choice = segments.suggest(qualities)
    dropped = [str(k) for k in asked.counts if k not in counts_made]
    too_many = (
        f" Not tried: k = {', '.join(dropped)}, with {different} different subjects." if dropped else ""
    )
    common = {
        "segmentation": asked.segmentation,
        "request": asked.name(day),
        "as_of_date": day,
        "roles": list(asked.roles),
        "features": list(asked.features),
        "is_proportions": asked.is_proportions,
        "needs": list(asked.needs),
        "missing": list(asked.missing),
        "transforms": list(scaling.transforms),
        "centers": scaling.centers.tolist(),
        "scales": scaling.scales.tolist(),
        "subjects": counts[0],
        "left_out": counts[1],
        "sampled": len(values),
        "reason": choice.reason + too_many,
        "seed": asked.seed,
    }
    rows = []
    for clusters, quality in zip(made, qualities, strict=True):
        k = quality.k
        means = segments.differences(values, clusters.labels, k)
        told = segments.describe_tree(values, clusters.labels, asked.features, k, meanings=meanings)
        rows.append(
            {
                **common,
                "segmentation_version": asked.version(day, k),
                "k": k,
                "centroids": clusters.centers.ravel().tolist(),
                "means": means.ravel().tolist(),
                "rules": told,
                "inertia": clusters.inertia,
                "silhouette": quality.silhouette,
                "shuffled_silhouette": quality.shuffled,
                "calinski_harabasz": quality.calinski_harabasz,
                "davies_bouldin": quality.davies_bouldin,
                "stability": quality.stability,
                "stability_low": quality.stability_low,
                "smallest_share": quality.smallest_share,
                "has_structure": quality.has_structure,
                "is_suggested": k == choice.k,
            }
        )
    return rows


def table_of(row: Row | Mapping[str, Any], column: str) -> Floats:
    """Return `centroids` or `means` of a row of segmentations as (k, d)."""
    return np.array(row[column], dtype=np.float64).reshape(row["k"], len(row["features"]))


JOB = Job(
    build, reads=(Days("subject_features"), Days("segmentations"), Until("releases")), writes="segmentations"
)

if __name__ == "__main__":
    JOB.main()
