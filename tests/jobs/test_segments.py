"""segments: each subject in the newest approved version, the same on any split; nobody before an approval."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from jobs import segments
from tests.jobs.conftest import SEGMENT_DAY, kind_of
from tests.jobs.given import rows, table

NAMES = {"0": "core", "1": "fading", "2": "small"}


def verdict(row: dict[str, Any], minute: int = 0, **more: Any) -> dict[str, Any]:
    """Return a verdict on a fitted version."""
    return {
        "release_id": f"r{minute}",
        "kind": "segmentation",
        "name": row["segmentation"],
        "version": row["segmentation_version"],
        "as_of_date": row["as_of_date"],
        "verdict": "yes",
        "decided_at": datetime(2017, 11, 1, 12, minute, tzinfo=UTC),
        "details": {str(number): NAMES.get(str(number), f"s{number}") for number in range(row["k"])},
        **more,
    }


def build(
    spark: SparkSession, subjects: DataFrame, fitted: list[dict[str, Any]], *judged: dict[str, Any]
) -> list[dict[str, Any]]:
    made = segments.build(
        subjects,
        table(spark, "segmentations", fitted),
        table(spark, "releases", judged),
        days=[SEGMENT_DAY],
    )
    return rows(made, "segmentation", "subject")


def test_subjects_are_assigned_by_the_version_approved_last_on_any_split(
    spark: SparkSession, subjects: DataFrame, fitted: list[dict[str, Any]]
) -> None:
    two, three, four = fitted
    judged = [verdict(two, 1), verdict(three, 2), verdict(four, 3, verdict="no")]
    found = build(spark, subjects.repartition(1), fitted, *judged)
    assert len(found) == 300
    assert {row["segmentation_version"] for row in found} == {three["segmentation_version"]}
    names = list(NAMES.values())
    assert all(row["name"] == names[kind_of(int(row["subject"][1:]))] for row in found)
    # 50, 30 and 20 of each hundred were planted.
    assert np.bincount([row["segment"] for row in found]).tolist() == [150, 90, 60]
    centers = np.array(three["centroids"]).reshape(3, 3)
    nearest = min(np.linalg.norm(centers[0] - other) for other in centers[1:])
    assert 0 < max(row["distance"] for row in found) < nearest
    assert build(spark, subjects.repartition(5), fitted, *judged) == found


def test_without_an_approval_up_to_the_day_nobody_has_a_segment(
    spark: SparkSession, subjects: DataFrame, fitted: list[dict[str, Any]]
) -> None:
    later = {**fitted[1], "as_of_date": SEGMENT_DAY + timedelta(1)}
    judged = [verdict(fitted[0], 1, verdict="no"), verdict(later, 2), verdict(fitted[2], 3, kind="policy")]
    assert build(spark, subjects, fitted, *judged) == []
