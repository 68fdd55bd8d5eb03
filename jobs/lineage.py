"""Lineage: the versions of tables that what is live, or may be live again, was made from.

A champion, and whoever was one and may be again by `vitrine model rollback`, names in `models` the versions
it was trained on; a generation that a colour of the store holds those that its export read. The sweep leaves
their files alone.

Reads   releases, models, exports, runs; the store's pointer and heartbeats
Writes  nothing
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pyarrow.dataset as ds

from jobs.releases import promoted
from jobs.store.backends import Address
from jobs.store.status import held
from jobs.tables import Tables

NEWEST = 3
"""Generations that are taken to be held where the store is not at hand, as when it is moved."""

Row = Mapping[str, Any]
Needed = dict[str, dict[int, str]]


def needed(tables: Tables, store: Address) -> Needed:
    """Return by table the versions that are needed, each with what for.

    Raises
    ------
    StoreError
        When the store cannot be read.

    """
    found: Needed = {}
    for why, inputs in (*_models(tables), *_generations(tables, store)):
        for table, version in inputs.items():
            found.setdefault(table, {}).setdefault(version, why)
    return found


def exporting_runs(tables: Tables, store: Address) -> dict[str, int]:
    """Return the runs that made what the store's colours hold, each with its generation."""
    rows = tables.read("exports", None, ["generation", "flipped_at", "run_id"]).to_pylist()
    return {row["run_id"]: row["generation"] for row in _shown(rows, held(store))}


def _shown(rows: Iterable[Row], generations: Collection[int]) -> list[Row]:
    """Return of what readers saw these generations, however many were rolled back between them."""
    shown = [row for row in rows if row["flipped_at"] is not None]
    if not generations:
        return sorted(shown, key=lambda row: row["generation"])[-NEWEST:]
    return [row for row in shown if row["generation"] in generations]


def _models(tables: Tables) -> list[tuple[str, dict[str, int]]]:
    versions = promoted(tables)
    if not versions:
        return []
    columns = ["model_version", "inputs"]
    rows = tables.read("models", ds.field("model_version").isin(versions), columns).to_pylist()
    return [(f"model {row['model_version']}", dict(row["inputs"] or [])) for row in rows]


def _generations(tables: Tables, store: Address) -> list[tuple[str, dict[str, int]]]:
    of = exporting_runs(tables, store)
    if not of:
        return []
    rows = tables.read("runs", ds.field("run_id").isin(list(of)), ["run_id", "inputs"]).to_pylist()
    return [(f"generation {of[row['run_id']]}", dict(row["inputs"] or [])) for row in rows]
