"""Scoring, ranking and drawing N subjects × 2 pages × 50 widgets, Delta to Delta, by the job `layouts`.

Three sizes, the same widgets and policies: per subject the largest should cost no more than the smallest.
Then, at the middle size, a night on which a tenth of the subjects was active beside a full one, with how many
draws moved; and at the smallest the digest of the night's rows by 2, 7 and 50 partitions, which must agree.
"""

import time
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from jobs import checks, layouts
from jobs.config import Config
from jobs.contracts import contract
from jobs.maps import mapped
from jobs.shell import Ask, run_job
from jobs.tables import Tables
from ml.bandits import statistics
from tests.bench.engine import own_home, spark_of
from tests.bench.measure import Peak, Row, scaled

SIZES = (250_000, 1_000_000, 2_000_000)
WARM = 1_000
BLOCK = 100_000
WIDGETS = tuple(f"w{number:02d}" for number in range(50))
THEMES = ("assortment", "grocery", "meat", "popular", "produce")
DAY = date(2017, 10, 8)
LIVE = {"home": "linucb-home", "start": "linucb-start"}
RULES = {"diversity": {"kind": "mmr", "strength": 0.05}, "caps": {"grocery": 3}, "spacing": 1}
MEMORY = "3g"
PARTITIONS = (2, 7, 50)
ACTIVE = 0.1


def run() -> list[Row]:
    """Draw the nights, each size in tables of its own."""
    checks.preload()
    small, middle, large = map(scaled, SIZES)
    rows, by_size = [], {}
    warm()
    for size in (small, middle, large):
        with own_home(MEMORY) as given, spark_of(given) as spark:
            config = steered(given)
            lay(config, size, DAY - timedelta(1), active=1.0)
            by_size[size], peak = night(config, spark, DAY - timedelta(1))
            rows.append(Row("a full night", size, "s", by_size[size], peak_mib=peak))
            if size == middle:
                lay(config, size, DAY, active=ACTIVE)
                seconds, peak = night(config, spark, DAY)
                share = moved(config)
                what = f"a night with {ACTIVE:.0%} of subjects active, {share:.0%} of the draws moved"
                full = by_size[size]
                rows.append(
                    Row(what, size, "s", seconds, full, "a full night", full / seconds, peak_mib=peak)
                )
            if size == small:
                found = [digest(config, spark, count) for count in PARTITIONS]
                same = len(set(found)) == 1
                rows.append(Row("digests by 2, 7 and 50 partitions", size, "", len(set(found)), equal=same))
    each = {size: 1e6 * seconds / size for size, seconds in by_size.items()}
    what = "per subject, the largest beside the smallest"
    return [*rows, Row(what, large, "µs", each[large], each[small], "smallest", each[small] / each[large])]


def warm() -> None:
    """Draw a small night that does not count: what is compiled is compiled then."""
    with own_home(MEMORY) as given, spark_of(given) as spark:
        config = steered(given)
        lay(config, WARM, DAY - timedelta(1), active=1.0)
        night(config, spark, DAY - timedelta(1))


def steered(config: Config) -> Config:
    """Return a configuration in which both pages are drawn by LinUCB, home under rules."""
    pages = {
        name: type(page).model_validate(
            {**page.model_dump(exclude_none=True), "policy": LIVE[name]}
            | ({"rules": RULES} if name == "home" else {})
        )
        for name, page in config.pages.items()
    }
    return config.model_copy(update={"pages": pages})


def night(config: Config, spark: SparkSession, day: date) -> tuple[float, int]:
    """Run the job for a night; return its seconds and the peak MiB."""
    began = time.perf_counter()
    with Peak() as watched:
        run_job(layouts.JOB, Ask(day, day + timedelta(1), f"bench-{day}"), config, spark)
    return time.perf_counter() - began, watched.mib


def moved(config: Config) -> float:
    """Return the share of the night's layouts that are not those of the night before."""
    own = (ds.field("layout_date") == DAY) & ~(ds.field("subject") < "s")
    drawn = Tables(config.tables).read("layouts", own, ["drawn_date"])["drawn_date"].to_numpy()
    return float((drawn == np.datetime64(DAY)).mean())


def digest(config: Config, spark: SparkSession, partitions: int) -> str:
    """Draw the night once more over so many partitions; return the digest of its rows."""
    spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
    spark.conf.set("spark.sql.adaptive.coalescePartitions.enabled", "false")
    day = DAY - timedelta(1)
    run_job(layouts.JOB, Ask(day, day + timedelta(1), f"bench-{partitions}"), config, spark)
    frame = spark.read.format("delta").load(Tables(config.tables).path("layouts"))
    return str(checks.measure(frame, contract("layouts"))[checks.DIGEST])


def lay(config: Config, subjects: int, day: date, *, active: float) -> None:
    """Write the features of a day, and on the first of them widgets and policies."""
    tables = Tables(config.tables)
    if not tables.exists("widgets"):
        tables.append("widgets", [widget(number) for number in range(len(WIDGETS))])
        append(tables, "policies", [policy(config, page, day) for page in LIVE])
    for first in range(0, subjects, BLOCK):
        _features(config, tables, day, first, min(BLOCK, subjects - first), active)


def widget(number: int) -> dict[str, Any]:
    """Return a row of widgets."""
    return {
        "widget": WIDGETS[number], "changed_date": date(2017, 1, 1), "kind": "carousel", "pages": list(LIVE),
        "theme": THEMES[number % len(THEMES)], "core_theme": ("personal", "popular")[number % 2],
        "intent": "replenish", "is_deleted": False,
    }  # fmt: skip


def policy(config: Config, page: str, day: date) -> dict[str, Any]:
    """Return a row of policies: coefficients drawn at random, and the identity as their covariance."""
    spec = config.policies[LIVE[page]]
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
        for spec in LIVE.values()
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
            np.where(is_active, np.datetime64(day), np.datetime64(day - timedelta(60)))
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
