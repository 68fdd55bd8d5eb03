"""One small Spark job, process start to exit: against the warm engine, beside the same by spark-submit.

1,000 orders in, one day's partition of `orders` out, through the shell with its checks and its manifest.
"""

import statistics
import sys
import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pyspark

from jobs import runs
from jobs.config import home, load
from jobs.spark import settings
from jobs.tables import Tables
from tests.bench.measure import Row, timed

ORDERS = 1000
ROUNDS = 5
FIRST = date(2017, 9, 1)


def run() -> list[Row]:
    """Time both ways in turn, on the same days of the same lake; compare the digests of what they made."""
    from jobs.house import engine

    config = load()
    remote = engine.start(config)
    jars = {"spark.jars": ",".join(str(jar) for jar in (home() / "jars").glob("*.jar"))}
    options = {**settings(config), **jars, "spark.master": "local[2]", "spark.log.level": "ERROR"}
    submit = [str(Path(pyspark.__file__).parent / "bin" / "spark-submit")]
    submit += [part for key, value in options.items() for part in ("--conf", f"{key}={value}")]
    ours, theirs, digests, peak = [], [], [], 0
    with tempfile.TemporaryDirectory() as warm, tempfile.TemporaryDirectory() as cold:
        for number in range(ROUNDS + 1):
            day = FIRST + timedelta(number)
            interval = ["--from", day.isoformat()]
            for folder in (warm, cold):
                write_orders(Path(folder), day)
            command = [str(Path(sys.executable).parent / "vitrine"), "run", "orders", *interval]
            a = timed(command, {"VITRINE_HOME": warm, "VITRINE_ENGINE": "connect", "SPARK_REMOTE": remote})
            script = [*submit, str(Path(runs.__file__).parent / "orders.py"), *interval]
            own_engine = {"VITRINE_ENGINE": "submit", "SPARK_REMOTE": None, "PYSPARK_PYTHON": sys.executable}
            b = timed(script, {"VITRINE_HOME": cold, "SPARK_LOCAL_IP": "127.0.0.1", **own_engine})
            digests.append(digest(warm, day) == digest(cold, day))
            if number:  # the first round warms both up
                ours.append(a.seconds)
                theirs.append(b.seconds)
                peak = max(peak, a.peak_mib)
    mine, peer = statistics.median(ours), statistics.median(theirs)
    what = "small job, process start to exit"
    return [Row(what, ORDERS, "s", mine, peer, "spark-submit", peer / mine, all(digests), peak)]


def write_orders(folder: Path, day: date, count: int = ORDERS) -> None:
    """Put a day of orders into a lake."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo("America/New_York"))
    rows = {
        "order_id": [f"{day:%m%d}{n:05d}" for n in range(count)],
        "user_id": [f"h{n % 300}" for n in range(count)],
        "store_id": [str(n % 7) for n in range(count)],
        "ordered_at": [noon + timedelta(seconds=n) for n in range(count)],
    }
    target = folder / "lake" / "orders" / f"date={day}"
    target.mkdir(parents=True)
    pq.write_table(pa.table(rows), target / "orders.parquet")


def digest(folder: str, day: date) -> str:
    """Return the content digest of the day's run."""
    found = [row for row in runs.of_job(Tables(f"{folder}/tables"), "orders") if day in row["days"]]
    assert found[-1]["status"] == "published"
    assert found[-1]["rows_out"] == ORDERS
    return str(found[-1]["content_digest"])
