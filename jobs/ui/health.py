"""The page Health: is every table fresh, which checks did not hold, what was turned away, how long jobs take.

Rows in, a view out; only `gather` reads, and only file statistics, the last runs and a week of quarantine.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Any

from jobs import health
from jobs.health import QUARANTINE_DAYS, TableHealth
from jobs.tables import dataset_of
from jobs.ui import ran
from jobs.ui.charts import trend
from jobs.ui.shelf import Shelf
from jobs.ui.view import Cell, Rows, Samples, Section, Table, View

Row = Mapping[str, Any]

MOST_REASONS = 30
SAMPLES_READ = 4_000
A_REASON = 2
RUNS_SHOWN = 30
SLOW = 2.0
"""A run that takes so many times the median of those before it is told to be slow."""
NIGHTS_TOLD = 7


@dataclass(frozen=True)
class Away:
    """Rows turned away for one reason, with a few of them as they are kept, personal data redacted."""

    table: str
    reason: str
    rows: int
    samples: Sequence[Row] = ()


def gather(shelf: Shelf) -> View:
    """Read what the page needs."""
    last = ran.recent(shelf)
    night = ran.last_night(last)
    if night is None:
        return View("health", "Health", "No job has run yet: start lake_etl in Airflow, or run vitrine demo.")
    tables = health.tables_as_of(shelf, night, last)
    away = shelf.kept(("quarantine",), "turned away", lambda: turned_away(shelf, night), night=night)
    return view(night, tables, last, away)


def turned_away(shelf: Shelf, night: date) -> list[Away]:
    """Count the last days' quarantine by reason, most first, and read a few rows of each."""
    first = night - timedelta(QUARANTINE_DAYS - 1)
    counted = shelf.pruned("quarantine", ("table", "reason"), first=first, last=night)
    sums = counted.group_by(["table", "reason"]).aggregate([([], "count_all")]).to_pylist()
    samples: dict[tuple[str, str], list[Row]] = {}
    for row in _some(shelf, first):
        own = samples.setdefault((row["table"], row["reason"]), [])
        if len(own) < A_REASON:
            own.append(row)
    found = [
        Away(row["table"], row["reason"], row["count_all"], samples.get((row["table"], row["reason"]), ()))
        for row in sums
    ]
    return sorted(found, key=lambda each: (-each.rows, each.table, each.reason))


def _some(shelf: Shelf, first: date) -> list[Row]:
    """Read at most SAMPLES_READ of the rows since a day, however many there are."""
    if not shelf.exists("quarantine"):
        return []
    wanted = ["table", "quarantine_date", "reason", "source_file", "source_offset", "row"]
    since = [("quarantine_date", ">=", str(first))]
    dataset = dataset_of(shelf.open("quarantine"), since)
    return list(dataset.head(SAMPLES_READ, columns=wanted).to_pylist())


def view(night: date, tables: Sequence[TableHealth], last: Sequence[Row], away: Sequence[Away]) -> View:
    """Put tables, checks, quarantine and run times of a night on a page."""
    ill = [one.table for one in tables if not one.is_well]
    lead = f"Not well: {', '.join(ill)}." if ill else "All tables are as fresh as their contracts say."
    facts = [
        ("night", str(night)),
        ("tables", str(len(tables))),
        ("runs shown", f"{len(last):,}"),
        ("turned away in 7 days", f"{sum(one.rows for one in away):,}"),
    ]
    return View(
        "health",
        "Health",
        lead,
        facts,
        [
            Section("Freshness", [_freshness(tables)]),
            Section("Checks", [_checks(night, last)]),
            Section("Quarantine", _quarantine(away)),
            Section("Run times", [_times(last)]),
        ],
    )


def _freshness(tables: Sequence[TableHealth]) -> Table:
    rows: Rows = [
        [
            one.table,
            Cell("well", kind="good") if one.is_well else Cell(_what_ails(one), kind="bad"),
            f"{one.rows:,}",
            str(one.newest or "–"),
            "–" if one.behind is None else str(one.behind),
            "any" if one.allowed is None else str(one.allowed),
        ]
        for one in sorted(tables, key=lambda one: (one.is_well, one.table))
    ]
    heads = ["table", "how it is", "rows", "newest day", "days behind", "may be"]
    note = "Days from a table's newest day to the night, beside what its contract allows."
    return Table("Tables, as of the night", heads, rows, words=2, note=note)


def _what_ails(one: TableHealth) -> str:
    return "stopped" if one.status == "stopped" else "stale"


def _checks(night: date, last: Sequence[Row]) -> Table:
    told = [
        row
        for row in last
        if row["to_date"] > night - timedelta(NIGHTS_TOLD) and (row["status"] == "stopped" or row["message"])
    ]
    rows: Rows = [
        [
            row["job"],
            Cell(row["status"], kind="bad" if row["status"] == "stopped" else "quiet"),
            row["message"] or "–",
            _days(row),
            f"{row['started_at']:%Y-%m-%d %H:%M}",
        ]
        for row in reversed(told)
    ]
    return Table(
        f"What runs of the last {NIGHTS_TOLD} nights said",
        ["job", "it was", "said", "days", "started, UTC"],
        rows,
        words=3,
        none="every check held, and nothing was left out.",
    )


def _quarantine(away: Sequence[Away]) -> list[Table | Samples]:
    rows = [[one.table, one.reason, f"{one.rows:,}"] for one in away[:MOST_REASONS]]
    more = len(away) - MOST_REASONS
    table = Table(
        f"Turned away in {QUARANTINE_DAYS} days",
        ["table", "reason", "rows"],
        rows,
        words=2,
        note=f"The {MOST_REASONS} most frequent of {len(away)} reasons." if more > 0 else "",
        none="no row.",
    )
    texts = [
        (f"{one.table}: {one.reason}, {_where(sample)}", _row(sample["row"]))
        for one in away[:MOST_REASONS]
        for sample in one.samples
    ]
    return [table, Samples("Samples, personal data redacted", texts)] if texts else [table]


def _where(sample: Row) -> str:
    line = "" if sample["source_offset"] is None else f", line {sample['source_offset']}"
    return f"{sample['source_file'] or 'no file'}{line}"


def _row(text: str | None) -> str:
    try:
        return json.dumps(json.loads(text or ""), indent=2, ensure_ascii=False)
    except ValueError:
        return text or "(nothing was kept)"


def _times(last: Sequence[Row]) -> Table:
    by_job: dict[str, list[Row]] = {}
    for row in last:
        if row["status"] == "published":
            by_job.setdefault(row["job"], []).append(row)
    rows = sorted((alike(own) for own in by_job.values()), key=lambda own: -own[-1]["seconds"])
    heads = ["job", "last", "median before", "last over median", "rows a second", "peak memory"]
    return Table(
        "Seconds of the runs that published",
        heads,
        [_time(own) for own in rows],
        note=f"The line shows up to {RUNS_SHOWN} runs over as many days as the last one; red took {SLOW:g}"
        " times the median of those before it.",
        none="no run has published anything.",
    )


def alike(own: Sequence[Row]) -> list[Row]:
    """Return a job's last runs over as many days as its last one: a backfill tells nothing about a night."""
    length = own[-1]["to_date"] - own[-1]["from_date"]
    return [row for row in own if row["to_date"] - row["from_date"] == length][-RUNS_SHOWN:]


def _time(own: Sequence[Row]) -> list[str | Cell]:
    seconds = [row["seconds"] for row in own]
    usual = median(seconds[:-1]) if len(seconds) > 1 else None
    ratio = seconds[-1] / usual if usual else None
    rate = own[-1]["rows_out"] / seconds[-1] if seconds[-1] else 0.0
    drawn = trend(seconds, f"{own[-1]['job']}: seconds of {len(seconds)} runs")
    return [
        own[-1]["job"],
        Cell(f"{seconds[-1]:,.1f} s", kind="bad" if ratio and ratio > SLOW else "", svg=drawn),
        f"{usual:,.1f} s" if usual is not None else "–",
        f"{ratio:.2f}" if ratio is not None else "–",
        f"{rate:,.0f}",
        f"{own[-1]['peak_mib']:,} MiB",
    ]


def _days(row: Row) -> str:
    last = row["to_date"] - timedelta(1)
    return str(row["from_date"]) if row["from_date"] == last else f"{row['from_date']} to {last}"
