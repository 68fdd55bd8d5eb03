"""Parts of the inspector's page: yesterday beside today, the subject's days, and why, in words.

Plain values in, HTML out; nothing is read.
"""

from collections.abc import Sequence
from datetime import date
from html import escape
from typing import TYPE_CHECKING

from jobs.page_words import named, spelled, title_of_widget

if TYPE_CHECKING:
    # What fills these needs the mathematics; who prints a layout from the store does not wait for it.
    from jobs.explaining import Told
    from jobs.inspecting import Before, Day

MOST_BOUGHT = 5
GOALS = {"click": "clicks", "quality": "click quality"}


def moved(before: "Before | None", widget: str, position: int) -> str:
    """Return a badge: where a widget stood the night before."""
    if before is None:
        return ""
    if widget not in before.widgets:
        return '<span class="move in">new today</span>'
    places = before.widgets.index(widget) - position
    if places == 0:
        return ""
    arrow, way = ("▲", "up") if places > 0 else ("▼", "down")
    plural = "s" if abs(places) > 1 else ""
    return (
        f'<span class="move {way}"><span aria-hidden="true">{arrow} {abs(places)}</span>'
        f'<span class="unseen">{abs(places)} place{plural} {way} since the night before</span></span>'
    )


def yesterday(before: "Before", page: str, draw_id: str, today: Sequence[str], serves: date) -> str:
    """Return a page as of the night before, with what became of each widget."""
    items = []
    for place, widget in enumerate(before.widgets):
        if widget not in today:
            kind, became = "out", "left"
        elif today.index(widget) == place:
            kind, became = "same", ""
        else:
            kind, became = "went", f"now {today.index(widget) + 1}"
        note = f"<small>{became}</small>" if became else ""
        items.append(f'<li class="{kind}"><span>{escape(title_of_widget(widget))}</span>{note}</li>')
    is_same = before.draw_id == draw_id
    about = "The same draw: nothing changed." if is_same else "Drawn anew since."
    name = "Yesterday" if (serves - before.day).days == 2 else f"Before, {before.day.day} {before.day:%b}"
    return (
        f'<aside class="before" aria-label="{escape(page)} the night before"><h3>{name}</h3>'
        f'<p class="note">{about}</p><ol>{"".join(items)}</ol></aside>'
    )


def history(days: "Sequence[Day]", until: date) -> str:
    """Return a subject's last days, the newest first."""
    told = "".join(_day(day) for day in days)
    inside = f"<ol>{told}</ol>" if days else '<p class="note">Nothing was done in the last eight weeks.</p>'
    return (
        '<aside class="history" aria-label="What the subject did"><h2>What they did</h2>'
        f'<p class="note">up to {until.day} {until:%B}, the newest first</p>{inside}</aside>'
    )


def _day(day: "Day") -> str:
    acts = [
        _count(day.sessions, "session"),
        _count(day.views, "detail page"),
        f"{day.basket_adds} into the basket" if day.basket_adds else "",
    ]
    did = ", ".join(act for act in acts if act)
    bought = ""
    if day.lines:
        names = "".join(f"<li>{escape(spelled(category))}</li>" for category in day.bought[:MOST_BOUGHT])
        more = len(day.bought) - MOST_BOUGHT
        names += f'<li class="note">and {more} more</li>' if more > 0 else ""
        bought = (
            f'<p class="spent"><b>{day.sales_cents / 100:,.2f}</b> for {_count(day.lines, "product")}</p>'
            f"<ul>{names}</ul>"
        )
    return (
        f'<li><h3><time datetime="{day.day}">{day.day:%a} {day.day.day} {day.day:%b}</time></h3>'
        f'{f"""<p class="note">{did}</p>""" if did else ""}{bought}</li>'
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}" if number else ""


def because(of: "Told") -> str:
    """Return why a widget stands where it stands, as rows of a definition list."""
    rows = []
    if of.goals:
        rows += [(f"of it for {GOALS.get(name, name)}", f"{value:+.3f}") for name, value in of.goals.items()]
    if abs(of.bonus) >= 5e-4:
        rows.append(("Exploration", f"{of.bonus:+.3f}"))
    if of.cost >= 5e-4:
        rows.append(("Like those above", f"{-of.cost:+.3f}"))
    told = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows)
    if of.features:
        lifts = "".join(
            f"<li><span>{escape(words)}</span><b>{value:+.3f}</b></li>" for words, value in of.features
        )
        told += '<dt class="whole">What speaks for it, beside the mean widget</dt>'
        told += f'<dd class="whole"><ul class="lifts">{lifts}</ul></dd>'
    if of.kept_out:
        names = named([title_of_widget(name) for name in of.kept_out])
        told += f"<dt>Rules kept out</dt><dd>{escape(names)}</dd>"
    return told


def sentence(of: "Told") -> str:
    """Return why a widget stands there, read aloud."""
    if of.is_pinned:
        return "Pinned here, whatever else."
    about = {"explored": "Tried, to learn from it"}.get(of.reason, of.reason[:1].upper() + of.reason[1:])
    return f"{about}."
