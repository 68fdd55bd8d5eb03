"""A week of nights: `python -m tests.week` (`make week`), or one of the demo: `--demo` (`make night`).

Each night its three DAGs are triggered together, as three o'clock does, on what the shop did the day before
with the layouts that were live. In seven nights a task's process and the Connect server are killed, a day
comes poisoned, a DAG is cleared while it runs, the store's server dies, and Airflow's database is gone for a
minute. Only what an alert asks for is done by hand. At the end the house is kept. Exit code 1 says that
something was not as it should be.

`--backfill DAYS` (`make backfill-DAYS`) loads so many days run by run and as one interval instead;
`--kills ROUNDS` (`make kills-ROUNDS`) loads days with every task killed and cleared once a round.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from requests import RequestException
from rich.console import Console

from jobs.config import ROOT
from jobs.demo.day import demo_day
from jobs.house import HouseError
from jobs.store import StoreError, live
from jobs.store.care import verify
from tests.week import backfill, demo, faults, judged, keeping, kills, night
from tests.week.faults import Fault
from tests.week.night import Night
from tests.week.place import FIRST, Place, place
from tests.week.readers import Readers

PLAN = (
    Fault,
    faults.KilledTask,
    faults.PoisonedDay,
    faults.DeadStore,
    faults.KilledEngine,
    faults.Cleared,
    faults.GoneDatabase,
)
LONGEST_SECONDS = 3600
UNTOLD_SECONDS = 60  # a night that has failed and of which nobody is told is given up
PAUSE_SECONDS = 1.0


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.week", description=__doc__)
    parser.add_argument("--nights", type=int, nargs="*", help="numbers of the week's nights; all by default")
    parser.add_argument("--demo", action="store_true", help="one night of the demo that is there")
    parser.add_argument("--backfill", type=_count, metavar="DAYS", help="load so many days in both ways")
    parser.add_argument("--kills", type=_count, metavar="ROUNDS", help="every task killed once a round")
    asked = parser.parse_args()
    console = Console(width=150)
    if asked.demo:
        demo.run(console)
        return
    fetched = Path(os.environ.get("VITRINE_HOME") or ROOT / "var").absolute()
    if asked.backfill is not None:
        sys.exit(0 if backfill.run(console, fetched, asked.backfill) else 1)
    if asked.kills is not None:
        sys.exit(0 if kills.run(console, fetched, asked.kills) else 1)
    plan = [PLAN[number - 1] for number in asked.nights or range(1, len(PLAN) + 1)]
    with place(fetched) as where, Readers(where.config) as readers:
        nights: list[Night] = []
        problems: list[str] = []
        for fault in plan:
            day = night.next_day(nights[-1].day) if nights else FIRST
            if len(nights) + 1 == len(plan):
                keeping.ask(where, day)
            nights.append(run(console, where, readers, day, fault()))
            if nights[-1].flipped is None:
                break  # nobody was served from it: there is no next day
        else:
            told, problems = keeping.keep(where)
            for text in told:
                console.print(text, highlight=False)
        problems += judged.problems(where, readers, nights)
    console.print(judged.summary(nights, readers))
    for problem in problems:
        console.print(f"[bold]Not as it should be:[/bold] {problem}", highlight=False)
    sys.exit(1 if problems else 0)


def _count(text: str) -> int:
    """Return a number of 1 or more; argparse tells of any other text."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def run(console: Console, where: Place, readers: Readers, day: date, fault: Fault) -> Night:
    """Run a night and tell of it."""
    if day > FIRST:
        console.print(demo_day(where.config, where.home, day).sentence, highlight=False)
    fault.before(where, day)
    run_id = f"night__{day}"
    found = Night(day, fault, time.time())
    night.trigger(where.api, day, run_id)
    watch(where, found, run_id)
    found.flipped = readers.live_since.get(day)
    if found.flipped:
        found.figures = night.figures(where.config, run_id, found.began, found.flipped)
    try:
        pointer = live(where.config.store_url)
        if pointer is None or pointer.layout_date != day:
            found.problems.append(f"{day}: live is {pointer.layout_date if pointer else 'nothing'}")
        verify(where.config.store_url)
    except StoreError as error:
        found.problems.append(f"{day}: {error}")
    if not fault.is_done:
        found.problems.append(f"{day}: the fault did not strike: {fault.name}")
    console.print(f"[bold]{day}[/bold], fault: {fault.name}", highlight=False)
    told = (
        [found.figures.sentence, night.moved(where.config, day)] if found.figures else ["It never was live."]
    )
    for text in (*told, *found.alerts, *found.hands, *found.problems):
        console.print(f"  - {text}", highlight=False)
    return found


def watch(where: Place, found: Night, run_id: str) -> None:
    """Watch a night until it is over, let its fault strike, and lay hands on it as alerts ask for."""
    failed_since = 0.0
    of_runs, of_tasks = dict[str, str](), dict[str, dict[str, str]]()
    while time.time() - found.began < LONGEST_SECONDS:
        # Whoever asks takes processor time from the night.
        time.sleep(PAUSE_SECONDS)
        try:
            of_runs, of_tasks = night.states(where.api, run_id)
        except (HouseError, RequestException):
            continue  # without its database Airflow does not answer
        found.fault.look(where, of_tasks, run_id)
        if help_out(where, found) or catch_up(where, found, run_id, night.left_behind(of_runs, of_tasks)):
            failed_since = 0.0
        elif night.is_over(of_runs):
            failed_since = failed_since or time.time()
            if set(of_runs.values()) == {"success"}:
                return
            if time.time() - failed_since > UNTOLD_SECONDS:
                break
    ill = {dag: [task for task, state in of.items() if state == "failed"] for dag, of in of_tasks.items()}
    found.problems.append(f"{found.day}: did not end well: {of_runs}; failed tasks: {ill}")


def catch_up(where: Place, found: Night, run_id: str, left: Sequence[str]) -> bool:
    """Clear what stayed behind a task that was cleared while it failed, as the run-book says."""
    for dag_id in left:
        faults.clear(where, dag_id, run_id, only_failed=True)
        found.hands.append(f"what stayed behind in {dag_id} cleared")
    return bool(left)


def help_out(where: Place, found: Night) -> bool:
    """Read what is told, and do what is asked for; say whether a hand was laid on the night."""
    helped = False
    for alert in where.told.new():
        text, fault = alert["text"], found.fault
        found.alerts.append(text)
        if night.NOTHING_TO_DO in text:
            continue
        about = night.named_in(text)
        if not fault.alert or fault.alert not in text or about is None:
            found.problems.append(f"{found.day}: an alert that no fault explains: {text}")
            continue
        fault.mend(where, found.day)
        faults.clear(where, *about)
        dag_id, _, task = about
        found.hands.append(f"mended, and {task} of {dag_id} cleared")
        helped = True
    return helped


if __name__ == "__main__":
    main()
