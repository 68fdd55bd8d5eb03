"""The segmentation's report: one HTML file that a person reads without help, and answers from.

Rows of segmentations and segment_profiles in, HTML out; every k is there, the suggested one is open.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

from jobs import segment_tables as tables
from jobs.segment_charts import Line, bar, lines_over_k
from ml.segments.choice import STABLE, SUBSTANTIAL

Row = Mapping[str, Any]

STYLE = Path(__file__).with_suffix(".css")
GOLDEN_ANGLE = 137.5

HOW_TO_READ = {
    "Silhouette": "how much nearer subjects are to their own segment than to the next, -1 to 1; at most 0.25"
    " is no substantial structure (Kaufman, Rousseeuw 1990). The dotted line is the best that the same"
    " columns reach when each is shuffled by itself: structure lies well above it.",
    "Stability": "the adjusted Rand index between these segments and those found when the subjects are drawn"
    " anew: 1 is the same segments, 0 is chance; 0.85 is asked.",
    "Differences": "a segment's mean, and how many standard deviations of the scaled feature it lies above or"
    " below the mean of all.",
    "Sales and use": "of the 28 days up to the day of the segmentation. Retention is the share of those who"
    " bought in the 28 days before and bought again in these.",
}


def render(models: Sequence[Row], profiles: Sequence[Row], *, meanings: Mapping[str, str], note: str) -> str:
    """Return the report of one request.

    `models` are its rows of segmentations, `profiles` those of segment_profiles; `meanings` says what a
    feature is called; `note` is what must be known of the data.
    """
    models = sorted(models, key=lambda row: row["k"])
    first = models[0]
    suggested = next((row["k"] for row in models if row["is_suggested"]), None)
    shown = suggested or first["k"]
    title = f"Segments {first['segmentation']}, {_long(first['as_of_date'])}"
    by_version: dict[str, list[Row]] = {}
    for row in sorted(profiles, key=lambda row: row["segment"]):
        by_version.setdefault(row["segmentation_version"], []).append(row)
    rules = "".join(
        f"#k{row['k']}:checked~.panel.k{row['k']}{{display:block}}"
        f"#k{row['k']}:checked~.choose label[for=k{row['k']}]"
        "{background:var(--accent);color:var(--accent-ink)}"
        for row in models
    )
    picks = "".join(
        f'<input class="pick" type="radio" name="k" id="k{row["k"]}"'
        f"{' checked' if row['k'] == shown else ''}>"
        for row in models
    )
    labels = "".join(
        f'<label for="k{row["k"]}">k = {row["k"]}{" (suggested)" if row["is_suggested"] else ""}</label>'
        for row in models
    )
    panels = "".join(_panel(row, by_version.get(row["segmentation_version"], []), meanings) for row in models)
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)} · Vitrine</title>",
            f"<style>{STYLE.read_text(encoding='utf-8')}{rules}</style></head><body>",
            _front(first, title, meanings),
            f"<main>{_choice(models, suggested)}<section><h2>What the segments are</h2>",
            f'{picks}<div class="choose" role="group" aria-label="number of segments">{labels}</div>{panels}',
            f"</section></main>{_footer(note)}</body></html>\n",
        ]
    )


def _front(row: Row, title: str, meanings: Mapping[str, str]) -> str:
    facts = [
        f"<b>{row['subjects']:,}</b> subjects",
        f"<b>{row['left_out']:,}</b> left out, without these features",
        f"fitted on <b>{row['sampled']:,}</b>",
        f"roles: <b>{escape(', '.join(row['roles']) or 'all')}</b>",
        f"by <b>{escape(', '.join(meanings.get(name, name) for name in row['features'][:4]))}</b>"
        + (f" and {len(row['features']) - 4} more" if len(row["features"]) > 4 else ""),
        f"seed {row['seed']}",
    ]
    told = "".join(f"<li>{fact}</li>" for fact in facts)
    return (
        f'<header><p class="brand">Vitrine</p><h1>{escape(title)}</h1><p class="lead">{escape(row["reason"])}'
        f'</p><ul class="facts">{told}</ul></header>'
    )


def _choice(models: Sequence[Row], suggested: int | None) -> str:
    by_k = {name: {row["k"]: row[name] for row in models} for name in
            ("silhouette", "shuffled_silhouette", "stability", "stability_low")}  # fmt: skip
    silhouette = lines_over_k(
        [Line("ours", by_k["silhouette"]), Line("other", by_k["shuffled_silhouette"])],
        best=suggested, asked=SUBSTANTIAL, top=0.4 if max(by_k["silhouette"].values()) < 0.4 else 1,
        title="silhouette by number of segments",
    )  # fmt: skip
    stability = lines_over_k(
        [Line("ours", by_k["stability"]), Line("other", by_k["stability_low"])],
        best=suggested, asked=STABLE, top=1, title="stability by number of segments",
    )  # fmt: skip
    rows = "".join(
        f"<tr{_suggested(row, ' class=suggested')}><td><b>{row['k']}</b>"
        f"{_suggested(row, '<span class=tag>suggested</span>')}</td>"
        f"<td>{row['silhouette']:.3f}</td><td>{row['shuffled_silhouette']:.3f}</td>"
        f"<td>{row['stability']:.2f}</td><td>{row['stability_low']:.2f}</td><td>{row['smallest_share']:.1%}</td>"
        f"<td>{row['calinski_harabasz']:,.0f}</td><td>{row['davies_bouldin']:.2f}</td>"
        f"<td>{'yes' if row['has_structure'] else 'no'}</td></tr>"
        for row in models
    )
    heads = ("k", "silhouette", "of shuffled data", "stability", "lowest", "smallest segment",
             "Calinski-Harabasz", "Davies-Bouldin", "structure")  # fmt: skip
    return (
        '<section><h2>How many segments</h2><div class="charts">'
        f'<figure class="card"><figcaption><b>Silhouette</b> by k; dotted: shuffled data; dashed:'
        f" {SUBSTANTIAL}, above which structure begins</figcaption>{silhouette}</figure>"
        f'<figure class="card"><figcaption><b>Stability</b> by k; dotted: the lowest of all draws; dashed:'
        f" {STABLE}, which is asked</figcaption>{stability}</figure></div>"
        f'<div class="card wide" style="margin-top:16px">{tables.table(heads, rows)}</div></section>'
    )


def _panel(model: Row, profiles: Sequence[Row], meanings: Mapping[str, str]) -> str:
    cards = "".join(_segment(model, row) for row in profiles)
    names = [f"{row['segment']} · {row['suggested_name']}" for row in profiles]
    parts = [
        f'<div class="segments">{cards}</div>',
        "<h3>What sets them apart</h3>",
        tables.card(tables.table(["feature", *names], tables.differences(model, profiles, meanings))),
        "<h3>What they see and open: share of seen positions that earned a reward</h3>",
        tables.card(tables.table(["page / widget", *names], tables.use(profiles))),
        "<h3>Who they are</h3>",
        tables.card(tables.table(["role", *names], tables.roles(profiles))),
    ]
    against = next((row["against"] for row in profiles if row["against"]), None)
    if against:
        parts += [
            f"<h3>Where they come from: segments of {escape(against)}, the last approved</h3>",
            tables.card(tables.table(["segment then", *names], tables.migration(profiles))),
        ]
    return f'<div class="panel k{model["k"]}">{"".join(parts)}</div>'


def _segment(model: Row, row: Row) -> str:
    number = row["segment"]
    hue = f"--hue:{(38 + GOLDEN_ANGLE * number) % 360:.0f}"
    continues = f" · continues {row['continues']}" if row["continues"] else ""
    others = row["orders"] - row["session_orders"]
    facts = (
        ("basket", _money(row["basket_cents"])),
        ("lines in a basket", "–" if row["basket_lines"] is None else f"{row['basket_lines']:.1f}"),
        ("orders in 28 days, each", f"{row['orders'] / row['subjects']:.1f}"),
        ("spent in 28 days, each", _money(row["revenue_cents"] / row["subjects"])),
        ("orders made in a session", "–" if not row["orders"] else f"{1 - others / row['orders']:.0%}"),
        ("pages viewed in 28 days, each", f"{row['page_views'] / row['subjects']:.1f}"),
        ("retention", "–" if row["retention"] is None else f"{row['retention']:.0%}"),
    )
    told = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return (
        f'<article class="card segment" style="{hue}"><header><span class="number">{number}</span>'
        f"<h4>{escape(row['suggested_name'])}</h4></header>"
        f"<p>{row['subjects']:,} subjects{escape(continues)}</p>"
        f'<div class="bars">{bar("subjects", row["share"])}{bar("revenue", row["revenue_share"])}</div>'
        f"<dl>{told}</dl><p>{escape(_sentence(model['rules'][number]))}</p></article>"
    )


def _footer(note: str) -> str:
    told = "".join(f"<p><strong>{name}</strong>: {text}</p>" for name, text in HOW_TO_READ.items())
    about = f"<p><strong>The data</strong>: {escape(note)}</p>" if note else ""
    return (
        "<footer><p><strong>To answer</strong>, open the run's task <em>approval</em> in Airflow (Required"
        " actions). Approve takes the suggested k, or the one that you enter; names go one on a line, in the"
        " order of the numbers above, or stay as suggested. Reject leaves what was approved before.</p>"
        f"{told}{about}</footer>"
    )


def _suggested(row: Row, text: str) -> str:
    return text if row["is_suggested"] else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _money(cents: float | None) -> str:
    return "–" if cents is None else f"{cents / 100:,.2f}"


def _long(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
