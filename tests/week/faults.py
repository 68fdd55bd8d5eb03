"""What goes wrong in a week, when, and what a person does about it if an alert asks for it."""

import shutil
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.house import airflow, engine, postgres, process
from tests.week.place import Place

GONE_SECONDS = 60.0
States = Mapping[str, Mapping[str, str]]


@dataclass
class Fault:
    """A fault, done once; `alert` is part of the one alert that it must lead to, empty where none is due."""

    name: str = "none"
    alert: str = ""
    is_done: bool = True

    def before(self, place: Place, day: date) -> None:
        """Do what is done before the night."""

    def look(self, place: Place, states: States, run_id: str) -> None:
        """Strike if the time has come; `states` are those of the night's tasks, by DAG."""

    def mend(self, place: Place, day: date) -> None:
        """Do what the alert asks for; the task is cleared afterwards."""


@dataclass
class WhileAtWork(Fault):
    """A fault that strikes while a job is at work."""

    task: str = ""
    is_done: bool = False

    def look(self, place: Place, states: States, run_id: str) -> None:
        """Strike if the job is at work."""
        if not self.is_done and (jobs := _jobs(place.home, self.task)):
            self.is_done = self.strike(place, jobs, run_id)

    def strike(self, place: Place, jobs: Sequence[psutil.Process], run_id: str) -> bool:
        """Do it, and say whether it was done."""
        raise NotImplementedError


@dataclass
class KilledTask(WhileAtWork):
    """Both the process of a task and the job that it started are killed: Airflow tries again."""

    name: str = "a task's process killed"
    task: str = "outcomes"

    def strike(self, place: Place, jobs: Sequence[psutil.Process], run_id: str) -> bool:
        """Kill the job, and the process that waits for it."""
        for job in jobs:
            with suppress(psutil.Error):  # it has just ended
                parent = job.parent()
                if parent is not None:
                    parent.kill()
                job.kill()
                return True
        return False


@dataclass
class KilledEngine(WhileAtWork):
    """Spark's Connect server is killed while a job is at work: it is started again, and so is the job."""

    name: str = "the Connect server killed"
    task: str = "feedback"

    def strike(self, place: Place, jobs: Sequence[psutil.Process], run_id: str) -> bool:
        """Kill it."""
        servers = [
            member
            for member, words in members(engine.NAME, place.home)
            if any(engine.SERVER in word for word in words)
        ]
        for server in servers:
            server.kill()
        return bool(servers)


@dataclass
class PoisonedDay(Fault):
    """Every second order comes without its customer: a check stops it, and the feed is sent again."""

    name: str = "a poisoned day"
    alert: str = "Task orders of lake_etl"
    is_done: bool = False

    def before(self, place: Place, day: date) -> None:
        """Put a broken file in the place of the day's orders."""
        file = _orders(place.home, day)
        shutil.copy(file, _kept(place.home))
        orders = pq.read_table(file)
        users = [user if number % 2 else None for number, user in enumerate(orders["user_id"].to_pylist())]
        at = orders.schema.get_field_index("user_id")
        pq.write_table(orders.set_column(at, "user_id", pa.array(users, pa.string())), file)
        self.is_done = True

    def mend(self, place: Place, day: date) -> None:
        """Have the feed sent again."""
        shutil.copy(_kept(place.home), _orders(place.home, day))


@dataclass
class Cleared(WhileAtWork):
    """Somebody clears the whole of lake_etl while it runs."""

    name: str = "lake_etl cleared while it ran"
    task: str = "feedback"

    def strike(self, place: Place, jobs: Sequence[psutil.Process], run_id: str) -> bool:
        """Clear it."""
        clear(place, "lake_etl", run_id)
        return True


@dataclass
class DeadStore(Fault):
    """The store's server dies when the layouts are there: readers are told, and it is started again."""

    name: str = "the store's server dead"
    alert: str = "The new layouts of nightly_layouts"
    is_done: bool = False

    def look(self, place: Place, states: States, run_id: str) -> None:
        """Kill it."""
        night = states["nightly_layouts"]
        if not self.is_done and night.get("layouts") == "success" and night.get("export") != "success":
            place.redis.stop()
            self.is_done = True

    def mend(self, place: Place, day: date) -> None:
        """Start it."""
        place.restart_store()


@dataclass
class GoneDatabase(WhileAtWork):
    """Airflow's database is killed, and nobody starts it again for a minute: its tasks are tried again."""

    name: str = "the metadata database gone for a minute"
    task: str = "feedback"

    def strike(self, place: Place, jobs: Sequence[psutil.Process], run_id: str) -> bool:
        """Kill it, and hold whoever would start it again."""
        for member, words in members(airflow.NAME, place.home):
            if postgres.__name__ in words:
                member.suspend()
                threading.Timer(GONE_SECONDS, member.resume).start()
                known = (place.home / "postgres" / "data" / "postmaster.pid").read_text()
                psutil.Process(int(known.split()[0])).kill()
                return True
        return False


def clear(place: Place, dag_id: str, run_id: str, task: str = "", *, only_failed: bool = False) -> None:
    """Clear a run, what failed of it, or a task of it with those after it."""
    body = {"dag_run_id": run_id, "only_failed": only_failed, "reset_dag_runs": True, "dry_run": False}
    some = {"task_ids": [task], "include_downstream": True} if task else {}
    place.api.call("POST", f"dags/{dag_id}/clearTaskInstances", json=body | some)


def _orders(home: Path, day: date) -> Path:
    return home / "lake" / "orders" / f"date={day}" / "orders.parquet"


def _kept(home: Path) -> Path:
    return home / "orders.parquet"


def _jobs(home: Path, task: str) -> list[psutil.Process]:
    """Return the processes of this house that run a job."""
    return [member for member, words in members(airflow.NAME, home) if task_of(words) == task]


def task_of(words: Sequence[str]) -> str | None:
    """Return the task that a command is the process of, as `vitrine run users` or `vitrine pin`, if any."""
    own = [Path(word).name for word in words[:2]]
    if "vitrine" not in own:
        return None
    told = [*words[own.index("vitrine") + 1 :], "", ""]
    return (told[1] if told[0] == "run" else told[0]) or None


def members(name: str, home: Path) -> list[tuple[psutil.Process, list[str]]]:
    """Return the processes under a supervisor with their commands, without those that are ending."""
    supervisor = process.running(name, home)
    found = []
    for member in supervisor.children(recursive=True) if supervisor else []:
        with suppress(psutil.Error):
            found.append((member, member.cmdline()))
    return found
