"""A segmentation of a million subjects, k from 2 to 10: fitted and measured, then everybody assigned.

The bounds are 5 minutes and 4 GiB on 2 cores, Spark and its workers included. BENCH_SCALE makes it
smaller. What was assigned is compared, subject by subject, with the plain formula in NumPy.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import write_deltalake

from jobs.config import home
from jobs.contracts import contract
from jobs.maps import mapped
from jobs.releases import APPROVED, SEGMENTATION, Release, record
from jobs.tables import Tables
from ml import segments
from tests.bench.measure import Row, scaled

SUBJECTS = scaled(1_000_000)
BLOCK = 100_000
DAY = date(2017, 10, 12)
FEATURES = ("recency", "visits_84", "mean_sale", "mean_lines")
ENVIRONMENT = {"VITRINE_OVERLAY": "demo", "VITRINE_ENGINE": "local", "SPARK_LOCAL_IP": "127.0.0.1"}


def run() -> list[Row]:
    """Fit and assign by the command line, in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "jars").symlink_to(home() / "jars")
        tables = Tables(f"{folder}/tables")
        values = write_subjects(tables)
        fit, fit_peak = watched(folder, "segmentations", "--with", "segmentation=rfm", "--with", "k=2-10")
        fitted = tables.read("segmentations").to_pylist()
        chosen = next(row for row in fitted if row["k"] == 4)
        approve(tables, chosen)
        assign, assign_peak = watched(folder, "segments")
        equal = len(fitted) == 9 and is_plain(tables, chosen, values)
    both = max(fit_peak, assign_peak)
    return [
        Row("fit and measure k = 2 to 10", SUBJECTS, "s", fit, equal=len(fitted) == 9, peak_mib=fit_peak),
        Row("assign, Delta to Delta", SUBJECTS, "s", assign, equal=equal, peak_mib=assign_peak),
        Row("both (bounds: 300 s, 4,096 MiB)", SUBJECTS, "s", fit + assign, equal=equal, peak_mib=both),
    ]


def write_subjects(tables: Tables) -> np.ndarray:
    """Write subject_features of one day, in four kinds with noise; return the values, by subject number."""
    rng = np.random.default_rng(1)
    kinds = np.log([[3, 20, 40, 15], [5, 25, 12, 5], [50, 3, 45, 16], [60, 2, 10, 4]])
    values = np.exp(kinds[rng.integers(0, 4, SUBJECTS)] + rng.normal(0, 0.5, (SUBJECTS, 4)))
    schema = contract("subject_features").arrow_schema
    tables.open("subject_features")
    for first in range(0, SUBJECTS, BLOCK):
        block = values[first : first + BLOCK]
        n = len(block)
        number = np.arange(first, first + n)
        columns = {
            "subject": pa.array([f"s{one:08d}" for one in number]),
            "subject_bucket": pa.array(number % 2, pa.int32()),
            "feature_date": pa.array([DAY] * n),
            "role": pa.array(["customer"] * n),
            "features": mapped({name: block[:, j] for j, name in enumerate(FEATURES)}, n),
        }
        rows = pa.table(
            {
                field.name: columns.get(field.name, pa.nulls(n, field.type)).cast(field.type)
                for field in schema
            },
            schema=schema,
        )
        write_deltalake(tables.path("subject_features"), rows, mode="append")
    return values


def approve(tables: Tables, chosen: dict) -> None:
    """Record a verdict, as a person's answer would."""
    details = {str(number): f"s{number}" for number in range(chosen["k"])}
    version, at = chosen["segmentation_version"], datetime(2017, 11, 1, tzinfo=UTC)
    record(tables, Release(SEGMENTATION, "rfm", version, DAY, APPROVED, "bench", "bench", at, details))


def is_plain(tables: Tables, chosen: dict, values: np.ndarray) -> bool:
    """Whether everybody is in the segment that the plain formula gives."""
    found = tables.read("segments", ds.field("as_of_date") == DAY, ["subject", "segment"])
    number = np.array([int(one[1:]) for one in found["subject"].to_pylist()])
    scaling = segments.Scaling(
        tuple(chosen["transforms"]), np.array(chosen["centers"]), np.array(chosen["scales"])
    )
    x = segments.apply_scaling(values, scaling)
    centers = np.array(chosen["centroids"]).reshape(chosen["k"], -1)
    plain = np.stack([((x - center) ** 2).sum(axis=1) for center in centers], axis=1).argmin(axis=1)
    return len(number) == SUBJECTS and bool((found["segment"].to_numpy() == plain[number]).all())


def watched(folder: str, job: str, *arguments: str, day: date = DAY) -> tuple[float, int]:
    """Run a job in a process of its own; return its seconds and the peak MiB of it and all its children."""
    command = [
        str(Path(sys.executable).parent / "vitrine"),
        "run",
        job,
        "--from",
        day.isoformat(),
        *arguments,
    ]
    environment = {**os.environ, **ENVIRONMENT, "VITRINE_HOME": folder, "PYSPARK_PYTHON": sys.executable}
    environment.pop("SPARK_REMOTE", None)
    began, peak = time.perf_counter(), 0
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        over = threading.Event()

        def look() -> None:
            nonlocal peak
            while not over.wait(0.5):
                peak = max(peak, _resident(process.pid))

        watcher = threading.Thread(target=look)
        watcher.start()
        said = process.communicate()[0]
        over.set()
        watcher.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {said[-2000:]}")
    return time.perf_counter() - began, peak // 2**20


def _resident(pid: int) -> int:
    """Memory of a process and its children, what they share counted once (proportional set size)."""
    total = 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            total += member.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total
