"""The policies' report, for a person: what each policy would earn, and what the gate says.

Rows of policy_values and releases, and what was summed of judgements, in; HTML out. Nothing is read here.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path

from jobs.deciding import NOT_ASKED
from jobs.live import IS_LIVE, YES
from jobs.policy_charts import Estimate, curves, forest
from jobs.policy_checks import Check, Nights, section
from jobs.policy_sections import (
    Row,
    Shown,
    deciding,
    drift,
    figure,
    moves,
    support,
    values_by_audience,
    values_by_estimator,
    weights,
)
from jobs.policy_values import EVERYONE, OBSERVED

# One style for all reports, and what only this one has.
STYLES = [Path(__file__).with_name(f"{name}_page.css") for name in ("segment", "policy")]
CLASSES = {"yes": "yes", "no": "no", "cannot tell": "cannot"}

HOW_TO_READ = {
    "Values": "what a serving would have earned, on average, had the policy drawn what was shown:"
    " estimated from what was shown, weighted by how much more often the policy would have shown it. Each day"
    " is judged with parameters of the days before, and a serving counts once all that may come of it has."
    " Intervals are at 95 %, by subject.",
    "The gate": "compares a candidate with the live policy on the same servings, night after night since it"
    " entered or the live one changed. Its bounds hold however often one looks, and over all"
    " candidates at once. Estimators that weigh whole layouts are not asked where too few that were logged"
    " are like the policy's own.",
    "Weights": "how often one serving counts. A few large ones mean that the log says little of the policy.",
    "Support": "what the policy would show first, beside how often that was shown first: where the log has"
    " nothing, nothing is known.",
}


def render(
    day: date,
    values: Sequence[Row],
    releases: Sequence[Row],
    shown: Mapping[str, Shown],
    checks: Sequence[Check],
    nights: Sequence[Nights],
    *,
    note: str,
) -> str:
    """Return the report of a night.

    `values` are rows of policy_values of the night and of the single days before it; `releases` the night's
    verdicts; `shown` by page; `checks` and `nights` what came of forecasts; `note` is what must be known of
    the data.
    """
    pages = sorted({row["page"] for row in values if row["as_of_date"] == day})
    parts = [_page(page, day, values, releases, shown.get(page)) for page in pages]
    title = f"Policies, {day.day} {day:%B %Y}"
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title} · Vitrine</title>",
            f"<style>{''.join(file.read_text(encoding='utf-8') for file in STYLES)}</style></head><body>",
            f'<header><p class="brand">Vitrine</p><h1>{title}</h1>{_lead(releases)}</header><main>',
            *parts,
            section(checks, nights),
            f"</main>{_footer(note)}</body></html>\n",
        ]
    )


def _lead(releases: Sequence[Row]) -> str:
    told = []
    for row in sorted(releases, key=_page_of):
        if dict(row["details"]).get(IS_LIVE) == YES:
            new = "goes live" if "compared_from" in dict(row["details"]) else "stays live"
            told.append(f"<li>{escape(_page_of(row))}: <b>{escape(row['name'])}</b> {new}</li>")
    return f'<ul class="facts">{"".join(told)}</ul>'


def _page(page: str, day: date, values: Sequence[Row], releases: Sequence[Row], shown: Shown | None) -> str:
    own = [row for row in values if row["page"] == page and row["goal"] == "reward"]
    window = [row for row in own if row["as_of_date"] == day and row["first_date"] < day]
    everyone = [row for row in window if row["audience"] == EVERYONE]
    verdicts = [row for row in releases if _page_of(row) == page]
    live = next((row["name"] for row in verdicts if dict(row["details"]).get(IS_LIVE) == YES), None)
    parts = [f"<section><h2>Page {escape(page)}</h2>", _verdicts(verdicts)]
    if everyone:
        parts += ['<div class="charts">', _forest(everyone, live), _learning(own), "</div>"]
        parts += [values_by_estimator(everyone), values_by_audience(window)]
    if shown is not None:
        parts += [weights(shown, everyone), support(shown), drift(shown), moves(shown, live)]
    return "".join([*parts, "</section>"])


def _verdicts(verdicts: Sequence[Row]) -> str:
    cards = []
    for row in sorted(verdicts, key=lambda row: (dict(row["details"]).get(IS_LIVE) != YES, row["name"])):
        live = '<span class="answer is-live">live</span>' if dict(row["details"]).get(IS_LIVE) == YES else ""
        compared = dict(row["details"]).get("compared_from")
        since = f"<li>compared since {compared}</li>" if compared else ""
        reasons = "".join(f"<li>{escape(_sentence(reason))}</li>" for reason in row["why"].split("; "))
        if silent := dict(row["details"]).get(NOT_ASKED):
            reasons += f"<li>not asked, too few layouts alike: {escape(silent)}</li>"
        cards.append(
            f'<article class="card verdict {CLASSES[row["verdict"]]}"><h4>{escape(row["name"])}'
            f'<span class="answer">{row["verdict"]}</span>{live}</h4><ul>{reasons}{since}</ul></article>'
        )
    return f'<h3>May it go live?</h3><div class="verdicts">{"".join(cards)}</div>'


def _forest(everyone: Sequence[Row], live: str | None) -> str:
    rows = [
        Estimate(row["spec"], row["value"], row["lower"], row["upper"], row["spec"] == live)
        for row in sorted(deciding(everyone), key=lambda row: -row["value"])
    ]
    by_policy = [row for row in everyone if row["estimator"] == OBSERVED]
    servings = sum(row["servings"] for row in by_policy)
    served = sum(row["value"] * row["servings"] for row in by_policy) / servings if servings else None
    days = max((row["as_of_date"] - row["first_date"]).days + 1 for row in everyone)
    return figure(
        f"<b>What a serving would earn</b>, last {days} days, with 95 % intervals;"
        " dashed: what was served did",
        forest(rows, served=served, title="values of policies with 95 % intervals"),
    )


def _learning(own: Sequence[Row]) -> str:
    lines: dict[str, dict[date, float]] = {}
    by_day: dict[date, list[Row]] = {}
    for row in own:
        if row["first_date"] == row["as_of_date"] and row["audience"] == EVERYONE:
            by_day.setdefault(row["as_of_date"], []).append(row)
    sums: dict[str, tuple[float, float]] = {}
    for then in sorted(by_day):
        for row in deciding(by_day[then]):
            total, servings = sums.get(row["spec"], (0.0, 0.0))
            sums[row["spec"]] = (total + row["value"] * row["servings"], servings + row["servings"])
            lines.setdefault(row["spec"], {})[then] = sums[row["spec"]][0] / sums[row["spec"]][1]
    return figure("<b>As it learns</b>: mean so far, day by day", curves(lines, title="learning curves"))


def _footer(note: str) -> str:
    told = "".join(f"<p><strong>{name}</strong>: {text}</p>" for name, text in HOW_TO_READ.items())
    about = f"<p><strong>The data</strong>: {escape(note)}</p>" if note else ""
    return f"<footer>{told}{about}</footer>"


def _page_of(row: Row) -> str:
    return str(dict(row["details"]).get("page", ""))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
