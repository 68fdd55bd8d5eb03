"""2 M OTLP spans, 8 a line in 16 gz files, into `events`, checked and published; against DuckDB's read_json.

DuckDB writes the same columns of the same spans to Parquet; it makes no pseudonyms, merges no copies, marks
no bots and checks nothing. Rows are compared one by one, ids by their pseudonyms.
"""

import statistics
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from jobs import checks, events, widgets
from jobs.config import Config
from jobs.ids import pseudonym
from jobs.shell import Ask, run_job
from jobs.synth import lake
from jobs.synth.size import Size
from jobs.tables import Tables
from tests.bench.duck import connected
from tests.bench.engine import own_home, spark_of
from tests.bench.measure import Peak, Row, scaled

USERS, FILES = 200_000, 16
ROUNDS = 3
MEMORY = "3g"
SAME = (
    "service", "trace_id", "visit", "page", "decision_id", "draw_id", '"position"', "widget", "product_id",
    "order_id", "value_cents", "widgets", "candidates", "propensities", "policy_version",
)  # fmt: skip


def run() -> list[Row]:
    """Load a day of telemetry by both, in turn."""
    users = scaled(USERS)
    size = Size(users, days=1, block_users=-(-users // FILES))
    checks.preload()
    with own_home(MEMORY) as config, spark_of(config) as spark:
        folders = lake.Folders(config.lake, {name: source.path for name, source in config.sources.items()})
        lake.write(spark, size, folders)
        # Tags are another source, which the peer does not read: their day is empty.
        subprocess.run(["rm", "-r", f"{config.lake}/{config.sources['tags'].path}"], check=True)
        Path(f"{config.lake}/{config.sources['tags'].path}/date={size.first}").mkdir(parents=True)
        day = Ask(size.first, size.first + timedelta(days=1))
        run_job(widgets.JOB, day, config, spark)
        # Not timed: to add up what all processes hold takes time of the run itself.
        with Peak() as watched:
            once(config, spark, day)
        target = Path(config.home) / "peer.parquet"
        telemetry = f"{config.lake}/{config.sources['telemetry'].path}/*/*.gz"
        ours, peers = [], []
        for _ in range(ROUNDS):
            ours.append(once(config, spark, day))
            command = [sys.executable, "-m", "tests.bench.peer_ingest", telemetry, str(target)]
            peers.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        spans, equal = agree(config, target)
    rates = [spans / statistics.median(seconds) for seconds in (ours, peers)]
    what = "OTLP spans into events, checked and published"
    return [Row(what, spans, "spans/s", *rates, "DuckDB read_json", rates[0] / rates[1], equal, watched.mib)]


def once(config: Config, spark: SparkSession, day: Ask) -> float:
    """Seconds of one run of `events`; the table is dropped before, so that nothing is unchanged."""
    tables = Tables(config.tables)
    if tables.exists("events"):
        subprocess.run(["rm", "-r", tables.path("events")], check=True)
    began = time.perf_counter()
    done = run_job(events.JOB, day, config, spark)
    assert done.status == "published"
    return time.perf_counter() - began


def agree(config: Config, theirs: Path) -> tuple[int, bool]:
    """Number of spans in the files, and whether both sides have the same events."""
    files = [path for path, _ in Tables(config.tables).files("events")]
    same = ", ".join(SAME)
    with connected() as connection:
        raw = connection.execute(
            f"select 'device' as kind, device as raw from '{theirs}'"
            f" union select 'user', \"user\" from '{theirs}'"
        ).fetchall()
        named = [
            (kind, text, pseudonym(kind, text, key=config.ids.key, key_id=config.ids.key_id))
            for kind, text in raw
            if text is not None
        ]
        columns = [pa.array(column) for column in zip(*named, strict=True)]
        connection.register("names", pa.table(dict(zip(("kind", "raw", "name"), columns, strict=True))))
        mine = (
            f'select left(event_id, 16) as span_id, event_name, epoch_us(event_at), device, "user", {same}'
            f" from read_parquet({files}, hive_partitioning = true)"
        )
        peer = (
            f"select distinct span_id, replace(p.name, '.', '_'), epoch_us(event_at), d.name, u.name, {same}"
            f" from '{theirs}' p"
            " left join names d on d.kind = 'device' and d.raw = p.device"
            " left join names u on u.kind = 'user' and u.raw = p.\"user\""
        )
        (differ,) = connection.execute(
            f"select (select count(*) from ({mine} except all {peer})),"
            f" (select count(*) from ({peer} except all {mine}))"
        ).fetchall()
        ((spans,),) = connection.execute(f"select count(*) from '{theirs}'").fetchall()
    return int(spans), bool(differ == (0, 0))
