"""A Spark session of a benchmark's own, in its process, on a data home of its own."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from jobs.config import Config, home, load
from jobs.spark import session


@contextmanager
def own_home(memory: str) -> Iterator[Config]:
    """Give an empty data home on the disk of the real one, with its jars; what was in it is gone after."""
    real = home()
    scratch = real / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    before = {name: os.environ.get(name) for name in ("VITRINE_HOME", "VITRINE_OVERLAY", "VITRINE_ENGINE")}
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        (Path(folder) / "jars").symlink_to(real / "jars")
        os.environ.update(VITRINE_HOME=folder, VITRINE_OVERLAY="synth", VITRINE_ENGINE="local")
        try:
            config = load()
            engine = config.engine.model_copy(update={"memory": memory})
            yield config.model_copy(update={"engine": engine})
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextmanager
def spark_of(config: Config) -> Iterator[SparkSession]:
    """Open the session, and stop it at the end: another may want more memory."""
    os.environ.update(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    spark = session(config)
    spark.sparkContext.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()
