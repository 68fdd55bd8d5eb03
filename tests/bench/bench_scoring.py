"""A million subjects, and four million, scored by a champion of 40 features and 4 classes, Delta to Delta.

The CatBoost part, as the job calls it a batch at a time, is set against one bare predict of the library on a
column-major float32 array, in the same run: no less than 0.7 of its speed. Memory must not grow.
"""

import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import write_deltalake

from jobs.champions import model_of
from jobs.config import home
from jobs.contracts import contract
from jobs.maps import mapped
from jobs.releases import APPROVED, MODEL, Release, record
from jobs.tables import Tables
from ml.classify import Examples, Shape, digest_of
from ml.classify.catboosted import CatBoosted
from ml.classify.examples import THREADS
from tests.bench.bench_segments import watched
from tests.bench.measure import Row, scaled

SUBJECTS = scaled(1_000_000)
BLOCK = 100_000
BATCH = 10_000
"""Rows of an Arrow batch: what Spark hands to Python at once."""
DAY = date(2017, 10, 8)
FEATURES = ("recency", "tenure", "visits", "sales", *(f"share/w{number:02d}" for number in range(36)))
CLASSES = ("core", "fading", "frequent", "new")
TREES = 300


def run() -> list[Row]:
    """Score by the command line, in processes of their own, at two sizes."""
    champion = trained()
    x = values(SUBJECTS)
    model = model_of(champion)
    core: Any = model.core
    bare, ours = [], []
    for _ in range(3):
        began = time.perf_counter()
        plain = core.model.predict(x, prediction_type="Probability", thread_count=THREADS)
        bare.append(time.perf_counter() - began)
        parts = [np.asfortranarray(x[first : first + BATCH]) for first in range(0, SUBJECTS, BATCH)]
        began = time.perf_counter()
        found = np.concatenate([model.predict(part) for part in parts])
        ours.append(time.perf_counter() - began)
    once, once_peak, is_plain = scored(champion, SUBJECTS, plain)
    more, more_peak, _ = scored(champion, 4 * SUBJECTS, None)
    speed, peer = SUBJECTS / median(ours), SUBJECTS / median(bare)
    flat = once_peak / more_peak
    return [
        Row("the CatBoost part, a batch at a time (bar: 0.7)", SUBJECTS, "rows/s", speed, peer,
            "bare predict", speed / peer, bool(np.array_equal(found, plain))),
        Row("subject_scores, Delta to Delta", SUBJECTS, "s", once, equal=is_plain, peak_mib=once_peak),
        Row("the same, four times the subjects", 4 * SUBJECTS, "s", more, peak_mib=more_peak),
        Row("peak memory, four times the subjects", 4 * SUBJECTS, "MiB", more_peak, once_peak,
            "peak of one", flat),
    ]  # fmt: skip


def values(n: int) -> np.ndarray:
    """Return the features of n subjects, (n, 40) float32 column-major, a twentieth of them missing."""
    x = np.empty((n, len(FEATURES)), np.float32, order="F")
    for first in range(0, n, BLOCK):
        rng = np.random.default_rng([7, first // BLOCK])
        rows = min(BLOCK, n - first)
        drawn = rng.random((BLOCK, len(FEATURES)), dtype=np.float32)[:rows]
        drawn[rng.random((BLOCK, len(FEATURES)))[:rows] < 0.05] = np.nan
        x[first : first + rows] = drawn
    return x


def trained() -> dict[str, Any]:
    """Train the champion on a few rows whose class follows from six of the features."""
    x = np.nan_to_num(values(20_000), nan=0.5)
    best = (x[:, :8].reshape(-1, 4, 2) * [1.0, 0.7]).sum(axis=2).argmax(axis=1)
    targets = np.eye(4)[best]
    shape = Shape("classes", FEATURES, {}, CLASSES)
    examples = Examples(shape, np.asfortranarray(x), [], targets, np.ones_like(targets))
    rows = np.arange(len(x))
    core = CatBoosted.fit(
        examples.of(rows[:16_000]), examples.of(rows[16_000:]), seed=1, trees=TREES, patience=TREES, depth=6
    )
    data = core.dump()
    return {
        "model_version": "segment@bench",
        "name": "segment",
        "closing_id": "c3",
        "as_of_date": DAY,
        "algorithm": "catboost",
        "task": "classes",
        "is_candidate": True,
        "features": list(FEATURES),
        "categories": [],
        "category_values": [],
        "classes": list(CLASSES),
        "calibration": ["none"] * len(CLASSES),
        "calibration_values": [[]] * len(CLASSES),
        "model": data,
        "model_digest": digest_of(data),
    }


def scored(champion: dict[str, Any], n: int, plain: np.ndarray | None) -> tuple[float, int, bool]:
    """Score n subjects; return seconds, peak MiB, and whether all scores are the plain ones."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "jars").symlink_to(home() / "jars")
        tables = Tables(f"{folder}/tables")
        write_subjects(tables, n)
        ends = [DAY - timedelta(28 * number) for number in (2, 1, 0)]
        tables.append(
            "closings",
            [
                {"closing_id": f"c{number}", "changed_date": date(2017, 1, 1), "is_deleted": False,
                 "first_date": end - timedelta(27), "last_date": end}
                for number, end in enumerate(ends, start=1)
            ],
        )  # fmt: skip
        tables.append("models", [champion])
        at = datetime(2017, 10, 9, tzinfo=UTC)
        record(tables, Release(MODEL, "segment", "segment@bench", DAY, APPROVED, "bench", "bench", at))
        seconds, peak = watched(folder, "subject_scores", day=DAY)
        if plain is None:
            return seconds, peak, True
        found = tables.read("subject_scores", ds.field("model") == "segment", ["subject", "scores"])
    number = np.array([int(one[1:]) for one in found["subject"].to_pylist()])
    given = np.array([[value for _, value in sorted(row)] for row in found["scores"].to_pylist()])
    return seconds, peak, len(number) == n and bool(np.array_equal(given, plain[number]))


def write_subjects(tables: Tables, n: int) -> None:
    """Write subject_features of the day, in blocks."""
    x = values(n)
    schema = contract("subject_features").arrow_schema
    tables.open("subject_features")
    for first in range(0, n, BLOCK):
        block = x[first : first + BLOCK].astype(np.float64)
        rows = len(block)
        number = np.arange(first, first + rows)
        by_name = {name: block[:, j] for j, name in enumerate(FEATURES)}
        shares = {name.removeprefix("share/"): own for name, own in by_name.items() if "/" in name}
        columns = {
            "subject": pa.array([f"s{one:08d}" for one in number]),
            "subject_bucket": pa.array(number % 2, pa.int32()),
            "feature_date": pa.array([DAY] * rows),
            "last_active_date": pa.array([DAY] * rows),
            "role": pa.array(["customer"] * rows),
            "features": mapped({name: own for name, own in by_name.items() if "/" not in name}, rows),
            "widget_shares": mapped(shares, rows),
            "widget_reward_means": mapped({}, rows),
        }
        table = pa.table(
            {
                field.name: columns.get(field.name, pa.nulls(rows, field.type)).cast(field.type)
                for field in schema
            },
            schema=schema,
        )
        write_deltalake(tables.path("subject_features"), table, mode="append")
