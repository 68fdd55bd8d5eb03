"""What all tests share: one local Spark session, a data home of their own, and the demo's configuration."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
JARS = Path(os.environ.get("VITRINE_HOME") or ROOT / "var").absolute() / "jars"

os.environ.update(
    VITRINE_OVERLAY="demo,test",
    PYSPARK_PYTHON=sys.executable,
    SPARK_LOCAL_IP="127.0.0.1",
    GX_ANALYTICS_ENABLED="false",
    # Tests' queries are many and small: compiling them thoroughly took more than half of the JVM's time.
    JAVA_TOOL_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
)
os.environ.pop("SPARK_REMOTE", None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests for two workers: those that share the running Airflow, which go first, and each module."""
    together = ROOT / "tests" / "e2e"
    for item in items:
        shared = together if item.path.is_relative_to(together) else item.path
        item.add_marker(pytest.mark.xdist_group(shared.relative_to(ROOT).as_posix()))
    items.sort(key=lambda item: not item.path.is_relative_to(together))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Return the one Spark session of the whole test run, in this process, with Delta."""
    from pyspark.sql import SparkSession

    from jobs.spark import SETTINGS

    if not list(JARS.glob("delta-spark_*.jar")):
        pytest.exit(f"No Delta jars in {JARS}: run `make setup` first.")
    builder = SparkSession.builder.master("local[2]").appName("tests")
    jars = ",".join(str(jar) for jar in sorted(JARS.glob("*.jar")))
    warehouse = str(tmp_path_factory.mktemp("warehouse"))
    settings = {
        **SETTINGS,
        "spark.jars": jars,
        "spark.driver.memory": "2g",
        "spark.sql.warehouse.dir": warehouse,
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty data home, that VITRINE_HOME names."""
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    return tmp_path
