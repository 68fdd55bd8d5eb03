"""The engine: a warm Spark Connect server on loopback that jobs borrow, so that a small job costs seconds.

Whoever connects needs the token in {home}/engine/remote, which only the owner can read. Address and token
stay the same from start to start, unless somebody else took the port meanwhile.
"""

import os
import secrets
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from jobs.config import Config, engine_address, home, load
from jobs.house import HouseError, java, process
from jobs.house.jars import jar_paths

NAME = "engine"
READY_SECONDS = 180
SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"
WARM_UP = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
numbers = spark.range(1000)
print(numbers.mapInArrow(lambda batches: batches, numbers.schema).groupBy("id").count().count())
spark.stop()
"""


def remote(config: Config | None = None) -> str:
    """Return the address that jobs connect to: the server started here, else the one that conf/ names."""
    config = config or load()
    if not is_ours(config):
        return config.engine.remote
    try:
        return engine_address(home()).read_text().strip()
    except FileNotFoundError:
        raise HouseError("The engine does not run: start it with make up.") from None


def is_ours(config: Config) -> bool:
    """Whether conf/ names a server on this machine, which is then started and stopped here."""
    return config.engine.kind == "connect" and config.engine.is_here


def launch(config: Config | None = None) -> None:
    """Start the server unless it runs, and do not wait for it."""
    config, data_home = config or load(), home()
    if process.running(NAME, data_home):
        return
    jar_paths(data_home)
    for folder in ("warehouse", "scratch"):
        (data_home / NAME / folder).mkdir(parents=True, exist_ok=True)
    _write_address(config, data_home)
    command = [sys.executable, "-m", "jobs.house.supervisor", NAME]
    process.start(NAME, command, home=data_home, environment=environment(data_home))


def start(config: Config | None = None) -> str:
    """Start the server unless it runs, wait until it answers, and return its address."""
    config, data_home = config or load(), home()
    launch(config)
    if not process.wait_until(answers, lambda: bool(process.running(NAME, data_home)), seconds=READY_SECONDS):
        process.stop(NAME, data_home)
        said = process.last_words("engine-server", data_home)
        raise HouseError(
            f"{said}\nThe engine did not start: see above, and {data_home / 'logs'}/engine-server.log."
        )
    return remote(config)


def warm_up() -> subprocess.Popen[bytes]:
    """Run a first small query beside whatever else starts: the first one in a JVM takes seconds."""
    command = [sys.executable, "-c", WARM_UP, remote()]
    with process.log_file("engine-warm-up", home()).open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment(home()))


def stop() -> bool:
    """End the server; say whether it ran."""
    return process.stop(NAME, home())


def answers() -> bool:
    """Whether a server listens at the address that was noted at its start."""
    port = _known(home())[0]
    return port > 0 and process.is_listening(port)


def environment(data_home: Path) -> dict[str, str]:
    """Return what Spark's processes need in their environment: a Java, this Python, one thread a worker.

    Programs of this Python's own environment, spark-submit and vitrine among them, come first on the path.
    """
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    spark = {
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    found = java.environment(data_home)
    # As in the Makefile: a task must not compile anew what it imports.
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    path = os.pathsep.join([str(Path(sys.executable).parent), found["PATH"]])
    return {**found, **single, **spark, "PATH": path, "VITRINE_HOME": str(data_home)}


def programs(data_home: Path) -> dict[str, list[str]]:
    """Return the commands, for the supervisor; the server's token goes by the environment, unseen."""
    import pyspark

    from jobs.spark import settings

    port, token = _known(data_home)
    os.environ["SPARK_CONNECT_AUTHENTICATE_TOKEN"] = token
    os.chdir(data_home / NAME)
    server = {
        **settings(load()),
        "spark.authenticate": "true",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.connect.session.manager.defaultSessionTimeout": "365d",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": str(data_home / NAME / "scratch"),
        "spark.log.level": "WARN",
        "spark.sql.warehouse.dir": str(data_home / NAME / "warehouse"),
    }
    command = [str(Path(pyspark.__path__[0]) / "bin" / "spark-submit"), "--master", "local[*]"]
    for key, value in server.items():
        command += ["--conf", f"{key}={value}"]
    return {
        "engine-server": [*command, "--class", SERVER, "spark-internal"],
        "engine-warm": [sys.executable, "-m", "jobs.house.warm", str(data_home / NAME / "warm")],
    }


def _known(data_home: Path) -> tuple[int, str]:
    """Return port and token noted at the last start; port 0 when there was none."""
    try:
        address = urlsplit(engine_address(data_home).read_text().strip())
    except FileNotFoundError:
        return 0, ""
    return address.port or 0, address.path.rpartition("token=")[2]


def _write_address(config: Config, data_home: Path) -> None:
    port, token = _known(data_home)
    wanted = port or os.environ.get("VITRINE_ENGINE_PORT") or urlsplit(config.engine.remote).port or 15002
    # Spark's client sends a token without TLS to the name localhost only.
    free = process.free_port(int(wanted))
    process.write_secret(
        engine_address(data_home), f"sc://localhost:{free}/;token={token or secrets.token_hex(16)}\n"
    )
