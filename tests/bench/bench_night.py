"""The whole of `nightly_layouts`, features in Delta to flipped store: N subjects × 2 pages × 50 widgets.

Its jobs run one after the other as the DAG has them, each with its checks, in one process on a warm session;
the store is LMDB. At each size all is new: every subject is drawn, and every key is written. Then, at the
largest, comes the night after it, on which a tenth of the subjects was active. Features, widgets, policies
and order lines (`LINES` a subject, of the last four weeks) are laid down before the clock starts.

NIGHT_SIZES are the subjects, as 250000,500000,1000000; BENCH_SCALE scales them.
"""

import os
import time
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from jobs import checks, layouts, product_lists
from jobs.config import Config
from jobs.contracts import contract
from jobs.export import run_export
from jobs.shell import Ask, run_job
from jobs.store import Store
from jobs.tables import Tables
from tests.bench import bench_layouts
from tests.bench.bench_layouts import ACTIVE, DAY, MEMORY, WIDGETS, append, lay, steered
from tests.bench.engine import own_home, spark_of
from tests.bench.measure import Peak, Row, scaled

SIZES = [int(size) for size in os.environ.get("NIGHT_SIZES", "250000,500000,1000000").split(",")]
WARM = 1_000
PAGES = ("home", "start")
BLOCK = 100_000
CATEGORIES = [f"CATEGORY {number:02d}" for number in range(24)]
PRODUCTS, LINES, DAYS = 2_000, 5, 28
FIRST = DAY - timedelta(1)

Told = dict[str, tuple[float, int]]
"""By task its seconds and the peak MiB."""


def run() -> list[Row]:
    """Run the nights, each size on a data home of its own."""
    checks.preload()
    sizes = sorted(map(scaled, SIZES))
    _of_size(WARM, is_last=False)
    rows, seconds = [], {}
    for size in sizes:
        nights = _of_size(size, is_last=size == sizes[-1])
        for what, (told, equal) in nights.items():
            rows += [
                Row(f"{what}: {task}", size, "min", of / 60, peak_mib=mib) for task, (of, mib) in told.items()
            ]
            whole, peak = sum(of for of, _ in told.values()), max(mib for _, mib in told.values())
            rows.append(Row(f"{what}: in all", size, "min", whole / 60, equal=equal, peak_mib=peak))
            seconds.setdefault(size, whole)
    each = {size: 1e6 * of / size for size, of in seconds.items()}
    least, most = sizes[0], sizes[-1]
    what = "per subject, the largest beside the smallest"
    return [*rows, Row(what, most, "µs", each[most], each[least], "smallest", each[least] / each[most])]


def _of_size(size: int, *, is_last: bool) -> dict[str, tuple[Told, bool]]:
    """Lay down what a night reads and run it, after the last size a quiet one; tell if the store is whole."""
    found = {}
    with own_home(MEMORY) as given, spark_of(given) as spark:
        config = steered(given)
        _lay(config, size)
        found["all new"] = _night(config, spark, FIRST, size)
        if is_last:
            lay(config, size, DAY, active=ACTIVE)
            found[f"{ACTIVE:.0%} active"] = _night(config, spark, DAY, size)
    return found


def _night(config: Config, spark: SparkSession, day: date, size: int) -> tuple[Told, bool]:
    ask = Ask(day, day + timedelta(1), f"bench-{day}")
    work: dict[str, Callable[[], object]] = {
        "product_lists": lambda: run_job(product_lists.JOB, ask, config, spark),
        "layouts": lambda: run_job(layouts.JOB, ask, config, spark),
        "export": lambda: run_export(ask, config),
    }
    told = {}
    for task, run_it in work.items():
        began = time.perf_counter()
        with Peak() as watched:
            run_it()
        told[task] = (time.perf_counter() - began, watched.mib)
    pointer = Store.open(config.store_url, clock="generation").generation().pointer
    return told, (pointer.layout_date, pointer.layouts) == (day, len(PAGES) * size)


def _lay(config: Config, subjects: int) -> None:
    """Write widgets, some of a category, policies, products, order lines and the first night's features."""
    tables = Tables(config.tables)
    rows = [bench_layouts.widget(number) for number in range(len(WIDGETS))]
    shown = CATEGORIES + [None] * (len(WIDGETS) - len(CATEGORIES))
    append(tables, "widgets", [{**row, "category": of} for row, of in zip(rows, shown, strict=True)])
    append(tables, "policies", [bench_layouts.policy(config, page, FIRST) for page in PAGES])
    append(tables, "products", [_product(number) for number in range(PRODUCTS)])
    lay(config, subjects, FIRST, active=1.0)
    for first in range(0, subjects, BLOCK):
        _lines(config, tables, first, min(BLOCK, subjects - first))


def _product(number: int) -> dict[str, object]:
    category = CATEGORIES[number % len(CATEGORIES)]
    return {
        "product_id": str(number), "changed_date": FIRST - timedelta(200), "name": f"Product {number}",
        "department": "GROCERY", "category": category, "type": f"{category}|PLAIN", "brand": "national",
        "is_merchandise": True, "is_deleted": False,
    }  # fmt: skip


def _lines(config: Config, tables: Tables, first: int, subjects: int) -> None:
    rng = np.random.default_rng([5, first])
    rows = subjects * LINES
    who = np.repeat(np.arange(first, first + subjects), LINES)
    # Some products sell much more than others.
    product = (PRODUCTS * rng.random(rows) ** 2).astype(np.int64)
    columns = {
        "order_id": pa.array([f"o{number}" for number in range(first * LINES, first * LINES + rows)]),
        "line": pa.array(np.zeros(rows), pa.int32()),
        "order_date": pa.array(np.datetime64(FIRST) - rng.integers(0, DAYS, rows)),
        "subject": pa.array([f"s{one:08d}" for one in who]),
        "subject_bucket": pa.array(who % config.subject_buckets, pa.int32()),
        "product_id": pa.array(product.astype(str)),
        "category": pa.array(CATEGORIES).take(pa.array(product % len(CATEGORIES))),
        "quantity": pa.array(np.ones(rows), pa.int32()),
        "sales_cents": pa.array(rng.integers(100, 2_000, rows)),
    }
    schema = contract("order_lines").arrow_schema
    table = pa.table(
        {each.name: columns.get(each.name, pa.nulls(rows, each.type)).cast(each.type) for each in schema},
        schema=schema,
    )
    tables.open("order_lines")
    write_deltalake(tables.path("order_lines"), table, mode="append")
