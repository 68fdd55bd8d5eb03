"""What the command line prints of the store and the tables."""

import re
from datetime import UTC, datetime, time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobs import query
from jobs.config import Config
from jobs.ids import pseudonym
from jobs.store import Layout, Store, live, status

PSEUDONYM = re.compile(r"[a-z0-9]{1,8}-[0-9a-f]{32}")


def open_store(config: Config) -> Store:
    """Open the configured store, with the clock that conf/ gives its readers."""
    return Store.open(config.store_url, clock=config.store.clock)


def subject_of(config: Config, given: str) -> str:
    """Return the pseudonym of a shop's user id; a pseudonym stays as it is."""
    if PSEUDONYM.fullmatch(given):
        return given
    return pseudonym("user", given, key=config.ids.key, key_id=config.ids.key_id)


def answer(config: Config, sql: str, limit: int) -> None:
    """Print the answer to a question, at most `limit` rows of it; a view's name alone asks for all of it."""
    asked = query.view(sql.strip()) if sql.strip() in query.views() else sql
    found = query.query(asked, config)
    table = Table(
        caption=f"{found.num_rows:,} rows"
        if found.num_rows <= limit
        else f"{limit} of {found.num_rows:,} rows"
    )
    for name in found.column_names:
        table.add_column(name, justify="left")
    for row in found.slice(0, limit).to_pylist():
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console().print(table, highlight=False)


def layout(config: Config, given: str, page: str) -> None:
    """Print a subject's layout as a reader gets it."""
    if page not in config.pages:
        raise query.QueryError(f"There is no page {page!r}; the pages are {', '.join(sorted(config.pages))}.")
    found = open_store(config).get(subject_of(config, given), page)
    Console().print(layout_table(found), highlight=False)


def layout_table(found: Layout) -> Table:
    """Lay a layout out as a table."""
    why = f" ({found.why})" if found.why else ""
    table = Table(
        title=f"{found.page} of {found.subject}: {found.freshness}{why}",
        caption=f"draw {found.draw_id} of {found.drawn_date}, policy {found.policy_version},"
        f" generation {found.generation}",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("position", "widget", "expected reward", "propensity", "reason"):
        table.add_column(heading, justify="left" if heading in ("widget", "reason") else "right")
    rows = zip(found.widgets, found.scores, found.propensities, found.reasons, strict=True)
    for position, (widget, score, propensity, reason) in enumerate(rows):
        table.add_row(str(position), widget, f"{score:.3f}", f"{propensity:.4f}", reason)
    return table


def page(config: Config, given: str, output: Path) -> None:
    """Write a subject's pages as one HTML file."""
    from jobs.page import render

    store = open_store(config)
    subject = subject_of(config, given)
    output.write_text(
        render([store.page(subject, name) for name in sorted(config.pages, reverse=True)], given)
    )
    Console().print(f"{output} shows the pages of {given}.", highlight=False)


def store_status(config: Config) -> None:
    """Print what the store holds."""
    pointer = live(config.store_url) if config.store.clock == "generation" else None
    at = datetime.combine(pointer.serves_date, time(12), UTC) if pointer else datetime.now(UTC)
    for line in status(config.store_url, at).lines():
        Console().print(line, highlight=False)
