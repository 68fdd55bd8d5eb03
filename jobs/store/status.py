"""What the store holds now, for `vitrine store status` and for jobs that must know the live generation."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from jobs.store.backends import Address, Backend, backend_of
from jobs.store.errors import BrokenValue, NotThere, StoreError
from jobs.store.pointer import Pointer
from jobs.store.reader import open_live


@dataclass(frozen=True)
class Status:
    """The live generation, what stands behind it, and what is wrong, if anything."""

    live: Pointer | None
    state: str
    dormant_generation: int | None
    file_bytes: int
    defaults: dict[str, int]
    problem: str

    def lines(self) -> list[str]:
        """The status in words, a line each."""
        if self.live is None:
            return [self.problem or "The store is empty: nothing was exported yet."]
        behind = f"generation {self.dormant_generation}" if self.dormant_generation else "nothing"
        at = self.live
        size = f"{at.size:,} bytes" + (f" ({self.file_bytes:,} on disk)" if self.file_bytes else "")
        defaults = ", ".join(f"{count} of {page}" for page, count in sorted(self.defaults.items()))
        told = [
            f"generation {at.generation} on {at.colour}, {self.state}",
            f"made from the night of {at.layout_date}, for {at.serves_date}",
            f"valid until {at.valid_until:%Y-%m-%d %H:%M} UTC",
            f"{at.layouts:,} layouts, {at.keys:,} keys, {size}",
            f"{at.changed:,} keys differed from the generation before",
            f"defaults: {defaults or 'none'}",
            f"digest {at.digest}, flipped {at.flipped_at:%Y-%m-%d %H:%M} UTC by run {at.run_id}",
            f"the other colour, {at.dormant}, holds {behind}",
        ]
        return told + ([self.problem] if self.problem else [])


def live(url: Address) -> Pointer | None:
    """Return the live generation's pointer, None where nothing was exported yet."""
    return backend_of(url).pointer()


def held(url: Address) -> set[int]:
    """Return the generations that the colours hold: the one that readers see, and one to roll back to.

    Raises
    ------
    StoreError
        When the store cannot be read.

    """
    backend = backend_of(url)
    pointer = backend.pointer()
    if pointer is None:
        return set()
    found = {pointer.generation}
    with suppress(NotThere, BrokenValue):  # nothing, or an export that was killed
        found.add(backend.colour(pointer.dormant).heartbeat.generation)
    return found


def status(url: Address, now: datetime) -> Status:
    """Look at the store as a reader would."""
    backend = backend_of(url)
    try:
        pointer = backend.pointer()
    except StoreError as error:
        return Status(None, "broken", None, 0, {}, str(error))
    if pointer is None:
        return Status(None, "empty", None, 0, {}, "")
    state = (
        "fresh"
        if now < pointer.fresh_until
        else "stale"
        if now < pointer.valid_until
        else "past its validity"
    )
    behind = _generation(backend, pointer.dormant)
    try:
        colour = open_live(backend).colour
    except StoreError as error:
        return Status(pointer, "broken", behind, 0, {}, str(error))
    return Status(pointer, state, behind, colour.stored_bytes(), colour.heartbeat.defaults, "")


def _generation(backend: Backend, colour: str) -> int | None:
    try:
        return backend.colour(colour).heartbeat.generation
    except StoreError:
        return None
