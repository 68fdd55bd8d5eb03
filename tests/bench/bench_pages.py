"""A subject's page in Airflow: seconds to gather and draw it, one of 1 M, beside reading all.

Two nights of layouts with their contexts, a night of features, 56 days of which each has 5 % of the subjects
active, in 16 buckets; the store holds the subjects that are asked for. The peer reads the rows of layouts
by a filter on the subject alone.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq

from jobs.config import Config
from jobs.contracts import contract
from jobs.ids import subject_bucket
from jobs.store import Store
from jobs.store.export import export
from jobs.tables import Tables
from jobs.ui import finding
from jobs.ui.shelf import Shelf
from tests.bench.engine import own_home
from tests.bench.measure import Row, scaled
from tests.store import given as nights

SUBJECTS, BUCKETS, DAYS, ACTIVE = 1_000_000, 16, 56, 0.05
ASKED = 20
CANDIDATES, CONTEXT, OWN = 26, 30, 5
PAGES = {"home": 6, "start": 1}


def run() -> list[Row]:
    """Lay the tables down and look at pages, each of another subject."""
    with own_home("1g") as given:
        config = given.model_copy(update={"subject_buckets": BUCKETS})
        subjects = [f"k1-{nights.hex_id(number)}" for number in range(scaled(SUBJECTS))]
        lay_down(Tables(config.tables), subjects)
        asked = subjects[:: max(1, len(subjects) // ASKED)][:ASKED]
        rows = [nights.layout(who, page) for who in asked for page in PAGES]
        export(config.store_url, nights.night(), nights.inputs([*nights.layouts(()), *rows], nights.lists()))
        return look(config, asked, len(subjects))


def look(config: Config, asked: Sequence[str], size: int) -> list[Row]:
    """Time the page of each subject, the first in a process that has read nothing yet."""
    shelf, store = Shelf(config.tables), Store.open(config.store_url, clock="generation")
    seconds = []
    for who in asked:
        began = time.perf_counter()
        found = finding.gather(shelf, config, store, who, "user")
        finding.render(found)
        seconds.append(time.perf_counter() - began)
        assert found.shown is not None
    layouts = shelf.open("layouts").to_pyarrow_dataset()
    plain = []
    for who in asked[:3]:
        began = time.perf_counter()
        assert layouts.to_table(filter=ds.field("subject") == who).num_rows
        plain.append(time.perf_counter() - began)
    median, peer = statistics.median(seconds[1:]), statistics.median(plain)
    return [
        Row("page of a subject, the first", size, "s", seconds[0]),
        Row("page of a subject, median", size, "s", median, peer, "one table unpruned", peer / median),
        Row("page of a subject, slowest (at most 1)", size, "s", max(seconds)),
    ]


def lay_down(tables: Tables, subjects: Sequence[str]) -> None:
    """Write the tables that a page reads, bucket by bucket, each file sorted by subject as jobs write it."""
    rng = np.random.default_rng(7)
    by_bucket: dict[int, list[str]] = {}
    for who in subjects:
        by_bucket.setdefault(subject_bucket(who, BUCKETS), []).append(who)
    for bucket, own in by_bucket.items():
        own.sort()
        for ago in (0, 1):
            _write(tables, "layouts", bucket, nights.DAY - timedelta(ago), _layouts(own, ago, rng))
        _write(tables, "subject_features", bucket, nights.DAY, {"subject": own})
        for ago in range(DAYS):
            some = [who for who, is_in in zip(own, rng.random(len(own)) < ACTIVE, strict=True) if is_in]
            ones = {"lines": [3] * len(some), "sales_cents": [999] * len(some)}
            visits = {"category_visits": [[("SOFT DRINKS", 1), ("CHEESE", 1)]] * len(some)}
            day = nights.DAY - timedelta(ago)
            _write(tables, "subject_daily", bucket, day, {"subject": some, **ones, **visits})
            more = {"product_views": [2] * len(some), "basket_adds": [1] * len(some)}
            _write(tables, "sessions", bucket, day, {"subject": some, **more})
    for name in ("layouts", "subject_features", "subject_daily", "sessions"):
        tables.open(name)
        tables.publish(name, "data/bench/rejected=false", days=None, run_id="bench")


def _layouts(own: Sequence[str], ago: int, rng: np.random.Generator) -> Mapping[str, Any]:
    """Return columns of a night's layouts, both pages of each subject."""
    rows = [nights.layout(who, page, ago, positions=count) for who in own for page, count in PAGES.items()]
    names = [f"category:{number}" for number in range(CANDIDATES)]
    told = ("subject", "page", "draw_id", "drawn_date", "widgets", "scores", "propensities", "reasons")
    n = len(rows)
    return {
        **{name: [row[name] for row in rows] for name in told},
        "policy_version": ["linucb@2017-12-30"] * n,
        "scenario": ["live"] * n,
        "bonuses": [[0.0] * len(row["widgets"]) for row in rows],
        "candidates": pa.array([names] * n),
        "context": _lists(rng.random((n, CONTEXT), dtype=np.float32)),
        "action_context": _lists(rng.random((n, CANDIDATES * OWN), dtype=np.float32)),
    }


def _lists(values: np.ndarray) -> pa.Array:
    starts = pa.array(np.arange(0, values.size + 1, values.shape[1], dtype=np.int32))
    return pa.ListArray.from_arrays(starts, pa.array(values.ravel()))


def _write(tables: Tables, name: str, bucket: int, day: Any, columns: Mapping[str, Any]) -> None:
    about = contract(name)
    kept = [field for field in about.arrow_schema if field.name not in about.partition_by]
    count = len(columns["subject"])
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns and not isinstance(columns[field.name], pa.Array)
        else columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in kept
    ]
    place = f"{tables.path(name)}/data/bench/rejected=false/{about.day}={day}/subject_bucket={bucket}"
    filesystem = pa.fs.LocalFileSystem()
    filesystem.create_dir(place)
    table = pa.Table.from_arrays(arrays, schema=pa.schema(kept))
    pq.write_table(table, f"{place}/part-0.parquet", compression="zstd", filesystem=filesystem)
