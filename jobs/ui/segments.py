"""The page Segments: which segments are approved, who is in them, and what waits for a person.

Rows of releases, segmentations and segment_profiles in, a view out; only `gather` reads.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.dataset as ds

from jobs.config import Config
from jobs.releases import SEGMENTATION, newest
from jobs.ui.charts import share
from jobs.ui.shelf import Shelf
from jobs.ui.view import Card, Cards, Cell, Rows, Section, Table, View

Row = Mapping[str, Any]

READS = ("releases", "segmentations", "segment_profiles")
RELEASES = ("name", "version", "as_of_date", "verdict", "why", "decided_by", "decided_at", "details")
FITTED = (
    "segmentation_version", "segmentation", "request", "as_of_date", "k", "subjects", "silhouette",
    "stability", "has_structure", "is_suggested", "reason",
)  # fmt: skip
PROFILES = (
    "segmentation_version", "segment", "suggested_name", "subjects", "share", "revenue_cents",
    "revenue_share", "orders", "basket_cents", "retention", "as_of_date",
)  # fmt: skip
MOST_REQUESTS = 20


def gather(shelf: Shelf, config: Config) -> View:
    """Read what the page needs: of profiles only the days of approved versions."""
    reports = sorted(file.stem for file in (config.home / "reports" / "segments").glob("*.html"))
    return shelf.kept(READS, "segments", lambda: _read(shelf, reports), reports=tuple(reports))


def _read(shelf: Shelf, reports: Sequence[str]) -> View:
    releases = shelf.pruned("releases", RELEASES, ds.field("kind") == SEGMENTATION).to_pylist()
    fitted = shelf.pruned("segmentations", FITTED).to_pylist()
    approved = newest(releases)
    versions = [row["version"] for row in approved.values()]
    days = [row["as_of_date"] for row in approved.values()]
    profiles = []
    if versions:
        asked = ds.field("segmentation_version").isin(versions)
        profiles = shelf.pruned(
            "segment_profiles", PROFILES, asked, first=min(days), last=max(days)
        ).to_pylist()
    return view(releases, fitted, profiles, reports)


def view(
    releases: Sequence[Row], fitted: Sequence[Row], profiles: Sequence[Row], reports: Sequence[str] = ()
) -> View:
    """Put approved segments and the requests for others on a page; `reports` are names of report files."""
    approved = newest(releases)
    parts = [
        Section(
            f"Segments by {name}",
            [Cards([_verdict(row)]), _table(row, profiles)],
        )
        for name, row in sorted(approved.items())
    ]  # fmt: skip
    waiting = [row for row in _requests(fitted, releases) if row[1] == "waits"]
    lead = "Nobody has approved a segmentation yet: trigger the DAG segmentation, and answer its question."
    if approved:
        lead = "Segments as a person approved them; every night subjects are assigned to them."
    facts = [("approved", str(len(approved))), ("waiting for an answer", str(len(waiting)))]
    parts.append(Section("Requests", [_asked(_requests(fitted, releases), reports)]))
    return View("segments", "Segments", lead, facts, parts)


def _verdict(row: Row) -> Card:
    facts = [f"Approved by {row['decided_by']} on {row['decided_at']:%Y-%m-%d}."]
    facts += [row["why"]] if row["why"] else []
    return Card(row["version"], facts, ["live"], "yes")


def _table(release: Row, profiles: Sequence[Row]) -> Table:
    names = {key: name for key, name in dict(release["details"]).items() if key.isdigit()}
    rows: Rows = []
    own = [row for row in profiles if row["segmentation_version"] == release["version"]]
    for row in sorted(own, key=lambda row: row["segment"]):
        name = str(names.get(str(row["segment"]), row["suggested_name"]))
        drawn = share(row["share"], f"{name}: share of all subjects")
        rows.append(
            [
                name,
                Cell(f"{row['subjects']:,}", svg=drawn),
                f"{row['share']:.0%}",
                "–" if row["revenue_share"] is None else f"{row['revenue_share']:.0%}",
                "–" if row["basket_cents"] is None else f"{row['basket_cents'] / 100:,.2f}",
                f"{row['orders'] / row['subjects']:.1f}",
                f"{row['revenue_cents'] / row['subjects'] / 100:,.2f}",
                "–" if row["retention"] is None else f"{row['retention']:.0%}",
            ]
        )
    heads = [
        "segment",
        "subjects",
        "of all",
        "of revenue",
        "basket",
        "orders each",
        "spent each",
        "retention",
    ]
    note = "Sales of the 28 days up to its day; retention: of who bought in the 28 before, who did again."
    return Table(f"Who is in them, {release['as_of_date']}", heads, rows, note=note)


def _requests(fitted: Sequence[Row], releases: Sequence[Row]) -> list[tuple[Row, str, str]]:
    """Return of each request a row (the suggested k's where there is one), what became of it and why."""
    by_request: dict[str, list[Row]] = {}
    for row in fitted:
        by_request.setdefault(row["request"], []).append(row)
    found = []
    for request, of in by_request.items():
        versions = {request, *(row["segmentation_version"] for row in of)}
        answers = [row for row in releases if row["version"] in versions]
        last = max(answers, key=lambda row: row["decided_at"], default=None)
        shown = next((row for row in of if row["is_suggested"]), of[0])
        became = (
            "waits"
            if last is None
            else {"yes": "approved", "no": "rejected"}.get(last["verdict"], "unanswered")
        )
        found.append((shown, became, shown["reason"] if last is None else last["why"] or ""))
    return sorted(found, key=lambda each: (each[0]["as_of_date"], each[0]["request"]), reverse=True)


def _asked(requests: Sequence[tuple[Row, str, str]], reports: Sequence[str]) -> Table:
    kinds = {"approved": "good", "rejected": "bad", "waits": "", "unanswered": "quiet"}
    rows: Rows = []
    for row, became, why in requests[:MOST_REQUESTS]:
        file = row["request"].replace(":", "-")
        href = f"/vitrine/reports/segments/{file}.html" if file in reports else ""
        suggested = str(row["k"]) if row["is_suggested"] else "none"
        rows.append(
            [
                Cell(row["request"], href=href),
                Cell(became, kind=kinds[became]),
                why,
                suggested,
                f"{row['silhouette']:.3f}",
                f"{row['stability']:.2f}",
                f"{row['subjects']:,}",
            ]
        )
    heads = ["request", "became", "why", "suggested k", "silhouette", "stability", "subjects"]
    return Table(
        f"The last {MOST_REQUESTS} requests", heads, rows, words=3, none="nobody has asked for segments."
    )
