"""What a page shows, as plain values: tables, figures, cards and samples; one template draws them.

Plain values in, HTML out; nothing is read. The template escapes text; charts are SVG that is escaped already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

JOBS = Path(__file__).resolve().parents[1]
TEMPLATES = Path(__file__).with_name("templates")
REPORT_STYLES = ("segment_page.css", "policy_page.css", "ui/pages.css")
PAGES = {
    "layouts": "Layouts", "policies": "Policies", "segments": "Segments", "models": "Models",
    "drift": "Drift", "health": "Health", "cost": "Cost", "reports": "Reports",
}  # fmt: skip
"""Pages by the end of their address, in the order of the navigation."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table; `kind` is good, watch, bad or quiet, `small` stands beside, `svg` after the text."""

    text: str
    small: str = ""
    kind: str = ""
    href: str = ""
    svg: Markup = Markup()  # noqa: RUF009 (text never changes)


Rows = list[list[str | Cell]]


@dataclass(frozen=True)
class Table:
    """A table; its first `words` columns are words, the others figures; `none` is said of no rows."""

    shape: ClassVar[str] = "table"
    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    words: int = 1
    note: str = ""
    none: str = "Nothing."


@dataclass(frozen=True)
class Figure:
    """A chart with what it shows."""

    shape: ClassVar[str] = "figure"
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Card:
    """A thing with a few facts; `kind` is yes, no or cannot."""

    title: str
    facts: Sequence[str] = ()
    tags: Sequence[str] = ()
    kind: str = ""
    href: str = ""


@dataclass(frozen=True)
class Cards:
    """Cards beside each other."""

    shape: ClassVar[str] = "cards"
    cards: Sequence[Card]


@dataclass(frozen=True)
class Samples:
    """Texts that open one by one."""

    shape: ClassVar[str] = "samples"
    title: str
    texts: Sequence[tuple[str, str]]


Block = Table | Figure | Cards | Samples


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading."""

    title: str
    blocks: Sequence[Block] = ()
    note: str = ""


@dataclass(frozen=True)
class View:
    """A page: which of PAGES, what it says first, and its sections."""

    page: str
    title: str
    lead: str = ""
    facts: Sequence[tuple[str, str]] = ()
    sections: Sequence[Section] = ()
    note: str = ""


def render(view: View) -> str:
    """Return a page's HTML: one file that needs nothing else."""
    return _environment().get_template("page.html").render(view=view, style=styles(*REPORT_STYLES), nav=PAGES)


def frame(page: str, title: str, body: Markup, *, form: Mapping[str, str], missing: str, style: str) -> str:
    """Return the page of layouts: the form that finds a subject, and what was found."""
    told = {"page": page, "title": title, "body": body, "form": form, "missing": missing}
    return _environment().get_template("layouts.html").render(**told, style=style, nav=PAGES)


@cache
def styles(*names: str) -> Markup:
    """Return style sheets of jobs/ one after the other."""
    return Markup("".join((JOBS / name).read_text(encoding="utf-8") for name in names))  # noqa: S704


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
