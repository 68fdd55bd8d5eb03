"""`up`, `down` and `status`: the whole house at once."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from jobs.config import home, load
from jobs.house import airflow, engine, postgres, process
from jobs.house.rest import Rest


@dataclass(frozen=True)
class Part:
    """One of the things that run here."""

    name: str
    runs: bool
    where: str


def start() -> Rest:
    """Start what is not running, saying what takes time; return a client of Airflow."""
    with _alone():
        return _start()


@contextmanager
def _alone() -> Iterator[None]:
    """Let one command at a time start or end things: a second waits, and then finds what the first did."""
    path = home() / "run" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start() -> Rest:
    config = load()
    cold = engine.is_ours(config) and not engine.answers()
    if cold:
        print("Starting the Spark engine.", flush=True)
        engine.launch(config)
    if process.running(airflow.NAME, home()) is None:
        print("Starting Airflow; it takes about half a minute.", flush=True)
    api = airflow.start(config)
    if cold:
        engine.start(config)
        engine.warm_up()
    return api


def up() -> None:
    """Start everything; print Airflow's address and login."""
    api = start()
    print(f"Airflow   {api.address}\nLogin     {api.login}\nPassword  {api.password}")
    print("End it with make down.")


def down() -> None:
    """End everything that was started here."""
    ended = []
    with _alone():
        try:
            ended += ["Airflow"] if airflow.stop() else []
        finally:
            ended += ["the Spark engine"] if engine.stop() else []
    print(f"Ended {' and '.join(ended)}." if ended else "Nothing was running.")


def parts() -> list[Part]:
    """Return what could run here, and whether it does."""
    airflow_runs = process.running(airflow.NAME, home()) is not None
    return [
        Part("engine", engine.answers(), engine.remote().partition("/;")[0] if engine.answers() else ""),
        Part("postgres", postgres.is_running(), ""),
        Part(
            "airflow",
            airflow_runs and airflow.client().is_healthy(),
            airflow.client().address if airflow_runs else "",
        ),
    ]


def status() -> None:
    """Print what runs, and where."""
    for part in parts():
        print(f"{part.name:9} {'runs' if part.runs else 'does not run':13} {part.where}")
