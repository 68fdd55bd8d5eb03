"""What an operator does to a store by hand: compare its colours, verify, roll back, clear up."""

from collections import Counter
from dataclasses import replace
from datetime import date, datetime

from jobs.store import keys
from jobs.store.backends import Address, Backend, Colour, backend_of
from jobs.store.codec import decode
from jobs.store.errors import BrokenValue, NotThere, StoreError, StoreGone
from jobs.store.export import Night
from jobs.store.pointer import Pointer
from jobs.store.reader import open_live
from jobs.store.terms import Terms
from jobs.store.walks import Differences, Move, counts_problem
from jobs.store.writers import writer_of

BY_HAND = "rollback"
NO_STORE = "There is no store yet: nothing to remove."
NOTHING_LEFT = "Nothing was left behind."
DRAWS = (keys.LAYOUT, keys.DEFAULT_PREFIX.encode())


class Kinds(Differences):
    """Differences, counted by the kind of key."""

    def __init__(self, there: Colour) -> None:
        super().__init__(there.pairs())
        self.kinds: Counter[str] = Counter()

    def note(self, key: bytes, what: Move) -> None:
        """Count a key that is new, changed or gone."""
        super().note(key, what)
        self.kinds[key.split(b":", 1)[0].decode()] += 1


def diff(url: Address) -> list[str]:
    """Tell how many keys are new, changed or gone between the dormant colour and the live one.

    Raises
    ------
    StoreError
        When either colour cannot be read.

    """
    backend = backend_of(url)
    live = open_live(backend)
    behind = _behind(backend, live.pointer)
    found = Kinds(behind)
    found.counted(live.colour.pairs())
    generations = f"generation {behind.heartbeat.generation} and generation {live.pointer.generation} (live)"
    told = [f"{found.count:,} keys differ between {generations}"]
    return told + [f"{count:>12,} {kind}" for kind, count in sorted(found.kinds.items())]


def verify(url: Address) -> str:
    """Read the live generation whole, and say what was found to be in order.

    Raises
    ------
    StoreError
        When counts or digest are not those of the pointer and the heartbeat, or a value cannot be read.

    """
    live = open_live(url)
    at, told = live.pointer, live.colour.heartbeat
    for name in ("digest", "keys", "size", "layouts"):
        if getattr(at, name) != getattr(told, name):
            raise BrokenValue(
                f"The pointer gives {name} {getattr(at, name)}, the heartbeat of {at.colour}"
                f" {getattr(told, name)}: run the next export, or roll back."
            )
    draws = _whole(live.colour)
    return (
        f"Generation {at.generation} on {at.colour} is whole: {at.keys:,} keys, {draws:,} draws,"
        f" digest {at.digest}."
    )


def rollback(url: Address, business_time_zone: str, at: datetime, terms: Terms | None = None) -> str:
    """Move readers back to the generation before, once it proved whole; tell what was done.

    It is valid as long as the one that is withdrawn would have been, so that a roll-back never shortens the
    time that is left to mend things. The next export writes over the withdrawn colour.

    Raises
    ------
    StoreError
        When there is no earlier generation, it is not whole, or an export is at work; nothing is moved then.

    """
    writer = writer_of(url, terms)
    backend = writer.backend
    _pointer(backend)  # a store that is not there is not to be made
    with writer.alone():
        withdrawn = _pointer(backend)
        behind = _behind(backend, withdrawn)
        heartbeat = behind.heartbeat
        if heartbeat.generation >= withdrawn.generation:
            raise StoreError(
                f"{withdrawn.dormant} holds generation {heartbeat.generation}, which is not before the live"
                f" {withdrawn.generation}: there is nothing to roll back to."
            )
        _whole(behind)
        changes = _changes(backend, withdrawn, behind)
        night = Night(date.fromisoformat(heartbeat.layout_date), business_time_zone, 1, at, BY_HAND)
        pointer = night.pointer(withdrawn.dormant, heartbeat, changes)
        until = max(pointer.valid_until, withdrawn.valid_until)
        writer.flip(withdrawn, replace(pointer, valid_until=until))
    return (
        f"Generation {heartbeat.generation} of {heartbeat.layout_date} is live again on {withdrawn.dormant};"
        f" generation {withdrawn.generation} is withdrawn."
    )


def collect(url: Address, terms: Terms | None = None) -> list[str]:
    """Remove what killed exports left behind, and tell what; both colours stay, for readers and roll-backs.

    Raises
    ------
    StoreError
        When an export is at work.

    """
    writer = writer_of(url, terms)
    if writer.backend.pointer() is None:
        return [NO_STORE]
    with writer.alone():
        return writer.clear() or [NOTHING_LEFT]


def _pointer(backend: Backend) -> Pointer:
    found = backend.pointer()
    if found is None:
        raise StoreGone(f"{backend.where} holds no generation: run the export job first.")
    return found


def _behind(backend: Backend, live: Pointer) -> Colour:
    try:
        return backend.colour(live.dormant)
    except NotThere:
        raise StoreError(
            f"{live.dormant} is empty: generation {live.generation} is the only one in the store."
        ) from None


def _whole(colour: Colour) -> int:
    """Return how many draws a colour holds, all of them readable and all counts as its heartbeat says."""
    if problem := counts_problem(colour, colour.heartbeat):
        raise BrokenValue(f"{colour.where} is damaged: {problem}")
    draws = 0
    for key, value in colour.pairs():
        if key.startswith(DRAWS):
            decode(value, colour.names)
            draws += 1
    return draws


def _changes(backend: Backend, withdrawn: Pointer, behind: Colour) -> int:
    """Count the keys that readers see changed; all of them where the withdrawn colour cannot be read."""
    try:
        there = backend.colour(withdrawn.colour).pairs()
        return Differences(there).counted(behind.pairs())
    except StoreError:
        return behind.heartbeat.keys
