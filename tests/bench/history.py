"""Days of history behind a synthetic lake, laid straight into `subject_daily`: for benchmarks.

A handful of days is drawn in the table's own shape; every day of the history is one of them, in turn, by a
link to its files (a day is a partition, so no row names it). Days of the lake itself are not touched.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from jobs.config import Config
from jobs.contracts import contract
from jobs.ids import pseudonym, subject_bucket
from jobs.synth import people, sessions, shop
from jobs.synth.people import CATEGORIES, Floats, Ints, People
from jobs.synth.sessions import HOME_WIDGETS, START_WIDGETS, Sessions
from jobs.synth.size import Size
from jobs.tables import Tables, discard

TABLE = "subject_daily"
DRAWN = 7
FIRST_DRAWN = 1 << 16  # no day of a lake
SHOWN = (*(f"start/{name}" for name in START_WIDGETS), *(f"home/{name}" for name in HOME_WIDGETS))


def lay(spark: SparkSession, config: Config, size: Size, days: int) -> None:
    """Make the days before the lake's first the content of `subject_daily`."""
    tables = Tables(config.tables)
    tables.open(TABLE)
    staged = "data/history"
    folder, pattern = f"{tables.path(TABLE)}/{staged}", f"{config.home}/drawn"
    drawn = min(DRAWN, days)
    spark.createDataFrame([(n,) for n in range(drawn)], "n int").repartition(drawn, "n").mapInArrow(
        _drawer(size, config, pattern), "n int"
    ).count()
    before = [size.first - timedelta(n) for n in range(1, days + 1)]
    for number, day in enumerate(before):
        for bucket in range(config.subject_buckets):
            target = Path(folder) / f"activity_date={day}" / f"subject_bucket={bucket}" / "part-0.parquet"
            target.parent.mkdir(parents=True)
            os.link(_drawn_file(pattern, number % drawn, bucket), target)
    discard(pattern)
    tables.publish(TABLE, staged, days=before, run_id="history")


def _drawer(size: Size, config: Config, folder: str):  # type: ignore[no-untyped-def]
    key, key_id, buckets = config.ids.key, config.ids.key_id, config.subject_buckets

    def draw(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for n in batch.column(0).to_pylist():
                _write(size, key, key_id, buckets, folder, n)
            yield batch

    return draw


def _write(size: Size, key: bytes, key_id: str, buckets: int, folder: str, n: int) -> None:
    about = contract(TABLE)
    names = [name for name in about.columns if name not in about.partition_by]
    schema = pa.schema([about.arrow_schema.remove_metadata().field(name) for name in names])
    Path(folder, f"{n}").mkdir(parents=True, exist_ok=True)
    writers = [
        pq.ParquetWriter(_drawn_file(folder, n, bucket), schema, compression="zstd")
        for bucket in range(buckets)
    ]
    for block in range(size.blocks):
        who = people.of_block(size, block)
        rows = of_day(size, who, sessions.of_day(size, who, block, FIRST_DRAWN + n), block, FIRST_DRAWN + n)
        subjects = [
            pseudonym("user", f"u{number}", key=key, key_id=key_id) for number in rows["user"].to_pylist()
        ]
        table = rows.append_column("subject", pa.array(subjects)).select(names).cast(schema)
        bucket_of = pa.array([subject_bucket(subject, buckets) for subject in subjects])
        for bucket, writer in enumerate(writers):
            writer.write_table(table.filter(pc.equal(bucket_of, bucket)))
    for writer in writers:
        writer.close()


def of_day(size: Size, who: People, held: Sessions, block: int, day: int) -> pa.Table:
    """Sum up a block's day by user, in the columns of `subject_daily`: those who came, with user number."""
    n = len(who.numbers)
    orders, lines = shop.orders(size, who, held, block, day)
    order_user = held.user[held.order_visit]
    row_of_order = {name: row for row, name in enumerate(orders["order_id"].to_pylist())}
    line_user = order_user[[row_of_order[name] for name in lines["order_id"].to_pylist()]]
    product = np.array([int(name[1:]) for name in lines["product_id"].to_pylist()], np.int64)
    serving_user = held.user[held.serving_visit]
    seen_user = serving_user[held.seen_serving]
    shown = held.widgets[held.seen_serving, held.seen_position]
    shown = np.where(held.is_home[held.seen_serving], shown + len(START_WIDGETS), shown)
    reward = np.zeros(len(shown))
    reward[held.view_seen] = 1.0
    reward[held.view_seen[held.basket_view]] = 3.0
    bought = np.unique(line_user * CATEGORIES + product % CATEGORIES)
    categories = [shop.category_name(code) for code in range(CATEGORIES)]
    arms, arm_of = np.unique(seen_user * len(SHOWN) + shown, return_inverse=True)
    table = pa.table(
        {
            "user": who.numbers,
            "orders": np.bincount(order_user, minlength=n),
            "lines": np.bincount(line_user, minlength=n),
            "sales_cents": np.bincount(line_user, lines["sales_cents"].to_numpy(), minlength=n).astype(
                np.int64
            ),
            "category_visits": _map(n, bought, categories, np.ones(len(bought), np.int64)),
            "decisions": np.bincount(serving_user, minlength=n),
            "reward_counts": _map(n, arms, SHOWN, np.bincount(arm_of, minlength=len(arms))),
            "reward_sums": _map(n, arms, SHOWN, np.bincount(arm_of, reward, minlength=len(arms))),
        }
    )
    return table.filter(pa.array(np.bincount(held.user, minlength=n) > 0))


def _map(n: int, keys: Ints, names: list[str] | tuple[str, ...], values: Ints | Floats) -> pa.MapArray:
    """A map for each user, of distinct keys (user · names + name) in order; entries sorted by name."""
    user, name = np.divmod(keys, len(names))
    rank = np.argsort(np.argsort(np.array(names)))
    order = np.lexsort((rank[name], user))
    offsets = np.searchsorted(user, np.arange(n + 1)).astype(np.int32)
    texts = pa.array(names, pa.string()).take(pa.array(name[order]))
    return pa.MapArray.from_arrays(offsets, texts, pa.array(values[order]))


def _drawn_file(folder: str, n: int, bucket: int) -> str:
    return f"{folder}/{n}/{bucket}.parquet"
