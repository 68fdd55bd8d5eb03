"""Every task of `lake_etl` killed on its way and cleared, round after round: rows as if nothing had been.

Days are loaded in peace first, up to one on which checkpoints are made. In a round each task's process is
killed once with SIGKILL (the engine's process that worked for it ends with it), at a moment of its life in
peace; when Airflow has seen it, the task is cleared as a person does on its page. Rounds divide that life
among them: each draws a moment in its own part.
"""

import random
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from math import inf
from pathlib import Path

import psutil
from requests import RequestException
from rich.console import Console

from jobs.house import HouseError, airflow
from tests.week import backfill, faults
from tests.week.place import FIRST, Place

SEED = 7
DAYS = (date(2017, 9, 3) - FIRST).days + 1  # the last one settles the checkpoints of August
KILLED = ("up_for_retry", "failed")
PAUSE_SECONDS = 0.1
ASK_SECONDS = 1.0


@dataclass
class Round:
    """Loads days; kills each task once at an age, in seconds, where one is given for it."""

    at: Mapping[str, float] = field(default_factory=dict)
    tasks: frozenset[str] = frozenset()
    lived: dict[str, float] = field(default_factory=dict)
    killed: dict[str, float] = field(default_factory=dict)
    cleared: set[str] = field(default_factory=set)

    def load(self, where: Place, first: date, last: date) -> backfill.Ended:
        """Load the days; return when they were asked for, and the state in which the run ended."""
        began, asked = time.time(), 0.0
        run_id = where.api.trigger(backfill.DAG, first=first, last=last)
        self.tasks = frozenset(where.api.task_states(backfill.DAG, run_id))
        while time.time() - began < backfill.LONGEST_SECONDS:
            self._look(where)
            if time.monotonic() - asked > ASK_SECONDS:
                asked = time.monotonic()
                with suppress(HouseError, RequestException):  # a busy Airflow answers late, or not
                    if self.waiting:
                        self._clear(where, run_id)
                    state = where.api.run_state(backfill.DAG, run_id)
                    if state == "success" or (state == "failed" and not self.waiting):
                        return began, state
            time.sleep(PAUSE_SECONDS)
        raise HouseError(f"{backfill.DAG} did not end: {where.api.failure(backfill.DAG, run_id)}")

    @property
    def waiting(self) -> set[str]:
        """Tasks that were killed and not cleared."""
        return set(self.killed) - self.cleared

    def _look(self, where: Place) -> None:
        """See how old the tasks' processes are, and kill those whose time has come."""
        for process, words in faults.members(airflow.NAME, where.home):
            task = faults.task_of(words)
            if task is None or task not in self.tasks:
                continue
            with suppress(psutil.Error):  # it has just ended
                age = time.time() - process.create_time()
                self.lived[task] = max(age, self.lived.get(task, 0.0))
                if task not in self.killed and age >= self.at.get(task, inf):
                    process.kill()
                    self.killed[task] = age

    def _clear(self, where: Place, run_id: str) -> None:
        """Clear the killed tasks that Airflow knows to have ended."""
        states = where.api.task_states(backfill.DAG, run_id)
        for task in self.waiting:
            if states[task] in KILLED:
                faults.clear(where, backfill.DAG, run_id, task)
                self.cleared.add(task)

    def sentence(self) -> str:
        """Say in words who was killed and cleared."""
        ages = sorted(self.killed[task] for task in self.cleared)
        told = f"{len(ages)} of {len(self.tasks)} tasks killed and cleared"
        return f"{told}, {ages[0]:.1f} to {ages[-1]:.1f} s after their start" if ages else told


def run(console: Console, fetched: Path, rounds: int) -> bool:
    """Load days in peace and in rounds of kills; say whether each task was killed and all rows are equal."""
    in_peace = Round()
    wanted = backfill.load(fetched, DAYS, in_peace.load)
    console.print(f"In peace: {len(in_peace.tasks)} tasks, {wanted.seconds:.0f} s.", highlight=False)
    met, is_well = set[str](), True
    for number in range(rounds):
        this = Round(moments(in_peace.lived, number, rounds))
        try:
            found = backfill.load(fetched, DAYS, this.load)
        except HouseError as error:
            console.print(f"Round {number + 1}: {this.sentence()}; {error}", highlight=False)
            is_well = False
            continue
        others, rows = wanted.compared(found)
        console.print(f"Round {number + 1}: {this.sentence()}; {rows}.", highlight=False)
        met |= this.cleared
        is_well &= not others
        if left := _named(this.tasks - this.cleared):
            console.print(f"  - ended before their time had come: {left}", highlight=False)
    if never := _named(in_peace.tasks - met):
        console.print(f"[bold]Never killed:[/bold] {never}", highlight=False)
    return is_well and not never


def moments(lives: Mapping[str, float], number: int, rounds: int) -> dict[str, float]:
    """Draw for each task the age at which a round kills it: within the round's own part of its life."""
    draws = random.Random(f"{SEED} {number}")
    return {task: lives[task] * (number + draws.random()) / rounds for task in sorted(lives)}


def _named(tasks: Collection[str]) -> str:
    return ", ".join(sorted(tasks))
