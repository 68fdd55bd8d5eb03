"""What the tables and the store say, measured: last runs, freshness, quarantine, the live generation.

Reads   runs, quarantine and exports; the tables' logs; the store's pointer
Writes  nothing
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from jobs import health, metrics, runs
from jobs.config import Config
from jobs.health import QUARANTINE_DAYS
from jobs.metrics import Sample
from jobs.store import StoreError, live
from jobs.ui import ran
from jobs.ui.shelf import Shelf

MEBIBYTE = 2**20


def gather(shelf: Shelf, config: Config) -> list[Sample]:
    """Measure the house; what is not there yet is left out."""
    last = ran.recent(shelf)
    night = ran.last_night(last)
    found = list(_of_runs(last))
    if night is not None:
        found += _of_tables(shelf, night, last)
        found += shelf.kept(
            ("quarantine",), "measured", lambda: list(_turned_away(shelf, night)), night=night
        )
    found += _of_store(config)
    found += shelf.kept(("exports",), "measured", lambda: list(_of_exports(shelf)))
    return found


def _of_runs(last: list[ran.Row]) -> Iterator[Sample]:
    for job, row in sorted({row["job"]: row for row in last}.items()):
        of = (job,)
        yield Sample(metrics.RUN_ROWS, row["rows_out"], of)
        yield Sample(metrics.RUN_REJECTED, row["rows_rejected"], of)
        yield Sample(metrics.RUN_SECONDS, row["seconds"], of)
        if row["cpu_seconds"] is not None:
            yield Sample(metrics.RUN_CPU, row["cpu_seconds"], of)
        yield Sample(metrics.RUN_MEMORY, row["peak_mib"] * MEBIBYTE, of)
        yield Sample(metrics.RUN_STARTED, row["started_at"].timestamp(), of)
        yield Sample(metrics.RUN_STOPPED, row["status"] not in runs.DONE, of)


def _of_tables(shelf: Shelf, night: date, last: list[ran.Row]) -> Iterator[Sample]:
    for one in health.tables_as_of(shelf, night, last):
        yield Sample(metrics.TABLE_ROWS, one.rows, (one.table,))
        if one.behind is not None:
            yield Sample(metrics.TABLE_BEHIND, one.behind, (one.table,))
        if one.behind is not None and one.allowed is not None:
            yield Sample(metrics.TABLE_STALE, one.behind > one.allowed, (one.table,))


def _turned_away(shelf: Shelf, night: date) -> Iterator[Sample]:
    first = night - timedelta(QUARANTINE_DAYS - 1)
    rows = shelf.pruned("quarantine", ("table",), first=first, last=night)
    for table, count in sorted(Counter(rows["table"].to_pylist()).items()):
        yield Sample(metrics.QUARANTINED, count, (table,))


def _of_store(config: Config) -> Iterator[Sample]:
    try:
        pointer = live(config.store_url)
    except StoreError:
        return
    if pointer is not None:
        serves = datetime.combine(pointer.serves_date, time(), UTC)
        yield Sample(metrics.GENERATION, pointer.generation)
        yield Sample(metrics.SERVES, serves.timestamp())
        yield Sample(metrics.VALID_UNTIL, pointer.valid_until.timestamp())
        yield Sample(metrics.LAYOUTS, pointer.layouts)


def _of_exports(shelf: Shelf) -> Iterator[Sample]:
    """Tell of the newest generation that was shown, and whether the newest of all was."""
    if not shelf.exists("exports"):
        return
    rows = sorted(shelf.read("exports").to_pylist(), key=lambda row: row["generation"])
    shown = [row for row in rows if row["verified"]]
    if rows:
        yield Sample(metrics.REFUSED, not rows[-1]["verified"])
    for name, count in dict(shown[-1].get("moved") or {}).items() if shown else ():
        page, _, what = name.rpartition(" ")
        yield Sample(metrics.MOVED, count, (page, what))
