"""What tests of jobs share beside hand-made rows."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import segmentations
from jobs.config import Config, Segmentation, load
from jobs.tables import Tables
from tests.jobs.given import rows, table

SEGMENT_DAY = date(2017, 10, 12)
# Recency, visits and mean sale of three kinds of subject, 50, 30 and 20 of each hundred.
KINDS = np.array([[2.0, 30.0, 20.0], [40.0, 4.0, 60.0], [5.0, 8.0, 5.0]])


@pytest.fixture
def config(home: Path) -> Config:
    """Return what conf/ says of a data home of the test's own."""
    return load()


@pytest.fixture
def tables(config: Config) -> Tables:
    """Return its tables, of which none is there yet."""
    return Tables(config.tables)


def segment_spec(**more: Any) -> Segmentation:
    """Return a spec by recency, visits and mean sale."""
    features = [
        {"name": "recency", "low": "recent", "high": "fading", "meaning": "days since the last visit"},
        {"name": "visits_84", "low": "rare", "high": "frequent"},
        {"name": "mean_sale", "low": "small", "high": "large"},
    ]
    return Segmentation.model_validate({"name": "rfm", "features": features, "k": "2-4", **more})


def kind_of(number: int) -> int:
    """Return the kind of a subject."""
    return int(np.searchsorted([50, 80], number % 100, side="right"))


def planted(n: int = 300, **more: Any) -> list[dict[str, Any]]:
    """Return rows of subject_features: u0, u1, … of three kinds, and two devices that never bought."""
    rng = np.random.default_rng(4)
    found = []
    for number in range(n):
        values = KINDS[kind_of(number)] * np.exp(rng.normal(0, 0.15, 3))
        names = ("recency", "visits_84", "mean_sale")
        found.append(
            {
                "subject": f"u{number}",
                "subject_bucket": number % 2,
                "feature_date": SEGMENT_DAY,
                "role": "consultant" if number % 5 == 0 else "customer",
                "features": {**dict(zip(names, map(float, values), strict=True)), "flat": 1.0},
                "widget_shares": {"cheese": 0.5, "beef": 0.25},
                **more,
            }
        )
    devices = [{"subject": f"d{number}", "features": {"visits_84": 0.0}} for number in range(2)]
    return [*found, *({"subject_bucket": 0, "feature_date": SEGMENT_DAY, **row} for row in devices)]


def fit(spark: SparkSession, subjects: DataFrame, /, **more: Any) -> DataFrame:
    """Fit the planted subjects."""
    given = {"segmentations": table(spark, "segmentations", []), "releases": table(spark, "releases", [])}
    frames = {name: more.pop(name, frame) for name, frame in given.items()}
    spec = more.pop("spec", segment_spec())
    options = {"segmentation": "rfm", "seed": 7, "bootstraps": 3, "shuffles": 2, **more}
    return segmentations.build(
        subjects, **frames, days=[SEGMENT_DAY], segmentation_specs={"rfm": spec}, **options
    )


@pytest.fixture(scope="session")
def subjects(spark: SparkSession) -> DataFrame:
    """Return the planted subjects, once for all tests."""
    return table(spark, "subject_features", planted()).cache()


@pytest.fixture(scope="session")
def fitted(spark: SparkSession, subjects: DataFrame) -> list[dict[str, Any]]:
    """Return what was fitted on them."""
    return rows(fit(spark, subjects), "k")
