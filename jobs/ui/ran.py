"""The last runs of every job, from `runs`: files of older ones are not opened."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs import runs
from jobs.tables import dataset_of, rows_of
from jobs.ui.shelf import Shelf

Row = Mapping[str, Any]

DAYS = 60
COLUMNS = (
    "run_id", "job", "from_date", "to_date", "output", "rows_out", "rows_rejected", "status", "message",
    "started_at", "seconds", "peak_mib", "cpu_seconds", "engine_cpu_seconds",
)  # fmt: skip


def recent(shelf: Shelf) -> list[Row]:
    """Return the runs of the last DAYS days before the newest one, oldest first, without pins."""
    return shelf.kept(("runs",), "recent runs", lambda: _read(shelf))


def last_night(rows: Iterable[Row]) -> date | None:
    """Return the newest day that any of these runs did; None where none did any."""
    after = max((row["to_date"] for row in rows if row["status"] in runs.DONE), default=None)
    return None if after is None else after - timedelta(1)


def _read(shelf: Shelf) -> list[Row]:
    if not shelf.exists("runs"):
        return []
    table = shelf.open("runs")
    log = pa.table(table.get_add_actions(flatten=True))
    newest = pc.max(log["max.started_at"]).as_py() if log.num_rows else None
    if newest is None:
        return []
    since = [("started_at", ">=", f"{newest - timedelta(DAYS):%Y-%m-%dT%H:%M:%SZ}")]
    rows = rows_of(dataset_of(table, since), "runs", COLUMNS).sort_by("started_at").to_pylist()
    return [row for row in rows if row["job"] != runs.PIN]
