"""What the inspector shows of a subject beside its pages: why, the night before, and what the subject did.

Reads   layouts and policies (of the newest night and the one before), subject_features, subject_daily and
        sessions of the subject's last days: without Spark, and only files of the subject's bucket
Writes  nothing
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from jobs import standing
from jobs.config import Config
from jobs.explaining import COLUMNS, Told, filtered, policies_of, told
from jobs.ids import subject_bucket
from jobs.page_words import title_of_widget
from jobs.store import Layout, Page
from jobs.tables import Tables

HISTORY_DAYS = 56
MOST_DAYS = 12
LONGEST_DRAW = 14
"""Days back to a draw that the store may still have: it stands for a week, and then while it is valid."""
FALLBACK = "fallback"
BOUGHT = ("sales_cents", "lines", "category_visits")
OWN = re.compile(r"[a-z0-9]+-[0-9a-f]{32}")


@dataclass(frozen=True)
class Before:
    """A page as of the night before: its day, its draw and its widgets, in their order."""

    day: date
    draw_id: str
    widgets: Sequence[str]


@dataclass(frozen=True)
class Day:
    """What a subject did on a day; what it bought as number of lines and as categories."""

    day: date
    sales_cents: int = 0
    lines: int = 0
    bought: Sequence[str] = ()
    sessions: int = 0
    views: int = 0
    basket_adds: int = 0


@dataclass(frozen=True)
class Inspection:
    """All that stands beside a subject's pages.

    told : by draw id what is known of its positions. before : by page. who : a few words on the subject.
    is_known : whether it has features. filtered : by draw id what the page's filters did to it.
    """

    told: Mapping[str, Sequence[Told]]
    before: Mapping[str, Before]
    history: Sequence[Day]
    who: Sequence[str]
    until: date
    is_known: bool = True
    filtered: Mapping[str, Sequence[str]] = field(default_factory=dict)


def inspect(
    config: Config, subject: str, pages: Sequence[Page], serves: date, tables: Tables | None = None
) -> Inspection:
    """Gather what the tables know of a subject and its pages, for the day that they are served on."""
    own = _Own(tables or Tables(config.tables), subject, _bucket(subject, config), serves - timedelta(1))
    rows = _drawn(own, [page.layout for page in pages])
    by_draw = {row["draw_id"]: row for row in sorted(rows, key=lambda row: row["layout_date"])}
    policies = policies_of(own.tables, list(by_draw.values())) if by_draw else {}
    main = {name: config.variants.of(page)[0] for name, page in config.pages.items()}
    features = own.rows("subject_features", ("role", "region", "last_active_date"), 0)
    return Inspection(
        {name: told(row, config, policies.get(row["policy_version"])) for name, row in by_draw.items()},
        _before(own, main),
        _history(own),
        _who(features),
        own.last,
        bool(features),
        {name: [line.strip() for line in filtered(row, title_of_widget)] for name, row in by_draw.items()},
    )


@dataclass(frozen=True)
class _Own:
    """A subject's rows of its tables, up to a day: no file of another day or bucket is opened."""

    tables: Tables
    subject: str
    bucket: int | None
    last: date

    def rows(
        self, table: str, columns: Sequence[str], days: int, where: ds.Expression | None = None
    ) -> list[dict[str, Any]]:
        """Return its rows of the last day and so many before it."""
        mine = ds.field("subject") == self.subject
        asked = mine if where is None else mine & where
        first = self.last - timedelta(days)
        read = self.tables.pruned(table, columns, asked, first=first, last=self.last, only=self.only)
        return list(read.to_pylist())

    @property
    def only(self) -> dict[str, int]:
        """The partitions that hold its rows."""
        return {} if self.bucket is None else {"subject_bucket": self.bucket}


def _drawn(own: _Own, layouts: Sequence[Layout]) -> list[dict[str, Any]]:
    """Return the rows of `layouts` that hold these draws: the last night's, else of the nights before it."""
    found: list[dict[str, Any]] = []
    ids = pa.array([each.draw_id for each in layouts if each.freshness != FALLBACK], pa.string())
    for days in (0, LONGEST_DRAW):
        if len(found) < len(ids):
            found = own.rows("layouts", COLUMNS, days, ds.field("draw_id").isin(ids))
    ids = pa.array([each.draw_id for each in layouts if each.freshness == FALLBACK], pa.string())
    if len(ids):
        asked = standing.OF_DEFAULTS & ds.field("draw_id").isin(ids)
        found += own.tables.pruned("layouts", COLUMNS, asked, first=own.last, last=own.last).to_pylist()
    return found


def _bucket(subject: str, config: Config) -> int | None:
    """Return a subject's bucket; None for what is no pseudonym, as a default."""
    return subject_bucket(subject, config.subject_buckets) if OWN.fullmatch(subject) else None


def _before(own: _Own, main: Mapping[str, str]) -> dict[str, Before]:
    """Return by page the subject's layout that stood on the night before the last one."""
    night = standing.newest_night(own.tables, before=own.last)
    if night is None:
        return {}
    rows = standing.of_subject(own.tables, own.subject, night, ("draw_id",), own.only)
    # What the inspector shows is the main variant: that which the reader gives to who asks for none.
    of_main = (row for row in rows if (row["variant"] or "") == main.get(row["page"], ""))
    return {row["page"]: Before(night, row["draw_id"], row["widgets"]) for row in of_main}


def _history(own: _Own) -> list[Day]:
    """Return the last days on which the subject did something, the newest first."""
    sums = own.rows("subject_daily", ("activity_date", *BOUGHT), HISTORY_DAYS - 1)
    bought = {row["activity_date"]: row for row in sums if row["lines"]}
    stretches: dict[date, list[dict[str, Any]]] = {}
    for row in own.rows("sessions", ("session_date", "product_views", "basket_adds"), HISTORY_DAYS - 1):
        stretches.setdefault(row["session_date"], []).append(row)
    return [
        _day(day, bought.get(day, {}), stretches.get(day, []))
        for day in sorted({*bought, *stretches}, reverse=True)[:MOST_DAYS]
    ]


def _day(day: date, bought: Mapping[str, Any], stretches: Sequence[Mapping[str, Any]]) -> Day:
    return Day(
        day,
        bought.get("sales_cents") or 0,
        bought.get("lines") or 0,
        sorted(name for name, _ in bought.get("category_visits") or ()),
        len(stretches),
        sum(each["product_views"] for each in stretches),
        sum(each["basket_adds"] for each in stretches),
    )


def _who(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say who a subject is, by its features of the evening: role and region, or a device, or nobody yet."""
    if not rows:
        return ["nothing is known of them: they get one of the page's defaults"]
    (row,) = rows
    active = row["last_active_date"]
    return [
        row["role"] or "a device: nobody is logged in",
        *([f"region {row['region']}"] if row["region"] else []),
        *([f"last active {active.day} {active:%B}"] if active else []),
    ]
