"""One night: triggered as the schedule would, watched to its end, helped only where an alert asks for it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import pyarrow.dataset as ds

from jobs import runs
from jobs.config import Config
from jobs.house.rest import FINISHED, Rest
from jobs.tables import Tables
from tests.week.faults import Fault

NIGHT = ("lake_etl", "policy_evaluation", "nightly_layouts")
NOTHING_TO_DO = "Nothing must be done"
TASK = re.compile(r"Task (?P<task>\w+) of (?P<dag>\w+) \(run (?P<run>[^)]+)\)")
EXPORT = re.compile(r"The new layouts of (?P<dag>\w+) \(run (?P<run>[^)]+)\)")


@dataclass
class Night:
    """What came of a night; times in seconds since 1970."""

    day: date
    fault: Fault
    began: float
    flipped: float | None = None
    figures: "Figures | None" = None
    alerts: list[str] = field(default_factory=list)
    hands: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Figures:
    """Seconds from the trigger to the flip: all of them, and those in which a job was at work."""

    total: float
    work: float
    of_dags: Mapping[str, float]

    @property
    def orchestration(self) -> float:
        """Seconds in which no job was at work: Airflow's gaps, starts of processes, waits."""
        return self.total - self.work

    @property
    def sentence(self) -> str:
        """The figures in words."""
        parts = ", ".join(f"{dag} {seconds:.0f} s" for dag, seconds in self.of_dags.items())
        return (
            f"{self.total:.0f} s from trigger to flipped: {self.work:.0f} s with a job at work ({parts}),"
            f" {self.orchestration:.0f} s of orchestration."
        )


def trigger(api: Rest, day: date, run_id: str) -> None:
    """Start the night's DAGs together, as three o'clock does."""
    for dag_id in NIGHT:
        api.trigger(dag_id, first=day, last=day, run_id=run_id)


def states(api: Rest, run_id: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return the states of the night's runs and of their tasks, by DAG."""
    return (
        {dag_id: api.run_state(dag_id, run_id) for dag_id in NIGHT},
        {dag_id: api.task_states(dag_id, run_id) for dag_id in NIGHT},
    )


def is_over(of_runs: Mapping[str, str]) -> bool:
    """Whether no run goes on."""
    return all(state in FINISHED for state in of_runs.values())


def left_behind(of_runs: Mapping[str, str], of_tasks: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return DAGs whose runs failed and none of their tasks: one was cleared while it failed."""
    return [
        dag for dag, state in of_runs.items() if state == "failed" and "failed" not in of_tasks[dag].values()
    ]


def named_in(alert: str) -> tuple[str, str, str] | None:
    """Return DAG, run and task that an alert is about, as a person reads it."""
    if found := TASK.search(alert):
        return found["dag"], found["run"], found["task"]
    if found := EXPORT.search(alert):
        return found["dag"], found["run"], "export"
    return None


def figures(config: Config, run_id: str, began: float, flipped: float) -> Figures:
    """Tell work from orchestration, by the rows that jobs left in `runs`."""
    names = [f"{dag_id}/{run_id}" for dag_id in NIGHT]
    columns = ["job", "dag_run", "started_at", "seconds"]
    rows = Tables(config.tables).read("runs", ds.field("dag_run").isin(names), columns).to_pylist()
    spans = {
        name: [
            (row["started_at"].timestamp(), row["started_at"].timestamp() + row["seconds"])
            for row in rows
            if row["dag_run"] == name and row["job"] != runs.PIN
        ]
        for name in names
    }
    of_dags = {name.partition("/")[0]: covered(spans[name], began, flipped) for name in names}
    every = [span for of in spans.values() for span in of]
    return Figures(flipped - began, covered(every, began, flipped), of_dags)


def moved(config: Config, day: date) -> str:
    """Say what the last export of a night moved, and why bounds did not hold, if they did not."""
    rows = Tables(config.tables).read("exports", ds.field("layout_date") == day).to_pylist()
    last = max(rows, key=lambda row: row["generation"])
    counts = ", ".join(f"{what} {count:,}" for what, count in last["moved"] or ())
    return f"Layouts: {last['layouts']:,}; {counts}. {last['why']}".strip()


def covered(spans: Sequence[tuple[float, float]], first: float, last: float) -> float:
    """Return how much of the time from `first` to `last` lies in any of these spans."""
    total, reached = 0.0, first
    for begin, end in sorted(spans):
        begin, end = max(begin, reached), min(end, last)
        if end > begin:
            total += end - begin
            reached = end
    return total


def next_day(day: date) -> date:
    """Return the day after."""
    return day + timedelta(days=1)
