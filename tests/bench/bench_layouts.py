"""Scoring, ranking and drawing N subjects × 2 pages × 50 widgets, Delta to Delta, by the job `layouts`.

Three sizes, the same widgets and policies: per subject the largest should cost no more than the smallest. At
each a night on which a tenth of the subjects was active stands beside the full one before it: it should cost
0.3 of it or less, and says how many draws stand. At the smallest, the digests of either night by 2, 7 and 50
partitions must agree, and what stands on the quiet night must be what drawing everybody again gives.
"""

import time
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import checks, layouts
from jobs.config import Config
from jobs.contracts import contract
from jobs.due import of_night
from jobs.maps import mapped
from jobs.scenarios import LIVE
from jobs.shell import Ask, run_job
from jobs.tables import Tables
from ml.bandits import statistics
from tests.bench.engine import own_home, spark_of
from tests.bench.measure import Peak, Row, scaled
from tests.jobs.given import digest as rows_digest

SIZES = (250_000, 1_000_000, 2_000_000)
WARM = 1_000
BLOCK = 100_000
WIDGETS = tuple(f"w{number:02d}" for number in range(50))
THEMES = ("assortment", "grocery", "meat", "popular", "produce")
DAY = date(2017, 10, 8)
BEFORE = DAY - timedelta(1)
DRAWN_BY = {"home": "linucb-home", "start": "linucb-start"}
RULES = {"diversity": {"kind": "mmr", "strength": 0.05}, "caps": {"grocery": 3}, "spacing": 1}
MEMORY = "3g"
PARTITIONS = (2, 7, 50)
SPLIT = ("spark.sql.shuffle.partitions", "spark.sql.adaptive.coalescePartitions.enabled")
ACTIVE = 0.1


def run() -> list[Row]:
    """Draw the nights, each size in tables of its own."""
    checks.preload()
    sizes = [scaled(size) for size in SIZES]
    rows, each = [], {}
    two_nights(WARM)  # does not count: what is compiled is compiled then
    for size in sizes:
        found = two_nights(size, digests=size == sizes[0])
        rows += found
        each[size] = 1e6 * found[0].ours / size
    small, large = sizes[0], sizes[-1]
    what = "per subject, the largest beside the smallest"
    return [*rows, Row(what, large, "µs", each[large], each[small], "smallest", each[small] / each[large])]


def two_nights(size: int, *, digests: bool = False) -> list[Row]:
    """Draw a full night and a quiet one of so many subjects."""
    rows = []
    with own_home(MEMORY) as given, spark_of(given) as spark:
        config = steered(given)
        lay(config, size, BEFORE, active=1.0)
        full, peak, _ = night(config, spark, BEFORE)
        rows.append(Row("a full night", size, "s", full, peak_mib=peak))
        if digests:
            rows.append(_digests("a full night's", config, spark, BEFORE, size))
        lay(config, size, DAY, active=ACTIVE)
        seconds, peak, told = night(config, spark, DAY)
        what = f"a night with {ACTIVE:.0%} active: {told.partition(' as they')[0]}"
        rows.append(Row(what, size, "s", seconds, full, "full night", full / seconds, peak_mib=peak))
        if digests:
            rows.append(_digests("a quiet night's", config, spark, DAY, size))
            found = {stands(config, spark), whole(config, spark)}
            rows.append(Row("what stands, all drawn anew", size, "", len(found), equal=len(found) == 1))
    return rows


def _digests(whose: str, config: Config, spark: SparkSession, day: date, size: int) -> Row:
    found = {digest(config, spark, day, count) for count in PARTITIONS}
    return Row(f"{whose} digests by 2, 7, 50 partitions", size, "", len(found), equal=len(found) == 1)


def steered(config: Config) -> Config:
    """Return a configuration in which both pages are drawn by LinUCB, home under rules."""
    pages = {
        name: type(page).model_validate(
            {**page.model_dump(exclude_none=True), "policy": DRAWN_BY[name]}
            | ({"rules": RULES} if name == "home" else {})
        )
        for name, page in config.pages.items()
    }
    return config.model_copy(update={"pages": pages})


def night(config: Config, spark: SparkSession, day: date) -> tuple[float, int, str]:
    """Run the job for a night; return its seconds, the peak MiB, and what the run says."""
    began = time.perf_counter()
    with Peak() as watched:
        done = run_job(layouts.JOB, Ask(day, day + timedelta(1), f"bench-{day}"), config, spark)
    return time.perf_counter() - began, watched.mib, done.message


def digest(config: Config, spark: SparkSession, day: date, partitions: int) -> str:
    """Draw a night once more over so many partitions; return the digest of its rows."""
    before = {name: spark.conf.get(name) for name in SPLIT}
    for name, value in zip(SPLIT, (str(partitions), "false"), strict=True):
        spark.conf.set(name, value)
    done = run_job(layouts.JOB, Ask(day, day + timedelta(1), f"bench-{partitions}"), config, spark)
    for name, value in before.items():
        spark.conf.set(name, str(value))
    return done.content_digest


def stands(config: Config, spark: SparkSession) -> str:
    """Return the digest of the layouts that stand on the quiet night."""
    drawn, features = (table(config, spark, name) for name in ("layouts", "subject_features"))
    return measured(of_night(drawn, features, DAY))


def whole(config: Config, spark: SparkSession) -> str:
    """Draw everybody's layouts of the quiet night, under a name of their own; return their digest."""
    named = config.with_arguments("layouts", {"scenario": "whole"}, {"scenario"})
    run_job(layouts.JOB, Ask(DAY, DAY + timedelta(1), "bench-whole"), named, spark)
    drawn = table(config, spark, "layouts").where((F.col("scenario") == "whole") & (F.size("widgets") > 0))
    return measured(drawn.withColumn("scenario", F.lit(LIVE)))


def table(config: Config, spark: SparkSession, name: str) -> DataFrame:
    """Open a table."""
    return spark.read.format("delta").load(Tables(config.tables).path(name))


def measured(rows: DataFrame) -> str:
    """Return the digest of layouts."""
    return rows_digest(rows, contract("layouts"))


def lay(config: Config, subjects: int, day: date, *, active: float) -> None:
    """Write the features of a day, and on the first of them widgets and policies."""
    tables = Tables(config.tables)
    if not tables.exists("widgets"):
        tables.append("widgets", [widget(number) for number in range(len(WIDGETS))])
        append(tables, "policies", [policy(config, page, day) for page in DRAWN_BY])
    for first in range(0, subjects, BLOCK):
        _features(config, tables, day, first, min(BLOCK, subjects - first), active)


def widget(number: int) -> dict[str, Any]:
    """Return a row of widgets."""
    return {
        "widget": WIDGETS[number], "changed_date": date(2017, 1, 1), "kind": "carousel",
        "pages": list(DRAWN_BY),
        "theme": THEMES[number % len(THEMES)], "core_theme": ("personal", "popular")[number % 2],
        "intent": "replenish", "is_deleted": False,
    }  # fmt: skip


def policy(config: Config, page: str, day: date) -> dict[str, Any]:
    """Return a row of policies: coefficients drawn at random, and the identity as their covariance."""
    spec = config.policies[DRAWN_BY[page]]
    width, rng = config.feature_sets[spec.feature_set].width, np.random.default_rng(7)
    theta = rng.normal(scale=0.3, size=(len(WIDGETS), width))
    covariance = statistics.pack(np.tile(0.01 * np.eye(width), (len(WIDGETS), 1, 1)))
    return {
        "policy_version": f"{spec.name}@{day}", "fitted_date": day, "page": page, "spec": spec.name,
        "spec_digest": spec.digest, "widgets": list(WIDGETS), "theta": theta.ravel().tolist(),
        "covariance": covariance.ravel().tolist(),
    }  # fmt: skip


def append(tables: Tables, name: str, rows: list[dict[str, Any]]) -> None:
    """Add rows to a table; columns that they lack are null."""
    schema = contract(name).arrow_schema
    whole = [{field.name: row.get(field.name) for field in schema} for row in rows]
    tables.open(name)
    write_deltalake(tables.path(name), pa.Table.from_pylist(whole, schema=schema), mode="append")


def _features(config: Config, tables: Tables, day: date, first: int, rows: int, active: float) -> None:
    rng = np.random.default_rng([11, day.toordinal(), first])
    wanted = {
        each.name
        for spec in DRAWN_BY.values()
        for each in config.feature_sets[config.policies[spec].feature_set].context
    }
    plain = sorted(name for name in wanted if name.count("/") < 2 and name != "intercept")
    number = np.arange(first, first + rows)
    is_active = rng.random(rows) < active
    schema = contract("subject_features").arrow_schema
    columns = {
        "subject": pa.array([f"s{one:08d}" for one in number]),
        "subject_bucket": pa.array(number % config.subject_buckets, pa.int32()),
        "feature_date": pa.array([day] * rows),
        "last_active_date": pa.array(
            np.where(is_active, np.datetime64(day), np.datetime64(day - timedelta(1)))
        ),
        "role": pa.array(["customer"] * rows),
        "features": mapped({name: rng.gamma(2.0, size=rows) for name in plain}, rows),
        "widget_shares": mapped({name: rng.beta(1, 8, size=rows) for name in WIDGETS}, rows),
        "widget_reward_means": mapped({}, rows),
    }
    table = pa.table(
        {each.name: columns.get(each.name, pa.nulls(rows, each.type)).cast(each.type) for each in schema},
        schema=schema,
    )
    tables.open("subject_features")
    write_deltalake(tables.path("subject_features"), table, mode="append")
