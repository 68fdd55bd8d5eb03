"""Airflow on one machine: scheduler, DAG processor, triggerer and API server on loopback, kept running.

Settings that do not depend on the machine are in conf/airflow/airflow.cfg. An AIRFLOW__… variable that an
operator has set stays as it is; with AIRFLOW__DATABASE__SQL_ALCHEMY_CONN set, the embedded PostgreSQL is
not started.
"""

import base64
import importlib.metadata
import json
import os
import re
import secrets
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from jobs import telemetry
from jobs.config import ROOT, Config, home, load
from jobs.house import HouseError, engine, postgres, process
from jobs.house.rest import Rest

NAME = "airflow"
LOGIN = "operator"
POOL = "spark"
TRAINING_POOL = "training"
DAGS = ROOT / "dags"
READY_SECONDS = 300
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
NOT_FOR_TASKS = "airflow-db-not-allowed:"  # what a task finds there instead of the address
CLEANED = ("dag_run", "job", "log", "import_error")
"""Tables of Airflow's database that grow; what hangs on a run goes with it. Events that are awaited stay."""


def start(config: Config | None = None) -> Rest:
    """Start Airflow unless it runs and is healthy; return a client once the DAGs are there."""
    config, data_home = config or load(), home()
    supervisor = process.running(NAME, data_home)
    if supervisor is None:
        variables = environment(config, data_home, database=os.environ.get(DATABASE) or postgres.start())
        _migrate(variables, data_home)
        command = [sys.executable, "-m", "jobs.house.supervisor", NAME]
        supervisor = process.start(NAME, command, home=data_home, environment=variables)
    api = client()
    if not process.wait_until(api.is_healthy, supervisor.is_running, seconds=READY_SECONDS, pause=0.5):
        process.stop(NAME, data_home)
        said = process.last_words(_slowest(data_home), data_home)
        raise HouseError(
            f"{said}\nAirflow was not ready in {READY_SECONDS} s: see above, and {data_home / 'logs'}."
        )
    _furnish(api, config)
    return api


def stop() -> bool:
    """End Airflow and its database; say whether it ran."""
    ran = process.stop(NAME, home(), patience=30)
    return postgres.stop() or ran


def client() -> Rest:
    """Return a client of the API, logged in as the operator."""
    try:
        known = json.loads(_file("secrets.json", home()).read_text())
    except FileNotFoundError:
        raise HouseError("Airflow was never started here: run make up.") from None
    return Rest(f"http://127.0.0.1:{known['port']}", LOGIN, known["password"])


def command_line(arguments: list[str]) -> int:
    """Run Airflow's own command line against what runs here: `backfill create …`, `dags list`."""
    config, data_home = load(), home()
    variables = environment(config, data_home, database=os.environ.get(DATABASE) or postgres.start())
    return subprocess.run([_program(), *arguments], env=variables, check=False).returncode


def clean(before: datetime, *, dry_run: bool) -> int | None:
    """Delete from Airflow's database what is of before an instant; each DAG's last run stays.

    Returns how many rows (in a dry run, would be): None where no database of Airflow's is at hand.

    Raises
    ------
    HouseError
        When Airflow's own command fails.

    """
    told = os.environ.get(DATABASE, "")
    known = "" if told.startswith(NOT_FOR_TASKS) else told
    if not known and not postgres.is_running():
        return None
    address = known or postgres.start()
    # A task's own variable holds no address.
    variables = environment(load(), home(), database=address) | {DATABASE: address}
    command = [_program(), "db", "clean", "--clean-before-timestamp", before.isoformat(), "--yes"]
    command += ["--skip-archive", "--tables", ",".join(CLEANED), *(["--dry-run"] if dry_run else [])]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise HouseError(f"Airflow's database could not be cleaned: {said}")
    return sum(int(found) for found in re.findall(r"Found (\d+) rows", done.stdout))


def environment(config: Config, data_home: Path, *, database: str) -> dict[str, str]:
    """Return the environment of Airflow's programs and, through them, of every task."""
    known = _secrets(config, data_home)
    folder, port = data_home / NAME, known["port"]
    ours = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW_CONFIG": str(ROOT / "conf" / "airflow" / "airflow.cfg"),
        DATABASE: database,
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__SECRET_KEY": known["session"],
        "AIRFLOW__API_AUTH__JWT_SECRET": known["token"],
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": known["fernet"],
        "AIRFLOW__CORE__PARALLELISM": str(config.airflow.parallelism),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(Path(__file__).parent / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_file("passwords.json", data_home)),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
    }
    tasks = {
        **engine.environment(data_home),
        "VITRINE_OVERLAY": os.environ.get("VITRINE_OVERLAY", "demo"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "PYTHONUNBUFFERED": "1",
    }
    if telemetry.is_on():
        # gRPC is Airflow's own default; jobs and `vitrine serve` speak HTTP.
        exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp_proto_http")
        ours |= {"AIRFLOW__TRACES__OTEL_ON": "True", "OTEL_TRACES_EXPORTER": exporter}
    operators = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW__")}
    return {**tasks, **ours, **operators}


def programs(_: Path) -> dict[str, list[str]]:
    """Return the programs' commands, for the supervisor: a database of our own is kept running as well."""
    airflow = _program()
    keeper = (
        {"airflow-database": [sys.executable, "-m", "jobs.house.postgres"]} if postgres.is_running() else {}
    )
    return {
        **keeper,
        "airflow-api-server": [airflow, "api-server"],
        "airflow-scheduler": [airflow, "scheduler", "--skip-serve-logs"],
        "airflow-dag-processor": [airflow, "dag-processor"],
        "airflow-triggerer": [airflow, "triggerer", "--skip-serve-logs"],
    }


def _program() -> str:
    return str(Path(sys.executable).parent / "airflow")


def _migrate(variables: dict[str, str], data_home: Path) -> None:
    """Bring the database's tables to this version of Airflow, once for each version and database."""
    done = data_home / "postgres" / "migrated"
    version = f"{importlib.metadata.version('apache-airflow')} {variables[DATABASE].rpartition('@')[2]}"
    if done.exists() and done.read_text() == version:
        return
    log = process.log_file("airflow-migrate", data_home)
    with log.open("ab") as output:
        command = [_program(), "db", "migrate"]
        failed = subprocess.run(
            command, env=variables, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    if failed:
        said = process.last_words("airflow-migrate", data_home)
        raise HouseError(f"{said}\nAirflow's database could not be prepared: see {log}.")
    done.parent.mkdir(parents=True, exist_ok=True)
    done.write_text(version)


def _secrets(config: Config, data_home: Path) -> dict[str, str]:
    """Return the port, the operator's password and the keys of this home, made up once."""
    path = _file("secrets.json", data_home)
    known = json.loads(path.read_text()) if path.exists() else {}
    if process.running(NAME, data_home) is None:
        wanted = known.get("port") or os.environ.get("VITRINE_AIRFLOW_PORT") or config.airflow.port
        known = {
            "password": secrets.token_urlsafe(12),
            "session": secrets.token_hex(32),
            "token": secrets.token_hex(32),
            "fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            **known,
            "port": process.free_port(int(wanted)),
        }
        process.write_secret(path, json.dumps(known))
        process.write_secret(_file("passwords.json", data_home), json.dumps({LOGIN: known["password"]}))
    return known


def _file(name: str, data_home: Path) -> Path:
    return data_home / NAME / name


def _slowest(data_home: Path) -> str:
    """Name the program whose log was written last: most often the one that fails."""
    logs = (data_home / "logs").glob("airflow-*.log")
    return max(logs, key=lambda log: log.stat().st_mtime, default=Path("airflow-scheduler.log")).stem


def let_train(api: Rest, *, at_once: int) -> None:
    """Say how many tasks of `closing_training` may run at once: beside a night, few; 0 holds them back."""
    api.put_pool(TRAINING_POOL, at_once, "tasks of closing_training at once")


def _furnish(api: Rest, config: Config) -> None:
    """Make what the DAGs name: the pool that keeps Spark's tasks few, and the engine as a connection."""
    slots = max(1, config.airflow.parallelism - 1)
    api.put_pool(POOL, slots, "tasks that use the Spark engine at once")
    let_train(api, at_once=1)
    connection = {"connection_id": "vitrine_engine", "description": "Vitrine's Spark engine"}
    if config.engine.kind == "submit":
        master = config.engine.settings.get("spark.master", "local[*]")
        api.put_connection({**connection, "conn_type": "spark", "host": master})
    else:
        address = urlsplit(engine.remote(config))
        token = address.path.rpartition("token=")[2] or None
        host = {"host": address.hostname, "port": address.port, "password": token}
        api.put_connection({**connection, "conn_type": "spark_connect", **host})
    expected = {file.stem for file in DAGS.glob("*.py") if file.stem != "wiring"}
    if not process.wait_until(lambda: expected <= api.dag_ids(), lambda: True, seconds=60, pause=0.5):
        raise HouseError(
            f"Airflow did not take these DAGs: {api.import_errors() or ', '.join(sorted(expected))}."
        )
