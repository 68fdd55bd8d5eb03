"""Every task of `lake_etl` killed on its way and cleared, round after round: rows as if nothing had been.

A day is loaded in peace first. A round kills a task's process with SIGKILL at some part of its life in peace,
waits until Airflow has seen it, and clears the task as a person does on its page. Rounds divide a task's life
among them, so that all parts of it are met.
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
from jobs.house.rest import FINISHED
from tests.week import backfill, faults
from tests.week.place import Place

SEED = 7
KILLED = ("up_for_retry", "failed")
PAUSE_SECONDS = 0.1
ASK_SECONDS = 1.0


@dataclass
class Round:
    """Loads a day; kills each task once at an age, in seconds, where one is given for it."""

    at: Mapping[str, float] = field(default_factory=dict)
    lived: dict[str, float] = field(default_factory=dict)
    killed: dict[str, float] = field(default_factory=dict)
    cleared: set[str] = field(default_factory=set)

    def load(self, where: Place, first: date, last: date) -> str:
        """Load the days, and return the state in which the run ended."""
        run_id, asked = where.api.trigger(backfill.DAG, first=first, last=last), 0.0
        tasks = where.api.task_states(backfill.DAG, run_id)
        until = time.monotonic() + backfill.LONGEST_SECONDS
        while time.monotonic() < until:
            self._look(where, tasks)
            if time.monotonic() - asked > ASK_SECONDS:
                asked = time.monotonic()
                with suppress(RequestException):
                    self._clear(where, run_id)
                    state = where.api.run_state(backfill.DAG, run_id)
                    if state in FINISHED and self.cleared == set(self.killed):
                        return state
            time.sleep(PAUSE_SECONDS)
        raise HouseError(f"{backfill.DAG} did not end.")

    def _look(self, where: Place, tasks: Collection[str]) -> None:
        """See how old the tasks' processes are, and kill those whose time has come."""
        for process, words in faults.members(airflow.NAME, where.home):
            task = faults.task_of(words)
            if task is None or task not in tasks:
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
        for task in [task for task in self.killed if task not in self.cleared and states[task] in KILLED]:
            faults.clear(where, backfill.DAG, run_id, task)
            self.cleared.add(task)

    def sentence(self) -> str:
        """Say in words who was killed."""
        ages = sorted(self.killed.values())
        told = f"{len(ages)} of {len(self.at)} tasks killed and cleared"
        return f"{told}, {ages[0]:.1f} to {ages[-1]:.1f} s after their start" if ages else told


def run(console: Console, fetched: Path, rounds: int) -> bool:
    """Load a day in peace and in rounds of kills; tell of each and say whether all rows are equal."""
    in_peace = Round()
    wanted = backfill.load(fetched, 1, in_peace.load)
    lives = in_peace.lived
    console.print(f"In peace: {len(lives)} tasks, {wanted.seconds:.0f} s.", highlight=False)
    are_equal = True
    for number in range(rounds):
        this = Round(moments(lives, number, rounds))
        found = backfill.load(fetched, 1, this.load)
        others, rows = wanted.compared(found)
        console.print(f"Round {number + 1}: {this.sentence()}; {rows}.", highlight=False)
        if spared := sorted(set(this.at) - set(this.killed)):
            console.print(f"  - ended before their time had come: {', '.join(spared)}", highlight=False)
        are_equal &= not others
    return are_equal


def moments(lives: Mapping[str, float], number: int, rounds: int) -> dict[str, float]:
    """Draw for each task the age at which a round kills it: within the round's own part of its life."""
    draws = random.Random(f"{SEED} {number}")
    return {task: lives[task] * (number + draws.random()) / rounds for task in sorted(lives)}
