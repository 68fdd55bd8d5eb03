"""The page Cost: processor time, memory and bytes by table, by 1,000 subjects; with prices, money.

Rows in, a view out; only `gather` reads, and only file statistics and the last runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from math import fsum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs import runs
from jobs.config import Config, Prices
from jobs.contracts import all_tables, contract
from jobs.ui import ran
from jobs.ui.charts import share
from jobs.ui.shelf import Shelf
from jobs.ui.view import Cell, Rows, Section, Table, View
from jobs.volume import stored_rows

Row = Mapping[str, Any]

GIB = 2**30
MONTH_NIGHTS = 30.4
SUBJECTS = "subject_features"


@dataclass(frozen=True)
class Stored:
    """What a table's newest version holds: its files, their bytes and their rows."""

    table: str
    files: int
    bytes: int
    rows: int


@dataclass(frozen=True)
class Used:
    """What the runs of a job used, over the business days that they did.

    cpu : seconds of processor time, its share of the engine's included; None where nobody measured it.
    memory : GiB-hours, by the peak of its process. days : business days that they did.
    """

    job: str
    seconds: float
    cpu: float | None
    memory: float
    peak_mib: int
    days: int
    runs: int

    @property
    def daily(self) -> float:
        """Seconds a business day: of processor time where it was measured."""
        return (self.seconds if self.cpu is None else self.cpu) / self.days


def gather(shelf: Shelf, config: Config) -> View:
    """Read what the page needs."""
    stored = shelf.kept(all_tables(), "bytes", lambda: _stored(shelf))
    return view(ran.recent(shelf), stored, _subjects(shelf), config.prices)


def _stored(shelf: Shelf) -> list[Stored]:
    found = []
    for name in all_tables():
        if shelf.exists(name):
            log = pa.table(shelf.open(name).get_add_actions(flatten=True))
            sums = (pc.sum(log[column]).as_py() or 0 for column in ("size_bytes", "num_records"))
            found.append(Stored(name, log.num_rows, *sums))
    return found


def _subjects(shelf: Shelf) -> int:
    """Count the subjects of the newest day that has features."""
    by_day = stored_rows(shelf, contract(SUBJECTS))
    return by_day[max(by_day)] if by_day else 0


def used(last: Sequence[Row]) -> list[Used]:
    """Sum what finished runs used, by job, the dearest first; where some were measured, of those alone."""
    done = [row for row in last if row["status"] in runs.DONE]
    engine = shared(done)
    found: dict[str, list[tuple[Row, float | None]]] = {}
    for row, part in zip(done, engine, strict=True):
        own = row["cpu_seconds"]
        found.setdefault(row["job"], []).append((row, None if own is None else own + (part or 0.0)))
    sums = [_sum(job, own) for job, own in found.items()]
    return sorted(sums, key=lambda one: (one.cpu is None, -one.daily, one.job))


def _sum(job: str, own: Sequence[tuple[Row, float | None]]) -> Used:
    own = [each for each in own if each[1] is not None] or own
    known = [cpu for _, cpu in own if cpu is not None]
    return Used(
        job,
        fsum(row["seconds"] for row, _ in own),
        fsum(known) if known else None,
        fsum(row["peak_mib"] / 1024 * row["seconds"] / 3600 for row, _ in own),
        max(row["peak_mib"] for row, _ in own),
        len({day for row, _ in own for day in runs.days_between(row["from_date"], row["to_date"])}),
        len(own),
    )


def shared(last: Sequence[Row]) -> list[float | None]:
    """Share the engine's time out: at every instant equally among the runs that were at work.

    A run knows the engine's seconds E of its whole time T; its share is E / T ∫ dt / n(t), with n(t) runs at
    work. Where the engine works evenly the shares sum to what it used.
    """
    spans = [_span(row) for row in last]
    found: list[float | None] = []
    for row, (start, end) in zip(last, spans, strict=True):
        engine = row["engine_cpu_seconds"]
        if engine is None or end <= start:
            found.append(None if engine is None else float(engine))
            continue
        beside = [(max(a, start), min(b, end)) for a, b in spans if a < end and b > start]
        instants = sorted({start, end, *(at for pair in beside for at in pair)})
        alone = fsum(
            (until - since) / max(sum(a <= since and until <= b for a, b in beside), 1)
            for since, until in pairwise(instants)
        )
        found.append(engine * alone / (end - start))
    return found


def _span(row: Row) -> tuple[float, float]:
    began: datetime = row["started_at"]
    return began.timestamp(), began.timestamp() + row["seconds"]


def view(last: Sequence[Row], stored: Sequence[Stored], subjects: int, prices: Prices | None) -> View:
    """Put what the last nights used, and what the tables hold, on a page."""
    night = max((row["to_date"] for row in last if row["status"] in runs.DONE), default=None)
    if night is None:
        return View("cost", "Cost", "No job has run yet: start lake_etl in Airflow, or run vitrine demo.")
    spent = used(last)
    total = sum(one.bytes for one in stored)
    known = [one.cpu / one.days for one in spent if one.cpu is not None]
    facts = [
        ("subjects", f"{subjects:,}"),
        ("processor time a business day", f"{fsum(known):,.1f} s" if known else "not measured"),
        ("stored", size(total)),
    ]
    if prices:
        facts.append(("a month", _money(_month(spent, total, prices), prices)))
    return View("cost", "Cost", _lead(night, prices), facts,
                [Section("Processor time and memory", [_jobs(spent, subjects, prices)]),
                 Section("Bytes", [_bytes(stored, subjects, prices)])])  # fmt: skip


def _lead(night: date, prices: Prices | None) -> str:
    told = f"Of the runs of {ran.DAYS} days up to the night of {night - timedelta(1)}."
    return told if prices else f"{told} With prices in conf/base.yaml this page shows money, too."


def _jobs(spent: Sequence[Used], subjects: int, prices: Prices | None) -> Table:
    most = max((one.daily for one in spent), default=1.0) or 1.0
    heads = ["job", "processor seconds a day", "seconds a day", "for 1,000 subjects", "peak memory", "runs"]
    rows: Rows = []
    for one in spent:
        day = None if one.cpu is None else one.cpu / one.days
        drawn = share(one.daily / most, f"{one.job}: share of the dearest job's time")
        row: list[str | Cell] = [
            one.job,
            Cell("–" if day is None else f"{day:,.2f}", svg=drawn),
            f"{one.seconds / one.days:,.2f}",
            "–" if day is None or not subjects else f"{1000 * day / subjects:.3f} s",
            f"{one.peak_mib:,} MiB",
            f"{one.runs:,}",
        ]
        rows.append([*row, _money(_of_day(one, prices), prices)] if prices else row)
    note = (
        "By business day that a job did, so a backfill and a night compare. Processor time is that of the"
        " job's process and its share of the engine's; where jobs ran beside each other, the engine's time is"
        " shared out equally among them. A dash: nobody measured it, as in runs of before."
    )
    heads = [*heads, f"{prices.currency} a day"] if prices else heads
    return Table("Jobs, the dearest first", heads, rows, note=note)


def _bytes(stored: Sequence[Stored], subjects: int, prices: Prices | None) -> Table:
    most = max((one.bytes for one in stored), default=1) or 1
    heads = ["table", "bytes", "for 1,000 subjects", "rows", "bytes a row", "files"]
    rows: Rows = []
    for one in sorted(stored, key=lambda one: (-one.bytes, one.table)):
        row: list[str | Cell] = [
            one.table,
            Cell(size(one.bytes), svg=share(one.bytes / most, f"{one.table}: share of the largest table")),
            size(1000 * one.bytes / subjects) if subjects else "–",
            f"{one.rows:,}",
            f"{one.bytes / one.rows:,.1f}" if one.rows else "–",
            f"{one.files:,}",
        ]
        month = one.bytes / GIB * prices.storage_gib_month if prices else 0.0
        rows.append([*row, _money(month, prices)] if prices else row)
    heads = [*heads, f"{prices.currency} a month"] if prices else heads
    note = "Of the newest versions; files that left a table stay on disk for a week more."
    return Table("Tables, the largest first", heads, rows, note=note)


def _of_day(one: Used, prices: Prices | None) -> float:
    if prices is None:
        return 0.0
    cpu = (one.cpu or 0.0) / 3600 * prices.cpu_hour
    return (cpu + one.memory * prices.memory_gib_hour) / one.days


def _month(spent: Sequence[Used], total: int, prices: Prices) -> float:
    nights = fsum(_of_day(one, prices) for one in spent)
    return MONTH_NIGHTS * nights + total / GIB * prices.storage_gib_month


def _money(amount: float, prices: Prices | None) -> str:
    return f"{amount:,.4f} {prices.currency}" if prices else ""


def size(count: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"
