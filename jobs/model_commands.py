"""`vitrine model`: which versions there are, and a person's yes to one of them."""

import getpass
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow.dataset as ds
from rich.console import Console
from rich.table import Table

from jobs import model_registry, runs
from jobs.champions import EVERYONE_FROM, champion, model_of, verdict
from jobs.config import Config
from jobs.publish import Stopped
from jobs.releases import APPROVED, MODEL, Release, newest, record
from jobs.tables import Tables

SHOWN = ("log_loss", "squared_error", "auc")


def show(config: Config, console: Console) -> None:
    """Print the versions that may go live, newest first, and which one does."""
    tables = Tables(config.tables)
    columns = ["model_version", "name", "as_of_date", "closing_id", "algorithm", "rows", "is_candidate"]
    models = tables.read("models", ds.field("is_candidate"), columns).to_pylist()
    releases = _releases(tables)
    if not models:
        console.print("No model has been trained yet: closing_training does, after a closing.")
        return
    table = Table(title="models", title_justify="left")
    for heading in ("version", "closing", "learner", "examples", "verdict", "by", "figures", ""):
        table.add_column(heading, overflow="fold")
    said = {row["version"]: row for row in sorted(releases, key=lambda row: row["decided_at"])}
    models.sort(key=lambda row: (row["name"], row["as_of_date"], row["model_version"]), reverse=True)
    for row in models:
        last = said.get(row["model_version"], {})
        figures = dict(last.get("measures") or {})
        told = ", ".join(f"{name} {figures[name]:.3f}" for name in SHOWN if name in figures)
        live = champion(releases, row["name"], date.max) == row["model_version"]
        table.add_row(row["model_version"], row["closing_id"], row["algorithm"], f"{row['rows']:,}",
                      last.get("verdict", "–"), last.get("decided_by", "–"), told,
                      "champion" if live else "")  # fmt: skip
    console.print(table)


def promote(config: Config, name: str, version: str, why: str) -> None:
    """Make a version champion.

    Raises
    ------
    Stopped
        When there is no such version, its bytes are not those that were kept, or it is the champion.

    """
    tables = Tables(config.tables)
    releases = _releases(tables)
    if champion(releases, name, date.max) == version:
        raise Stopped(f"{version} is the champion already.")
    _release(config, tables, _model(tables, name, version), releases, why)


def roll_back(config: Config, name: str, why: str) -> None:
    """Make the champion before the present one champion again.

    Raises
    ------
    Stopped
        When there is none.

    """
    tables = Tables(config.tables)
    releases = _releases(tables)
    now = champion(releases, name, date.max)
    others = [row for row in releases if row["name"] == name and row["version"] != now]
    before = verdict(others, name, date.max)
    if now is None or before is None:
        raise Stopped(f"{name} has no champion before {now}: there is nothing to roll back to." if now else
                      f"{name} has no champion: there is nothing to roll back.")  # fmt: skip
    told = why or f"Rolled back from {now}."
    _release(config, tables, _model(tables, name, before["version"]), releases, told)


def _releases(tables: Tables) -> list[dict[str, Any]]:
    return list(tables.read("releases", ds.field("kind") == MODEL).to_pylist())


def _release(
    config: Config, tables: Tables, model: Mapping[str, Any], releases: Sequence[Mapping[str, Any]], why: str
) -> None:
    present = verdict(releases, model["name"], date.max)
    last = newest((row for row in releases if row["version"] == model["model_version"]), APPROVED)
    everyone_from = _next_scored(tables)
    said = Release(
        kind=MODEL,
        name=model["name"],
        version=model["model_version"],
        # It follows the champion of now, whatever closing it is from.
        as_of_date=max(model["as_of_date"], present["as_of_date"] if present else model["as_of_date"]),
        verdict=APPROVED,
        why=why or "Promoted by hand.",
        decided_by=getpass.getuser(),
        decided_at=runs.now(),
        details={
            "closing_id": model["closing_id"],
            **({EVERYONE_FROM: everyone_from.isoformat()} if everyone_from else {}),
        },
        measures=dict(last[model["name"]]["measures"] or {}) if model["name"] in last else {},
    )
    record(tables, said)
    told = {"verdict": said.verdict, "why": said.why, "decided_by": said.decided_by}
    model_registry.mirror(config, model, told, said.measures)
    model_registry.alias_champion(config, model["name"], model["model_version"])
    when = f" of {everyone_from}" if everyone_from else ""
    sys.stdout.write(
        f"{said.version} is the champion, by {said.decided_by}. {said.why} The run of subject_scores{when}"
        " scores everybody with it.\n"
    )


def _next_scored(tables: Tables) -> date | None:
    """Return the day after the newest that was scored: on it, whatever its date, everyone changes hands."""
    try:
        return runs.newest_day(tables, "subject_scores") + timedelta(1)
    except runs.NotRun:
        return None


def _model(tables: Tables, name: str, version: str) -> Mapping[str, Any]:
    of_version = (ds.field("name") == name) & (ds.field("model_version") == version)
    found = tables.read("models", of_version).to_pylist()
    if not found:
        candidates = tables.read("models", ds.field("is_candidate"), ["model_version"])
        known = sorted(set(candidates["model_version"].to_pylist()))
        there = f"there are {', '.join(known)}" if known else "none has been trained"
        raise Stopped(f"There is no version {version!r} of {name}; {there}.")
    if not found[0]["is_candidate"]:
        raise Stopped(f"{version} is there to be compared with: its spec's own learner is another.")
    model_of(found[0])
    return dict(found[0])
