"""The page Models: which version of each model is live, how good it is on closings it has not seen, and why.

Rows of releases, models and model_values in, a view out; only `gather` reads, and never a model's bytes.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow.dataset as ds
from markupsafe import Markup

from jobs.champions import verdict
from jobs.config import Config
from jobs.model_charts import reliability
from jobs.releases import MODEL
from jobs.ui.shelf import Shelf
from jobs.ui.view import Card, Cards, Cell, Figure, Rows, Section, Table, View

Row = Mapping[str, Any]

READS = ("releases", "models", "model_values")
RELEASES = ("kind", "name", "version", "as_of_date", "verdict", "why", "decided_by", "decided_at")
VERSIONS = (
    "model_version", "name", "closing_id", "as_of_date", "algorithm", "is_candidate", "is_current", "task",
    "rows", "trees",
)  # fmt: skip
VALUES = (
    "model_version", "name", "as_of_date", "learner", "metric", "slice", "class", "value", "low", "high",
)  # fmt: skip
SHOWN = {
    "log_loss": "log loss", "squared_error": "squared error", "auc": "AUC",
    "calibration_error": "calibration error", "change_from_champion": "change from the champion",
    "change_from_small": "change from the small model",
}  # fmt: skip
CHANGES = ("change_from_champion", "change_from_small")
KINDS = {"yes": "yes", "no": "no"}


def gather(shelf: Shelf, config: Config) -> View:
    """Read what the page needs."""
    reports = tuple(sorted(file.stem for file in (config.home / "reports" / "models").glob("*.html")))
    specs = tuple(sorted(config.model_specs))
    return shelf.kept(READS, "models", lambda: _read(shelf, specs, reports), specs=specs, reports=reports)


def _read(shelf: Shelf, specs: Sequence[str], reports: Sequence[str]) -> View:
    releases = shelf.pruned("releases", RELEASES, ds.field("kind") == MODEL).to_pylist()
    versions = shelf.pruned("models", VERSIONS, ds.field("is_candidate")).to_pylist()
    asked = ds.field("metric").isin([*SHOWN, "predicted", "observed"]) & (ds.field("class") == "all")
    values = shelf.pruned("model_values", VALUES, asked).to_pylist()
    return view(specs, releases, versions, values, reports)


def view(
    specs: Sequence[str],
    releases: Sequence[Row],
    versions: Sequence[Row],
    values: Sequence[Row],
    reports: Sequence[str] = (),
) -> View:
    """Put each spec's champion, its versions and figures on a page; `reports` are days that have one."""
    champions = {name: verdict(releases, name, date.max) for name in specs}
    live = sum(row is not None for row in champions.values())
    lead = (
        "After each closing a challenger is trained and held against the champion; only who is surely better"
        " (or not worse than an old one) replaces it. By hand: vitrine model promote, or rollback."
    )
    parts = [_section(name, champions[name], releases, versions, values, reports) for name in specs]
    facts = [("specs", str(len(specs))), ("with a champion", str(live))]
    return View("models", "Models", lead, facts, parts)


def _section(
    name: str,
    champion: Row | None,
    releases: Sequence[Row],
    versions: Sequence[Row],
    values: Sequence[Row],
    reports: Sequence[str],
) -> Section:
    own = sorted(
        (row for row in versions if row["name"] == name),
        key=lambda row: (row["as_of_date"], row["model_version"]),
        reverse=True,
    )
    decided = {
        row["version"]: row
        for row in sorted(releases, key=lambda row: row["decided_at"])
        if row["name"] == name
    }
    if not own:
        note = "No version has been trained yet: closing_training does, after each closing."
        return Section(name, [Cards([Card(name, [note], ["no champion"])])])
    newest = own[0]["model_version"]
    cards = (
        [_card("champion", champion)] if champion else [Card(name, ["No version is live."], ["no champion"])]
    )
    challenger = decided.get(newest)
    if challenger and (champion is None or champion["version"] != newest):
        cards.append(_card("newest challenger", challenger))
    live = champion["version"] if champion else None
    table = _versions(name, own, live, decided, values, reports)
    return Section(name, [Cards(cards), table, *_calibration(name, newest, values)])


def _card(what: str, row: Row) -> Card:
    facts = [row["why"], f"Decided by {row['decided_by']} on {row['decided_at']:%Y-%m-%d}."]
    tags = ["live"] if what == "champion" else [row["verdict"]]
    return Card(f"{what}: {row['version']}", facts, tags, KINDS.get(row["verdict"], "cannot"))


def _versions(
    name: str,
    own: Sequence[Row],
    live: str | None,
    decided: Mapping[str, Row],
    values: Sequence[Row],
    reports: Sequence[str],
) -> Table:
    found = {
        (row["model_version"], row["metric"]): row
        for row in values
        if row["slice"] == "all" and row["learner"] not in ("xgboost", "logistic", "last_period", "champion")
    }
    metrics = [metric for metric in SHOWN if any(key[1] == metric for key in found if _is_of(key[0], own))]
    rows: Rows = []
    for row in own:
        version, day = row["model_version"], str(row["as_of_date"])
        answer = decided.get(version)
        became = "live" if version == live else "no verdict" if answer is None else answer["verdict"]
        href = f"/vitrine/reports/models/{day}.html" if day in reports else ""
        rows.append(
            [
                Cell(version, href=href),
                Cell(became, kind="good" if version == live else ""),
                row["closing_id"] or "–",
                f"{row['rows']:,}",
                str(row["trees"]),
                *(_figure(metric, found.get((version, metric))) for metric in metrics),
            ]
        )
    heads = ["version", "became", "closing", "examples", "trees", *(SHOWN[metric] for metric in metrics)]
    note = "On closings that it has not seen, with 95 % intervals by subject. Lower is better, but for AUC."
    return Table(f"Versions of {name}, the newest first", heads, rows, note=note)


def _is_of(version: str, own: Sequence[Row]) -> bool:
    return any(row["model_version"] == version for row in own)


def _figure(metric: str, row: Row | None) -> str | Cell:
    if row is None:
        return "–"
    form = "{:+.1%}" if metric in CHANGES else "{:.3f}"
    between = "" if row["low"] is None else f"{form.format(row['low'])} to {form.format(row['high'])}"
    return Cell(form.format(row["value"]), small=between)


def _calibration(name: str, version: str, values: Sequence[Row]) -> list[Figure]:
    by = {(row["metric"], row["slice"]): row["value"] for row in values if row["model_version"] == version}
    bins = sorted(label for metric, label in by if metric == "predicted" and ("observed", label) in by)
    if not bins:
        return []
    points = [(by["predicted", label], by["observed", label]) for label in bins]
    drawn = Markup(reliability(points, title=f"{name}: reliability"))  # noqa: S704 (the chart has escaped its text)
    return [Figure(f"Reliability of {version}: what was predicted, and what came", drawn)]
