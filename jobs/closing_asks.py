"""What the DAGs ask about closings: which ended, which to train again, when one ended, and who trained.

Reads   closings, runs, drift and the days of subject_daily, at their newest versions
Writes  nothing
"""

from datetime import date
from typing import Any

import pyarrow.dataset as ds

from jobs import runs
from jobs.closing_periods import ended, periods
from jobs.config import Config
from jobs.drift_counts import ALARM, EVERYONE, REWARD, TRAINING
from jobs.drifting import by_nature
from jobs.tables import Tables

TRAINED = ("models", "model_gate", "subject_scores")
"""What a finished run of `closing_training` has done."""


class NoClosing(LookupError):
    """There is no such closing, or it is not over."""


def ended_in(config: Config, start: date, end: date) -> list[str]:
    """Return the closings that ended within [start, end), as known at its end, oldest first."""
    found = ended(_rows(config), start, end, config.since.get("closing_training"))
    return [one.closing_id for one in found]


def drifted_in(config: Config, start: date, end: date) -> list[str]:
    """Return the closings to train once more, as something alarmed on a day within [start, end).

    Of each day the newest closing that is over, unless a day after that closing alarmed already: so a closing
    is told once, whatever is run again. What moves by nature (`bounds.grows` of conf/models) alarms nobody.
    """
    tables, found = Tables(config.tables), []
    known = periods(_rows(config))
    day = ds.field("drift_date")
    wanted = (ds.field("level") == ALARM) & (ds.field("against") == TRAINING)
    wanted &= (ds.field("who") == EVERYONE) & (ds.field("kind") != REWARD)
    read = tables.read("drift", wanted & (day < end), ["drift_date", "name"]).to_pylist()
    grown = by_nature(config.model_specs, {row["name"] for row in read})
    alarmed = sorted({row["drift_date"] for row in read if row["name"] not in grown})
    for first in (one for one in alarmed if one >= start):
        over = [one for one in known if one.last_date < first]
        if over and not any(over[-1].last_date < other < first for other in alarmed):
            found.append(over[-1].closing_id)
    return found


def last_day(config: Config, closing_id: str) -> date:
    """Return the last day of a closing.

    Raises
    ------
    NoClosing
        When there is none, it was called off, or days of it are not loaded yet.

    """
    known = {one.closing_id: one for one in periods(_rows(config))}
    if closing_id not in known:
        named = ", ".join(known) or "none"
        raise NoClosing(f"There is no closing {closing_id!r}, or it was called off; there are {named}.")
    day = known[closing_id].last_date
    try:
        loaded = runs.newest_day(Tables(config.tables), "subject_daily")
    except runs.NotRun:
        loaded = None
    if loaded is None or day > loaded:
        upto = f"are loaded up to {loaded}" if loaded else "are not loaded"
        raise NoClosing(
            f"Closing {closing_id} ends on {day}, and days {upto}: run lake_etl first, or name another."
        )
    return day


def trained_by(config: Config, closing_id: str, day: date, dag_run: str) -> str | None:
    """Return the DAG run that trained a closing on the examples that this one has made, configured alike.

    Raises
    ------
    NoClosing
        When this one has made none.

    """
    tables = Tables(config.tables)
    made = [
        row
        for row in runs.of_job(tables, "closing_examples")
        if row["status"] in runs.DONE and row["from_date"] == day
    ]
    mine = [row for row in made if row["dag_run"] == dag_run]
    if not mine:
        raise NoClosing(f"{dag_run} has made no closing_examples of {day}: run that task first.")
    # Of two closings that end the same night each has models of its own.
    is_mine = (ds.field("closing_id") == closing_id) & (ds.field("as_of_date") == day)
    if not tables.read("models", is_mine, ["model_version"]).num_rows:
        return None
    alike = ("content_digest", "configuration")
    for row in reversed(made):
        if row["dag_run"] in (None, dag_run) or any(row[name] != mine[-1][name] for name in alike):
            continue
        others = runs.of_dag_run(tables, row["dag_run"])
        if {one["job"] for one in others if one["status"] in runs.DONE}.issuperset(TRAINED):
            return str(row["dag_run"])
    return None


def _rows(config: Config) -> list[dict[str, Any]]:
    names = ["closing_id", "changed_date", "first_date", "last_date", "is_deleted"]
    return list(Tables(config.tables).read("closings", columns=names).to_pylist())
