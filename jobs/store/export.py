"""One export: the dormant colour built and verified, then made the live one.

A crash anywhere leaves the live colour as it was: what is built stands beside its place until it is verified,
and nobody looks at the dormant colour before the pointer, moved last and in one step, names it.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from jobs.contracts import contract
from jobs.store import verify
from jobs.store.bounds import Bounds, Verdict, judge, nights_between
from jobs.store.codec import Names
from jobs.store.colours import Building, Colour, Differences, Heartbeat, Tally, colour_path, open_colour
from jobs.store.content import Content, Inputs
from jobs.store.encode import NameBook
from jobs.store.errors import StoreError
from jobs.store.pointer import COLOURS, Pointer, read_pointer, write_pointer
from jobs.store.reader import folder_of

SCRATCH = "scratch"
HOW_TO_ACCEPT = (
    " If that is as it should be, run the day again with the reason why:"
    " `vitrine run export --with accept='…'`, or the field accept of the DAG."
)
NO_NAMES = Names((), (), {}, 0)

Outcome = Literal["exported", "unchanged", "older", "other_inputs"]


class ExportError(StoreError):
    """The export stopped; the live colour stands as it was."""


class Refused(ExportError):
    """A generation was made and is not fit to be shown; `row` is its row of `exports`."""

    def __init__(self, pointer: Pointer, heartbeat: Heartbeat, problem: str, advice: str = "") -> None:
        super().__init__(
            f"Generation {pointer.generation} is not shown, the one before stays: {problem}{advice}"
        )
        self.row = row_of(pointer, heartbeat, refused=problem)


@dataclass(frozen=True)
class Night:
    """What to note about a generation: its night, by which terms it is valid, and what made it.

    `made_from` is a digest of the inputs' versions, `rules` say in words by which rules a page was drawn, and
    `accepted` is why a person wants a generation that is beyond its bounds.
    """

    day: date
    business_time_zone: str
    valid_nights: int
    flipped_at: datetime
    run_id: str
    made_from: str = ""
    rules: Mapping[str, str] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)
    accepted: str = ""

    def pointer(self, colour: str, heartbeat: Heartbeat, changed: int) -> Pointer:
        """Return the pointer to a generation of this night."""
        serves = self.day + timedelta(1)
        return Pointer(
            colour=colour,
            generation=heartbeat.generation,
            layout_date=self.day,
            serves_date=serves,
            fresh_until=self._midnight(serves + timedelta(1)),
            valid_until=self._midnight(serves + timedelta(self.valid_nights)),
            flipped_at=self.flipped_at,
            digest=heartbeat.digest,
            inputs=self.made_from,
            layouts=heartbeat.layouts,
            keys=heartbeat.keys,
            size=heartbeat.size,
            changed=changed,
            run_id=self.run_id,
        )

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), ZoneInfo(self.business_time_zone)).astimezone(UTC)


@dataclass(frozen=True)
class Exported:
    """What an export did, and the generation that is live after it."""

    outcome: Outcome
    live: Pointer
    message: str
    heartbeat: Heartbeat | None = None

    def row(self) -> dict[str, Any]:
        """Return the live generation as a row of `exports`."""
        return row_of(self.live, self.heartbeat)


def row_of(pointer: Pointer, heartbeat: Heartbeat | None, refused: str = "") -> dict[str, Any]:
    """Return a generation as a row of `exports`; readers never move to one that was refused."""
    known = {**asdict(pointer), "bytes": pointer.size, "verified": not refused, "rewards": {}, "why": refused}
    if heartbeat:
        known["rewards"] = {page: figures.reward for page, figures in heartbeat.pages.items()}
        known["why"] = refused or heartbeat.why
    if refused:
        known |= {"flipped_at": None, "valid_until": None}
    return {name: known[name] for name in contract("exports").columns}


def export(
    url: str,
    night: Night,
    inputs: Inputs,
    *,
    numbered_after: int = 0,
    step: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Build, verify and flip to the generation of a night; tell what was done.

    `numbered_after` is the highest generation ever exported; `step` is told each step that is done.

    Raises
    ------
    ExportError
        When another export is at work, the inputs lack something, or the new colour is not as wanted.

    """
    folder = folder_of(url)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        live = read_pointer(folder)
        if live is not None and night.day < live.layout_date:
            told = f"The store is at the night of {live.layout_date}: the older {night.day} is not exported."
            return Exported("older", live, told)
        if not len(inputs.shared_lists):
            raise ExportError(f"product_lists has no list of {night.day}; run that job for the day first.")
        colour = _colour(folder, live)
        content = Content(inputs, NameBook(colour.names if colour else NO_NAMES), str(folder / SCRATCH))
        if live is not None and colour is not None and live.layout_date == night.day:
            return _confirm(live, colour, content)
        generation = max(live.generation if live else 0, numbered_after) + 1
        place = colour_path(folder, live.dormant if live else COLOURS[0])
        pointer, heartbeat = _build(place, colour, content, generation, night, step)
        write_pointer(folder, pointer)
        step("flipped")
        told = (
            f"Generation {generation} is live on {pointer.colour}: {pointer.layouts:,} layouts,"
            f" {pointer.changed:,} of {pointer.keys:,} keys written or deleted."
        )
        if heartbeat.why:
            told += f" Bounds did not hold: {heartbeat.why}."
        return Exported("exported", pointer, told, heartbeat)


def _build(
    place: Path,
    live: Colour | None,
    content: Content,
    generation: int,
    night: Night,
    step: Callable[[str], None],
) -> tuple[Pointer, Heartbeat]:
    """Build a colour beside its place, verify it, and put it there."""
    building = Building(place)
    try:
        step("begun")
        tally = Tally()
        changes = Differences(live.pairs() if live else ())
        building.fill(changes.over(tally.over(content.pairs())))
        step("filled")
        heartbeat = Heartbeat(
            generation=generation,
            layout_date=night.day.isoformat(),
            digest=tally.digest,
            keys=tally.keys,
            size=tally.size,
            layouts=tally.layouts,
            defaults=content.defaults,
            pages=content.figures(night.rules),
        )
        if not heartbeat.layouts:
            raise ExportError(
                f"layouts has no live row of {night.day}; run the layouts job of that day first."
            )
        verdict = _judged(live, heartbeat, changes, night)
        heartbeat.why = verdict.off
        pointer = night.pointer(place.stem, heartbeat, changes.count)
        if verdict.problem:
            raise Refused(pointer, heartbeat, f"{verdict.problem}.", HOW_TO_ACCEPT)
        building.finish(heartbeat)
        step("finished")
        if problem := verify.problem_of(building.path, heartbeat, pointer, content.samples):
            raise Refused(pointer, heartbeat, problem)
        step("verified")
        building.install()
        step("installed")
    finally:
        building.discard()
    return pointer, heartbeat


def _judged(live: Colour | None, now: Heartbeat, changes: Differences, night: Night) -> Verdict:
    before = live.heartbeat if live else None
    nights = nights_between(before.layout_date, night.day) if before else 0
    return judge(
        before.pages if before else {}, now.pages, changes.moves, nights, night.bounds, night.accepted
    )


def _confirm(live: Pointer, colour: Colour, content: Content) -> Exported:
    changes = Differences(colour.pairs())
    for _ in changes.over(content.pairs()):
        if changes.count:
            break
    if not changes.count:
        told = f"Generation {live.generation} is live and already holds just this."
        return Exported("unchanged", live, told, colour.heartbeat)
    told = (
        f"Generation {live.generation} was made from this night with other inputs, and what was served stays:"
        f" nothing is exported (the first key that differs is {changes.first.decode()})."
    )
    return Exported("other_inputs", live, told)


def _colour(folder: Path, live: Pointer | None) -> Colour | None:
    """Open the live colour; a broken one is not copied from, and so a new generation mends the store."""
    if live is None:
        return None
    try:
        found = open_colour(colour_path(folder, live.colour))
    except (OSError, StoreError):
        return None
    return found if found.heartbeat.generation == live.generation else None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other exports out, and clear what a killed one left."""
    with (folder / "export.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExportError(f"Another export is writing to {folder}: wait until it is done.") from None
        scratch = folder / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            yield
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
