"""The page Layouts: a form that finds a subject, and below it the inspector with all that stands beside it.

Reads   the store as a front end does, and the subject's own rows of the tables (jobs.inspecting)
Writes  nothing
"""

import re
from dataclasses import dataclass
from datetime import timedelta

from markupsafe import Markup

from jobs import page as inspector
from jobs.config import Config
from jobs.ids import pseudonym
from jobs.inspecting import Inspection, inspect
from jobs.page import SIMULATED, View
from jobs.store import Page, Store
from jobs.store.errors import StoreError
from jobs.store.show import PSEUDONYM
from jobs.ui import view
from jobs.ui.shelf import Shelf

STYLES = ("page.css", "ui/pages.css")


@dataclass(frozen=True)
class Found:
    """What was asked and what was found; `missing` says in a sentence why nothing is shown."""

    subject: str
    kind: str
    shown: View | None = None
    missing: str = ""


def gather(shelf: Shelf, config: Config, store: Store, subject: str, kind: str) -> Found:
    """Find a subject by the shop's id of a user or device, or by its pseudonym."""
    if not subject:
        return Found(subject, kind)
    is_pseudonym = PSEUDONYM.fullmatch(subject) is not None
    ids = config.ids
    who = subject if is_pseudonym else pseudonym(kind, subject, key=ids.key, key_id=ids.key_id)
    names = sorted(config.pages, key=lambda name: config.pages[name].positions)
    try:
        pages = [store.page(who, name) for name in names]
        pointer = store.generation().pointer
    except StoreError as error:
        return Found(subject, kind, missing=f"No layout can be read: {error}")
    found = inspect(config, who, pages, pointer.serves_date, shelf)
    if is_unknown(pages, found):
        night = pointer.serves_date - timedelta(1)
        return Found(
            subject, kind, missing=unknown(subject, kind, is_pseudonym=is_pseudonym, night=f"{night}")
        )
    is_demo = ids.demo_key is not None
    title = re.sub(r"^h(?=\d+$)", "Household ", subject) if is_demo else subject
    title = f"Subject …{who[-8:]}" if is_pseudonym else title
    note = SIMULATED if is_demo else ""
    about = ", ".join(found.who)
    return Found(subject, kind, View(title, about, pages, pointer.serves_date, pointer.colour, note, found))


def is_unknown(pages: list[Page], found: Inspection) -> bool:
    """Tell whether a subject has no layout of its own, now or before, no features and no history."""
    has_layout = any(page.layout.freshness != "fallback" for page in pages) or found.before
    return not (has_layout or found.history or found.is_known)


def unknown(subject: str, kind: str, *, is_pseudonym: bool, night: str) -> str:
    """Say that nothing is known of a subject, and what to try."""
    what = "the pseudonym" if is_pseudonym else f"a {kind} with the id"
    other = "user" if kind == "device" else "device"
    hint = "" if is_pseudonym else f" or as a {other}"
    return (
        f"Nothing is known of {what} {subject!r} up to the night of {night}: readers show one of the"
        f" page's defaults. Check its spelling{hint}; who did not consent has no layout of their own."
    )


def render(found: Found) -> str:
    """Return the page."""
    title, body = "Layouts", Markup()
    if found.shown:
        title = f"{found.shown.title}: layouts"
        body = Markup(inspector.body(found.shown))  # noqa: S704 (the inspector has escaped its text)
    return view.frame(
        "layouts",
        title,
        body,
        form={"subject": found.subject, "kind": found.kind},
        missing=found.missing,
        style=view.styles(*STYLES),
    )
