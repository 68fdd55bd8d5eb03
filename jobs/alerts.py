"""What an operator is told: an event in, one sentence each on what happened, why, and what to do.

Plain values in, plain values out: who is told, and that nobody is told twice, is jobs.telling's.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from jobs import drifting
from jobs.drift_counts import ALARM

Kind = Literal["failed", "stopped", "not flipped", "late", "refused", "kept", "alarms", "watched"]
Row = Mapping[str, Any]

EXPORT = "export"
UNKNOWN = "its log says why"
VAGUE = re.compile(r"^Bash command failed|^The command returned|exit code \d+\.?$")
NUMBERS = re.compile(r"[0-9a-f]{8,}|\d+")
LONGEST = 400


@dataclass(frozen=True)
class Event:
    """What happened: which run, which task of it, what was said, and where to look.

    why : in words, empty where nobody knows. link : an address, or empty.
    """

    kind: Kind
    dag_id: str
    run_id: str
    task_id: str = ""
    why: str = ""
    link: str = ""


@dataclass(frozen=True)
class Alert:
    """What is told, each a sentence; `key` is the same for what is the same trouble again."""

    what: str
    why: str
    do: str
    link: str
    key: str

    @property
    def text(self) -> str:
        """All of it in one line."""
        return " ".join(part for part in (self.what, self.why, self.do, self.link) if part)


def of_failure(
    dag_id: str, run_id: str, task_id: str, *, runs: Iterable[Row], error: str, link: str
) -> Event:
    """Return the event of a task that failed for good.

    `runs` are the rows of its DAG run in `runs`: where the job itself said why it stopped, that is told, and
    else the error, unless that only says that a command failed.
    """
    mine = [row for row in runs if row["job"] == task_id]
    last = max(mine, key=lambda row: row["started_at"], default=None)
    was_stopped = last is not None and last["status"] == "stopped"
    said = last["message"] if last is not None and was_stopped else error
    why = "" if VAGUE.search(said.strip()) else said
    kind: Kind = "not flipped" if task_id == EXPORT else "stopped" if was_stopped else "failed"
    return Event(kind, dag_id, run_id, task_id, why, link)


def of_verdicts(releases: Iterable[Row], dag_run: str, link: str) -> list[Event]:
    """Return the events of a run's verdicts: policies refused since this night, models not promoted.

    `releases` are all verdicts; a policy that was refused the night before as well is no news.
    """
    dag_id, _, run_id = dag_run.partition("/")
    known = sorted(releases, key=lambda row: (row["as_of_date"], row["decided_at"]))
    newest = max((row["as_of_date"] for row in known if row["dag_run"] == dag_run), default=None)
    found = []
    for row in known:
        if row["dag_run"] != dag_run or row["as_of_date"] != newest:
            continue
        if row["kind"] == "policy" and row["verdict"] == "no" and _before(known, row) != "no":
            found.append(Event("refused", dag_id, run_id, row["name"], row["why"], link))
        if row["kind"] == "model" and row["verdict"] != "yes":
            found.append(Event("kept", dag_id, run_id, row["name"], row["why"], link))
    return found


def of_drift(drift: Iterable[Row], day: date, grown: Iterable[str], dag_run: str, link: str) -> list[Event]:
    """Return the event of what has newly moved on a run's last day; days before the newest are no news.

    `drift` are rows of that day and of the days before it; `grown` are names of what moves by nature.
    """
    rows = list(drift)
    if any(row["drift_date"] > day for row in rows):
        return []
    found = drifting.news(rows, day, grown)
    if found is None:
        return []
    dag_id, _, run_id = dag_run.partition("/")
    kind: Kind = "alarms" if found.level == ALARM else "watched"
    count = f"{len(found.rows):,} {'quantity' if len(found.rows) == 1 else 'quantities'} of {day}"
    return [Event(kind, dag_id, run_id, count, found.why, link)]


def _before(known: Iterable[Row], row: Row) -> str | None:
    """Return the verdict on a policy of the night before the one of a row, if there is one."""
    earlier = [
        one["verdict"]
        for one in known
        if one["kind"] == row["kind"] and one["name"] == row["name"] and one["as_of_date"] < row["as_of_date"]
    ]
    return earlier[-1] if earlier else None


def alert(event: Event) -> Alert:
    """Say what happened, why, and what to do."""
    run = f"{event.dag_id}, run {event.run_id}"
    of = f"{event.dag_id} (run {event.run_id})"
    what, do = {
        "failed": (
            f"Task {event.task_id} of {of} failed, all its retries too.",
            "Mend the cause and clear the task with downstream: a rerun replaces the same days.",
        ),
        "stopped": (
            f"Task {event.task_id} of {of} was stopped before it published anything.",
            "Mend what it names and clear the task with downstream; Airflow's page Health tells more.",
        ),
        "not flipped": (
            f"The new layouts of {of} are not shown: readers keep the generation before.",
            "Mend the cause and clear export; if they may differ so much, trigger the DAG with accept set.",
        ),
        "late": (
            f"{event.dag_id} is late: run {event.run_id} has not ended in time.",
            "Look at what it waits for or still runs; until it ends, readers keep the generation before.",
        ),
        "refused": (
            f"The gate refuses the policy {event.task_id} since this night ({run}).",
            "Nothing must be done, the live policy stays; Policies in Airflow's menu tells more.",
        ),
        "kept": (
            f"The model {event.task_id} was trained anew and not promoted ({run}).",
            "Nothing must be done, the champion stays; Models in Airflow's menu tells more.",
        ),
        "alarms": (
            f"Newly beyond drift's bound of alarm: {event.task_id} ({run}).",
            "Mend a feed that broke, if one did; Drift in Airflow's menu tells what moved, and for whom.",
        ),
        "watched": (
            f"Newly beyond drift's lower bound: {event.task_id} ({run}).",
            "Nothing must be done yet; Drift in Airflow's menu tells what has moved, and for whom.",
        ),
    }[event.kind]
    unknown = "" if event.kind == "late" else UNKNOWN
    why = f"Why: {_sentence(event.why or unknown)}" if event.why or unknown else ""
    # What differs in numbers alone, as a day or a count, is the same trouble.
    same = NUMBERS.sub("#", event.why) if event.why else event.task_id
    who = event.task_id if event.kind in ("refused", "kept") else ""
    return Alert(what, why, do, event.link, "|".join((event.kind, event.dag_id, who, same)))


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    short = line if len(line) <= LONGEST else f"{line[:LONGEST].rstrip()}…"
    return short if short.endswith((".", "…", "!", "?")) else f"{short}."
