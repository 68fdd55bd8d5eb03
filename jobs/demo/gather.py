"""What the report shows, gathered from tables, store and truth.

Reads   the pipeline's tables, the store (by its reader), {home}/truth
Writes  nothing
"""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from jobs.config import Config
from jobs.contracts import all_tables
from jobs.demo import truth, values, world
from jobs.demo.report import Place, Said, Shown
from jobs.demo.source import date_of
from jobs.demo.values import PageValues
from jobs.ids import pseudonym
from jobs.live import IS_LIVE, POLICY, YES
from jobs.releases import MODEL
from jobs.store import Slot, Store
from jobs.tables import Tables

# Shoppers of three kinds, by the share of households that visit less often.
KINDS = (("frequent", 0.95), ("typical", 0.5), ("occasional", 0.1))
PRODUCTS_SHOWN = 2


def row_counts(tables: Tables) -> dict[str, int]:
    """Rows of every table that is there, from the tables' logs alone."""
    counts = {}
    for name in all_tables():
        if tables.exists(name):
            actions = pa.table(tables.open(name).get_add_actions(flatten=True))
            counts[name] = sum(actions["num_records"].to_pylist())
    return counts


def subjects(home: Path, last_day: int) -> list[tuple[int, str]]:
    """Three households that agreed to personalisation, with how often they came; the same ones every time."""
    first, last = date_of(last_day - 55), date_of(last_day)
    visits = truth.read(home, "start", first, last).household
    households, counts = np.unique(visits, return_counts=True)
    agreed = np.array([world.has_consent(household) for household in households.tolist()])
    households, counts = households[agreed], counts[agreed]
    order = np.lexsort((households, counts))
    chosen = []
    for kind, share in KINDS:
        place = order[int(share * (len(order) - 1))]
        household = int(households[place])
        often = f"{counts[place]} visits in eight weeks" if counts[place] > 1 else "one visit in eight weeks"
        chosen.append((household, f"{kind} shopper, {often}; simulated role: {world.role(household)}"))
    return chosen


def shown(config: Config, home: Path, last_day: int) -> list[Shown]:
    """The pages of three subjects, as a front end reads them."""
    store = Store.open(config.store_url, clock="generation")
    result = []
    for household, about in subjects(home, last_day):
        subject = pseudonym("user", f"h{household}", key=config.ids.key, key_id=config.ids.key_id)
        pages = {name: store.page(subject, name) for name in truth.PAGES}
        places = {name: [place(slot) for slot in page.slots] for name, page in pages.items()}
        versions = {name: page.layout.policy_version for name, page in pages.items()}
        result.append(Shown(f"h{household}", about, versions, places))
    return result


def place(slot: Slot) -> Place:
    """A position in words: a category's widget by its category."""
    category = slot.category.lower()
    named = category if slot.widget.startswith("category:") else f"{slot.widget}: {category}"
    products = list(dict.fromkeys(tile.name for tile in slot.tiles))[:PRODUCTS_SHOWN]
    return Place(named if category else slot.widget, slot.reason, slot.score, slot.propensity, products)


def verdicts(tables: Tables, night: date) -> list[Said]:
    """What the gate said on a night: the live policy of a page first."""
    of_night = (ds.field("kind") == POLICY) & (ds.field("as_of_date") == night)
    said = []
    for row in tables.read("releases", of_night).to_pylist():
        details = dict(row["details"])
        is_live = details.get(IS_LIVE) == YES
        said.append(Said(details["page"], row["name"], row["verdict"], is_live, row["why"]))
    return sorted(said, key=lambda each: (each.page, not each.is_live, each.policy))


def models(tables: Tables, night: date) -> list[str]:
    """What was decided about models after the last closing: name, verdict and why."""
    rows = tables.read(
        "releases", (ds.field("kind") == MODEL) & (ds.field("as_of_date") <= night)
    ).to_pylist()
    newest = max((row["as_of_date"] for row in rows), default=None)
    latest = {
        row["name"]: row
        for row in sorted(rows, key=lambda row: row["decided_at"])
        if row["as_of_date"] == newest
    }
    return [f"{name}: {row['verdict']}. {row['why']}" for name, row in sorted(latest.items())]


def true_values(config: Config, tables: Tables, home: Path) -> list[PageValues]:
    """The true values of both pages' policies."""
    return [values.page_values(config, tables, home, config.pages[name]) for name in truth.PAGES]
