"""What the inspector shows of a subject beside its pages: why, the night before, and what the subject did.

Reads   layouts and policies (of the newest night and the one before), subject_features, order_lines, sessions
        and subject_daily of the subject's last days; without Spark
Writes  nothing
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.config import Config
from jobs.explaining import COLUMNS, Told, policies_of, told
from jobs.scenarios import LIVE
from jobs.store import Page
from jobs.tables import Tables

HISTORY_DAYS = 56
MOST_DAYS = 12
LONGEST_DRAW = 7


@dataclass(frozen=True)
class Before:
    """A page as of the night before: its day, its draw and its widgets, in their order."""

    day: date
    draw_id: str
    widgets: Sequence[str]


@dataclass(frozen=True)
class Day:
    """What a subject did on a day; purchases by category with their number of products."""

    day: date
    sales_cents: int = 0
    bought: Sequence[tuple[str, int]] = ()
    sessions: int = 0
    views: int = 0
    basket_adds: int = 0


@dataclass(frozen=True)
class Inspection:
    """All that stands beside a subject's pages.

    told : by draw id what is known of its positions. before : by page. who : a few words on the subject.
    """

    told: Mapping[str, Sequence[Told]]
    before: Mapping[str, Before]
    history: Sequence[Day]
    who: Sequence[str]
    until: date


def inspect(config: Config, subject: str, pages: Sequence[Page], serves: date) -> Inspection:
    """Gather what the tables know of a subject and its pages, for the day that they are served on."""
    tables, last = Tables(config.tables), serves - timedelta(1)
    ids = pa.array([page.layout.draw_id for page in pages], pa.string())
    drawn = (ds.field("draw_id").isin(ids)) & (ds.field("layout_date") <= last)
    recent = ds.field("layout_date") >= last - timedelta(LONGEST_DRAW)
    rows = tables.read("layouts", drawn & recent, list(COLUMNS)).to_pylist()
    by_draw = {row["draw_id"]: row for row in sorted(rows, key=lambda row: row["layout_date"])}
    policies = policies_of(config, list(by_draw.values())) if by_draw else {}
    main = {name: config.variants.of(page)[0] for name, page in config.pages.items()}
    return Inspection(
        {name: told(row, config, policies.get(row["policy_version"])) for name, row in by_draw.items()},
        _before(tables, subject, last, main),
        _history(tables, subject, last),
        _who(tables, subject, last),
        last,
    )


def _before(tables: Tables, subject: str, last: date, main: Mapping[str, str]) -> dict[str, Before]:
    """Return by page the subject's newest layout of a night before the last one."""
    day = ds.field("layout_date")
    mine = (ds.field("subject") == subject) & (ds.field("scenario") == LIVE) & (day < last)
    within = mine & (day >= last - timedelta(LONGEST_DRAW))
    columns = ["layout_date", "page", "variant", "draw_id", "widgets"]
    rows = tables.read("layouts", within, columns).to_pylist()
    # What the inspector shows is the main variant: that which the reader gives to who asks for none.
    newest = sorted(
        (row for row in rows if (row["variant"] or "") == main.get(row["page"], "")),
        key=lambda row: row["layout_date"],
    )
    return {row["page"]: Before(row["layout_date"], row["draw_id"], row["widgets"]) for row in newest}


def _history(tables: Tables, subject: str, last: date) -> list[Day]:
    """Return the last days on which the subject did something, the newest first."""
    lines = _rows(tables, "order_lines", "order_date", subject, last, ["category", "quantity", "sales_cents"])
    stretches = _rows(tables, "sessions", "session_date", subject, last, ["product_views", "basket_adds"])
    found = []
    for day in sorted({*lines, *stretches}, reverse=True)[:MOST_DAYS]:
        bought: Counter[str] = Counter()
        for line in lines.get(day, ()):
            bought[line["category"]] += line["quantity"]
        own = stretches.get(day, [])
        found.append(
            Day(
                day,
                sum(line["sales_cents"] for line in lines.get(day, ())),
                bought.most_common(),
                len(own),
                sum(each["product_views"] for each in own),
                sum(each["basket_adds"] for each in own),
            )
        )
    return found


def _rows(
    tables: Tables, table: str, column: str, subject: str, last: date, wanted: Sequence[str]
) -> dict[date, list[dict[str, Any]]]:
    day = ds.field(column)
    mine = (ds.field("subject") == subject) & (day <= last) & (day > last - timedelta(HISTORY_DAYS))
    read: pa.Table = tables.read(table, mine, [column, *wanted])
    found: dict[date, list[dict[str, Any]]] = {}
    for row in read.to_pylist():
        found.setdefault(row[column], []).append(row)
    return found


def _who(tables: Tables, subject: str, last: date) -> list[str]:
    """Say who a subject is, by its features of the evening: role and region, or a device, or nobody yet."""
    mine = (ds.field("subject") == subject) & (ds.field("feature_date") == last)
    rows = tables.read("subject_features", mine, ["role", "region", "last_active_date"]).to_pylist()
    if not rows:
        return ["nothing is known of them: they get one of the page's defaults"]
    (row,) = rows
    active = row["last_active_date"]
    return [
        row["role"] or "a device: nobody is logged in",
        *([f"region {row['region']}"] if row["region"] else []),
        *([f"last active {active.day} {active:%B}"] if active else []),
    ]
