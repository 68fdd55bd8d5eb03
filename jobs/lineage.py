"""Lineage: the versions of tables that what is live, or may be live again, was made from.

A champion, and whoever was one and may be again by `vitrine model rollback`, names in `models` the versions
it was trained on; a generation of the store those that its export read. The sweep leaves their files alone.

Reads   releases, models, exports, runs
Writes  nothing
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow.dataset as ds

from jobs.releases import promoted
from jobs.tables import Tables

GENERATIONS = 3
"""Two colours hold the newest two, or, after a roll-back and an export, the newest and the third."""

Row = Mapping[str, Any]
Needed = dict[str, dict[int, str]]


def needed(tables: Tables) -> Needed:
    """Return by table the versions that are needed, each with what for."""
    found: Needed = {}
    for why, inputs in (*_models(tables), *_generations(tables)):
        for table, version in inputs.items():
            found.setdefault(table, {}).setdefault(version, why)
    return found


def exporting_runs(tables: Tables) -> dict[str, int]:
    """Return the runs that made what the store's colours hold, each with its generation."""
    rows = tables.read("exports", None, ["generation", "flipped_at", "run_id"]).to_pylist()
    return {row["run_id"]: row["generation"] for row in newest_shown(rows)}


def newest_shown(rows: Iterable[Row]) -> list[Row]:
    """Return the newest generations that readers saw."""
    shown = [row for row in rows if row["flipped_at"] is not None]
    return sorted(shown, key=lambda row: row["generation"])[-GENERATIONS:]


def _models(tables: Tables) -> list[tuple[str, dict[str, int]]]:
    versions = promoted(tables)
    if not versions:
        return []
    columns = ["model_version", "inputs"]
    rows = tables.read("models", ds.field("model_version").isin(versions), columns).to_pylist()
    return [(f"model {row['model_version']}", dict(row["inputs"] or [])) for row in rows]


def _generations(tables: Tables) -> list[tuple[str, dict[str, int]]]:
    of = exporting_runs(tables)
    if not of:
        return []
    rows = tables.read("runs", ds.field("run_id").isin(list(of)), ["run_id", "inputs"]).to_pylist()
    return [(f"generation {of[row['run_id']]}", dict(row["inputs"] or [])) for row in rows]
