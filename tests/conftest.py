"""What all tests share: one local Spark session, a data home of their own, and the demo's configuration."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent
TOGETHER = "tests/e2e/"
JARS = Path(os.environ.get("VITRINE_HOME") or ROOT / "var").absolute() / "jars"

os.environ.update(
    VITRINE_OVERLAY="demo,test",
    PYSPARK_PYTHON=sys.executable,
    SPARK_LOCAL_IP="127.0.0.1",
    GX_ANALYTICS_ENABLED="false",
    # Tests' queries are many and small: compiling them thoroughly took more than half of the JVM's time. What
    # is compiled fills the 48 MiB that this compiler has by default, and then a fifth goes to sweeping it.
    JAVA_TOOL_OPTIONS="-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC",
)
os.environ.pop("SPARK_REMOTE", None)


class ByModule(LoadScopeScheduling):
    """Hands whole modules to the workers, and those that share the running Airflow to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule:
    return ByModule(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what shares the running Airflow first: it waits a lot, and all else runs beside it."""
    items.sort(key=lambda item: not item.nodeid.startswith(TOGETHER))


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
        # Few rows, many plans: compiling them costs more than it saves. The end-to-end tests do compile.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        # Five more calls to the JVM for each one, so that an error names the line: the traceback does.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
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
