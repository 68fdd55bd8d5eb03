"""Which layouts stand on a night: rows of `layouts` are draws, and each stands until the subject's next one.

On a night stand its own rows, and of the six nights before it (no draw stands longer than seven nights) the
newest row of each subject, page and variant, if the subject has features of the night itself (who left, or
took consent back, has none) and the night drew defaults of that page and variant (else nobody is shown it).

Reads   layouts, subject_features, runs
Writes  nothing
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow.dataset as ds

from jobs import runs
from jobs.scenarios import LIVE
from jobs.store.keys import DEFAULT_PREFIX
from jobs.tables import Tables

NIGHTS = 7
"""Nights on which a draw may stand, its own included."""
SHOWN = ("page", "variant")
KEY = ("subject", *SHOWN)
BETWEEN = "|"
OF_DEFAULTS = (ds.field("subject") >= DEFAULT_PREFIX) & (ds.field("subject") < DEFAULT_PREFIX[:-1] + ";")
"""Rows of defaults: a range, so that files and row groups without them are not opened."""
DEFAULTS = (ds.field("scenario") == LIVE) & OF_DEFAULTS

AsDrawn = Mapping[date, frozenset[date]]
"""By night of `layouts` that may be leaned on, the days whose features are as they were when it was drawn."""


def as_drawn(tables: Tables, first: date, version: int | None) -> AsDrawn:
    """Tell what a night `first` may lean on, given the version of subject_features that it reads.

    Where a run of a night had other code, or pseudonyms of another key, its draws might be others by now.
    """
    if version is None:
        return {}
    done = [row for row in runs.of_job(tables, "layouts") if row["status"] in runs.DONE]
    rekeyed = max((row["started_at"] for row in runs.of_job(tables, runs.REKEY)), default=None)
    replaced = runs.replaced_at(tables, "subject_features", version)
    found = {}
    for night in runs.days_between(first - timedelta(NIGHTS - 1), first):
        # Rows of a night that was served may be of any of its runs.
        own = [row for row in done if night in row["days"]]
        is_ours = all(
            row["code_version"] == runs.code_version() and (rekeyed is None or row["started_at"] > rekeyed)
            for row in own
        )
        if own and is_ours:
            known = min(row["inputs"].get("subject_features", runs.NEVER) for row in own)
            days = runs.days_between(night - timedelta(NIGHTS - 1), night + timedelta(1))
            found[night] = frozenset(day for day in days if replaced.get(day, runs.NEVER) <= known)
    return found


def newest_night(tables: Tables, before: date | None = None) -> date | None:
    """Return the newest night that has live layouts, of those before a day."""
    files = tables.files("layouts") if tables.exists("layouts") else []
    nights = {partition["layout_date"] for _, partition in files}
    live = ds.field("scenario") == LIVE
    earlier = (night for night in nights if before is None or night < before)
    found = (night for night in sorted(earlier, reverse=True) if tables.counted("layouts", live, night))
    return next(found, None)


def of_subject(
    tables: Tables, subject: str, night: date, columns: Sequence[str], only: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    """Return a subject's layouts that stand on a night; `only` may name its bucket, for fewer files."""
    mine, live = ds.field("subject") == subject, ds.field("scenario") == LIVE
    wanted = list(dict.fromkeys([*columns, "layout_date", "page", "variant", "widgets"]))
    read = tables.pruned(
        "layouts", wanted, mine & live, first=night - timedelta(NIGHTS - 1), last=night, only=only
    )
    rows = sorted(read.to_pylist(), key=lambda row: row["layout_date"])
    newest = {(row["page"], row["variant"] or ""): row for row in rows}
    if any(row["layout_date"] < night for row in newest.values()):
        known = tables.pruned("subject_features", ["subject"], mine, first=night, last=night, only=only)
        present = known.num_rows > 0
        drawn = tables.pruned("layouts", SHOWN, DEFAULTS, first=night, last=night).to_pylist()
        shown = {(row["page"], row["variant"] or "") for row in drawn} if present else set()
        newest = {at: row for at, row in newest.items() if row["layout_date"] == night or at in shown}
    return [row for row in newest.values() if row["widgets"]]
