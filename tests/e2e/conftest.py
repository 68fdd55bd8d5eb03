"""A house of its own: engine, PostgreSQL and Airflow on free ports, over a lake of three days."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.config import ROOT
from jobs.demo.lake import write_days
from jobs.demo.source import day_of
from jobs.house import airflow, house, process
from jobs.house.rest import Rest
from tests.e2e.browser import Person
from tests.e2e.nights import FIRST, LAST, RUN_IDS

ENTITIES_WRITTEN = "2017-01-01"
# Where `make setup` put what it fetched; read here, before any test points VITRINE_HOME elsewhere.
FETCHED = Path(os.environ.get("VITRINE_HOME") or ROOT / "var").absolute()


@pytest.fixture(scope="package")
def lived_in() -> Iterator[Path]:
    """Return a data home with three days of the demo's lake in it, that VITRINE_HOME names."""
    # Not pytest's own folder: its path is longer than PostgreSQL's socket may have.
    folder = Path(tempfile.mkdtemp(prefix="vitrine-"))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
            patch.delenv(name)
        patch.setenv("VITRINE_HOME", str(folder))
        patch.setenv("VITRINE_OVERLAY", "demo,small")
        patch.setenv("VITRINE_ENGINE_PORT", "0")
        patch.setenv("VITRINE_AIRFLOW_PORT", "0")
        # Nobody changes a DAG's file meanwhile.
        patch.setenv("AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL", "3600")
        for fetched in ("jars", "source", "java"):
            if (FETCHED / fetched).exists():
                shutil.copytree(FETCHED / fetched, folder / fetched)
        write_days(folder, range(day_of(FIRST), day_of(LAST) + 1))
        begin_on_the_first_day(folder / "lake")
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


def begin_on_the_first_day(lake: Path) -> None:
    """Let entities arrive with the first day, and no order before it.

    The catalogue stays where it was as well: conf/ names its day as the one that vectors are fitted on.
    """
    for folder in sorted(lake.glob("*/date=*")):
        first = folder.with_name(f"date={FIRST}")
        if folder.name == f"date={ENTITIES_WRITTEN}" and not first.exists():
            if folder.parent.name == "products":
                shutil.copytree(folder, first)
            else:
                folder.rename(first)
        elif folder.name < first.name:
            shutil.rmtree(folder)


@pytest.fixture(scope="package")
def api(lived_in: Path) -> Iterator[Rest]:
    """Return a client of the running Airflow; everything is ended afterwards."""
    try:
        client = house.start()
        command = [Path(sys.executable).parent / "vitrine", "run", "products", "--from", ENTITIES_WRITTEN]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        yield client
    finally:
        house.down()


@pytest.fixture(scope="package")
def person(api: Rest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """Return somebody who is logged in to Airflow's pages."""
    person = Person(api, tmp_path_factory.mktemp("screenshots"))
    try:
        person.log_in()
        yield person
    finally:
        person.leave()


@pytest.fixture(scope="package")
def lake_etl(api: Rest, person: Person) -> list[dict[str, Any]]:
    """Backfill the three days by the form of the DAG's page, with a scheduler that dies; return the runs."""
    assert person.backfill("lake_etl", first=FIRST, last=LAST) == "3 runs will be triggered."
    [backfill] = api.call("GET", "backfills", params={"dag_id": "lake_etl"})["backfills"]
    _kill_scheduler()
    ended = api.wait_backfill("lake_etl", backfill["id"], seconds=2400)
    assert ended == {"success": 3}, ended
    person.sees("lake_etl", dict.fromkeys(RUN_IDS, "Success"))
    return api.backfill_runs("lake_etl", backfill["id"])


def _kill_scheduler() -> None:
    supervisor = process.running(airflow.NAME, airflow.home())
    commands = {child.pid: child.cmdline() for child in supervisor.children()}
    scheduler = next(pid for pid, command in commands.items() if "scheduler" in command)
    os.kill(scheduler, signal.SIGKILL)
    assert process.wait_until(
        lambda: any(
            "scheduler" in child.cmdline() and child.pid != scheduler
            for child in supervisor.children()
            if child.status() != psutil.STATUS_ZOMBIE
        ),
        supervisor.is_running,
        seconds=30,
    )
