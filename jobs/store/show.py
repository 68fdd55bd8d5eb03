"""What `vitrine layout get` and `vitrine store status` print."""

import re
import sys
from datetime import UTC, datetime

from jobs.config import Config
from jobs.ids import pseudonym
from jobs.store.errors import StoreError
from jobs.store.pages import Page, Slot
from jobs.store.reader import Store
from jobs.store.status import live
from jobs.store.status import status as look

PSEUDONYM = re.compile(r"[a-z0-9]{1,8}-[0-9a-f]{32}|default:.+")
TILES = 5


class UnknownPage(StoreError):
    """A page that conf/pages does not declare."""


def layout(config: Config, subject: str, page: str) -> None:
    """Print the layout that a reader of the store gets."""
    _check(config, page)
    sys.stdout.write("\n".join(lines(_open(config).page(subject_of(config, subject), page))) + "\n")


def status(config: Config) -> None:
    """Print which generation is live, of which day, until when it is valid, and what it holds."""
    pointer = live(config.store_url)
    stands = pointer is not None and config.store.clock == "generation"
    now = pointer.noon if pointer is not None and stands else datetime.now(UTC)
    sys.stdout.write("\n".join(look(config.store_url, now).lines()) + "\n")


def subject_of(config: Config, given: str) -> str:
    """Return the pseudonym of a user id of the shop; a pseudonym is its own."""
    if PSEUDONYM.fullmatch(given):
        return given
    return pseudonym("user", given, key=config.ids.key, key_id=config.ids.key_id)


def lines(found: Page) -> list[str]:
    """Return a page in words."""
    of = found.layout
    drawn = (
        f"drawn {of.drawn_date} by {of.policy_version} ({of.draw_id})" if of.drawn_date else of.policy_version
    )
    why = f" ({of.why})" if of.why else ""
    told = [f"{of.page} of {of.subject}: {of.freshness}{why}, generation {of.generation}, {drawn}"]
    for slot in found.slots:
        told += _slot(slot)
    return told


def _slot(slot: Slot) -> list[str]:
    shows = f" {slot.category}" if slot.category else ""
    names = [f"{tile.name}{' (again)' if tile.is_own else ''}" for tile in slot.tiles[:TILES]]
    more = f" and {len(slot.tiles) - TILES} more" if len(slot.tiles) > TILES else ""
    worth = f"expected reward {slot.score:.3f}, probability {slot.propensity:.3f}"
    return [
        f"{slot.position + 1:3}  {slot.widget}{shows}: {slot.reason}; {worth}",
        f"     {', '.join(names) or 'no products'}{more}",
    ]


def _open(config: Config) -> Store:
    return Store.open(config.store_url, clock=config.store.clock)


def _check(config: Config, name: str) -> None:
    if name not in config.pages:
        raise UnknownPage(f"There is no page {name!r}; the pages are {', '.join(sorted(config.pages))}.")
