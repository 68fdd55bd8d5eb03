"""The page Policies: may each go live and why, night by night, and what came of what was forecast.

Rows of releases and policy_values in, a view out; only `gather` reads.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow.dataset as ds
from markupsafe import Markup

from jobs.live import IS_LIVE, POLICY, YES
from jobs.policy_charts import Estimate, Strip, forest, strips
from jobs.policy_checks import Check, Nights, at_go_live, by_night
from jobs.policy_sections import deciding
from jobs.policy_values import EVERYONE, OBSERVED
from jobs.ui.shelf import Shelf
from jobs.ui.view import Card, Cards, Cell, Figure, Rows, Section, Table, View
from ml.ope.judged import MAIN

Row = Mapping[str, Any]

NIGHTS = 56
KINDS = {"yes": "yes", "no": "no", "cannot tell": "cannot"}
RELEASES = ("name", "version", "as_of_date", "verdict", "why", "decided_by", "details")
VALUES = (
    "as_of_date", "first_date", "page", "spec", "estimator", "goal", "audience", "value", "lower", "upper",
    "error", "servings",
)  # fmt: skip


def gather(shelf: Shelf) -> View:
    """Read what the page needs: the verdicts on policies, and two months of values for everyone."""
    return shelf.kept(("releases", "policy_values"), "policies", lambda: _read(shelf))


def _read(shelf: Shelf) -> View:
    releases = shelf.pruned("releases", RELEASES, ds.field("kind") == POLICY).to_pylist()
    newest = max((row["as_of_date"] for row in releases), default=None)
    if newest is None:
        return View(
            "policies", "Policies", "The gate has not decided yet: policy_evaluation does, every day."
        )
    asked = (ds.field("audience") == EVERYONE) & (ds.field("goal") == MAIN)
    values = shelf.pruned("policy_values", VALUES, asked, first=newest - timedelta(NIGHTS)).to_pylist()
    return view(releases, values)


def view(releases: Sequence[Row], values: Sequence[Row]) -> View:
    """Put verdicts, values and forecasts on a page, by page of the shop."""
    day = max(row["as_of_date"] for row in releases)
    night = [row for row in releases if row["as_of_date"] == day]
    pages = sorted({_page(row) for row in night})
    live = {_page(row): row["name"] for row in night if _is_live(row)}
    facts = [("night", str(day)), *((f"{page} shows", name) for page, name in sorted(live.items()))]
    sections = [
        Section(f"Page {page}", _of_page(page, day, releases, values, live.get(page))) for page in pages
    ]
    sections.append(_right(at_go_live(values, releases), by_night(values)))
    sections.append(Section("What went live", [_went_live(releases)]))
    lead = "May each go live? The gate says so every night, from what was logged; readers see what is live."
    return View("policies", "Policies", lead, facts, sections)


def _of_page(
    page: str, day: date, releases: Sequence[Row], values: Sequence[Row], live: str | None
) -> list[Cards | Figure | Table]:
    own = [row for row in releases if _page(row) == page]
    night = [row for row in own if row["as_of_date"] == day]
    night.sort(key=lambda row: (not _is_live(row), row["name"]))
    blocks: list[Cards | Figure | Table] = [Cards([_card(row) for row in night])]
    window = [
        row
        for row in values
        if row["page"] == page and row["as_of_date"] == day and row["first_date"] < row["as_of_date"]
    ]
    estimates = [
        Estimate(row["spec"], row["value"], row["lower"], row["upper"], row["spec"] == live)
        for row in sorted(deciding(window), key=lambda row: -row["value"])
    ]
    if estimates:
        drawn = forest(estimates, served=_served(window), title=f"values of policies of page {page}")
        caption = "What a serving would earn, with 95 % intervals; dashed: what was served did"
        blocks.append(Figure(caption, Markup(drawn)))  # noqa: S704 (the chart has escaped its text)
    return [*blocks, _nights(page, own)]


def _card(row: Row) -> Card:
    facts = [f"{reason[:1].upper()}{reason[1:]}." for reason in row["why"].split("; ")]
    since = dict(row["details"]).get("live_since")
    facts += [f"Live since the night of {since}."] if since else []
    tags = [row["verdict"], *(["live"] if _is_live(row) else [])]
    return Card(row["name"], facts, tags, KINDS[row["verdict"]])


def _served(window: Iterable[Row]) -> float | None:
    """Return what a serving did earn, over all policies that served."""
    came = [row for row in window if row["estimator"] == OBSERVED]
    servings = sum(row["servings"] for row in came)
    return sum(row["value"] * row["servings"] for row in came) / servings if servings else None


def _nights(page: str, own: Sequence[Row]) -> Table:
    """Count each policy's verdicts, night by night."""
    by_name: dict[str, list[Row]] = {}
    for row in sorted(own, key=lambda row: row["as_of_date"]):
        by_name.setdefault(row["name"], []).append(row)
    rows = []
    for name, of in sorted(by_name.items()):
        counts = [sum(row["verdict"] == verdict for row in of) for verdict in KINDS]
        shown = sum(_is_live(row) for row in of)
        last = of[-1]
        rows.append(
            [name, last["verdict"], f"{last['as_of_date']}", *(str(count) for count in counts), str(shown)]
        )
    heads = ["policy", "last verdict", "of the night", "yes", "no", "cannot tell", "nights live"]
    note = "A live policy's refit is a yes of its own each night."
    return Table(f"The gate's nights, page {page}", heads, rows, words=2, note=note)


def _right(checks: Sequence[Check], nights: Sequence[Nights]) -> Section:
    note = (
        "Each evening's forecast for the policy that was live, beside what a serving earned on the night"
        " after; and what was predicted of a policy on the night it went live, beside what came since. A"
        " night differs from a month by more than chance, so fewer than 95 % of intervals may hold 0."
    )
    blocks: list[Figure | Table] = []
    for page in sorted({each.page for each in nights}):
        dots = [
            Strip(each.estimator, [(gap, held is not False, f"{day}") for day, gap, held in each.differences],
                  each.mean)
            for each in nights if each.page == page
        ]  # fmt: skip
        drawn = strips(dots, title=f"forecasts less outcomes of page {page}")
        caption = f"Page {page}: a dot a night, forecast less outcome; hollow where its interval misses 0"
        blocks.append(Figure(caption, Markup(drawn)))  # noqa: S704 (the chart has escaped its text)
    rows = [
        [f"{each.page}: {each.estimator}", str(len(each.differences)), f"{each.error:.3f}",
         f"{each.mean:+.3f}", "{} of {}".format(*each.judged) if each.judged[1] else "–"]
        for each in nights
    ]  # fmt: skip
    heads = ["page: estimator", "nights", "mean absolute error", "mean error", "interval held 0"]
    none = "no policy that was forecast has served yet; from the first such night on they are compared here."
    blocks.append(Table("Forecast less outcome, night by night", heads, rows, none=none))
    if checks:
        blocks.append(_since(checks))
    return Section("Who has been right", blocks, note)


def _since(checks: Sequence[Check]) -> Table:
    held: dict[bool | None, str | Cell] = {
        True: Cell("yes", kind="good"),
        False: Cell("no", kind="bad"),
        None: "–",
    }
    rows: Rows = [
        [
            f"{each.page}: {each.spec}, {each.estimator}",
            f"{each.predicted:.3f}",
            f"{each.observed:.3f}",
            f"{each.predicted - each.observed:+.3f}",
            "–" if each.margin is None else f"±{each.margin:.3f}",
            held[each.holds],
            str(each.days),
        ]
        for each in checks
    ]
    heads = ["page: policy, estimator", "predicted", "came", "error", "margin", "held", "nights"]
    return Table("Since it went live", heads, rows)


def _went_live(releases: Sequence[Row]) -> Table:
    went = [row for row in releases if _is_live(row) and "compared_from" in dict(row["details"])]
    went.sort(key=lambda row: (row["as_of_date"], row["name"]), reverse=True)
    rows = [[f"{row['as_of_date']}", _page(row), row["name"], row["why"], row["decided_by"]] for row in went]
    heads = ["night", "page", "policy", "why", "decided by"]
    none = "every page still shows the policy that its file names, or the gate's first choice."
    return Table("Policies that replaced another", heads, rows, words=5, none=none)


def _page(row: Row) -> str:
    return str(dict(row["details"]).get("page", ""))


def _is_live(row: Row) -> bool:
    return dict(row["details"]).get(IS_LIVE) == YES
