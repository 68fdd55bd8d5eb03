"""One export: the dormant colour built and verified, then made the live one.

A crash anywhere leaves the live colour as it was: nobody looks at the dormant one before the pointer, moved
last and in one step, names it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from jobs.contracts import contract
from jobs.store import keys, verify
from jobs.store.backends import Address, Backend, Colour
from jobs.store.bounds import Bounds, Moves, Verdict, aged, judge, nights_between
from jobs.store.codec import Names
from jobs.store.content import Content, Inputs
from jobs.store.encode import NameBook
from jobs.store.errors import StoreError
from jobs.store.heartbeat import Heartbeat
from jobs.store.pointer import COLOURS, Pointer
from jobs.store.terms import Terms
from jobs.store.walks import Differences, Tally
from jobs.store.writers import Writer, writer_of

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

    def __init__(
        self,
        pointer: Pointer,
        heartbeat: Heartbeat,
        moves: Mapping[str, Moves],
        problem: str,
        advice: str = "",
    ) -> None:
        super().__init__(
            f"Generation {pointer.generation} is not shown, the one before stays: {problem}{advice}"
        )
        self.row = row_of(pointer, heartbeat, moves, refused=problem)


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
    moves: Mapping[str, Moves] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return the live generation as a row of `exports`."""
        return row_of(self.live, self.heartbeat, self.moves)


def row_of(
    pointer: Pointer, heartbeat: Heartbeat | None, moves: Mapping[str, Moves], refused: str = ""
) -> dict[str, Any]:
    """Return a generation as a row of `exports`; readers never move to one that was refused."""
    known = {**asdict(pointer), "bytes": pointer.size, "verified": not refused, "rewards": {}, "why": refused}
    known["moved"] = {
        f"{page} {what}": count for page, of in sorted(moves.items()) for what, count in asdict(of).items()
    }
    if heartbeat:
        known["rewards"] = {page: figures.reward for page, figures in heartbeat.pages.items()}
        known["why"] = refused or heartbeat.why
    if refused:
        known |= {"flipped_at": None, "valid_until": None}
    return {name: known[name] for name in contract("exports").columns}


def export(
    url: Address,
    night: Night,
    inputs: Inputs,
    *,
    terms: Terms | None = None,
    numbered_after: int = 0,
    step: Callable[[str], None] = lambda _: None,
    again: bool = False,
) -> Exported:
    """Build, verify and flip to the generation of a night; tell what was done.

    `terms` say how a remote store is written to; `numbered_after` is the highest generation
    ever exported; `step` is told each step that is done. `again` exports the live night once more: keys may
    come and go, values stay, and so does its validity.

    Raises
    ------
    StoreError
        When another export is at work, the inputs lack something, or the new colour is not as wanted.

    """
    writer = writer_of(url, terms)
    with writer.alone() as scratch:
        live = writer.backend.pointer()
        if live is not None and night.day < live.layout_date:
            told = f"The store is at the night of {live.layout_date}: the older {night.day} is not exported."
            return Exported("older", live, told)
        if not len(inputs.shared_lists):
            raise ExportError(f"product_lists has no list of {night.day}; run that job for the day first.")
        colour = _colour(writer.backend, live)
        is_again = live is not None and colour is not None and live.layout_date == night.day
        if again and is_again and colour is not None:
            inputs = _as_served(inputs, colour)
        content = Content(inputs, NameBook(colour.names if colour else NO_NAMES), str(scratch))
        if live is not None and colour is not None and is_again and not again:
            return _confirm(live, colour, writer.differences(colour), content)
        generation = max(live.generation if live else 0, numbered_after) + 1
        name = live.dormant if live else COLOURS[0]
        same = live if is_again else None
        pointer, heartbeat, moves = _build(writer, name, colour, content, generation, night, step, same)
        writer.flip(live, pointer)
        step("flipped")
        told = (
            f"Generation {generation} is live on {pointer.colour}: {pointer.layouts:,} layouts,"
            f" {pointer.changed:,} of {pointer.keys:,} keys written or deleted."
        )
        if heartbeat.why:
            told += f" Bounds did not hold: {heartbeat.why}."
        return Exported("exported", pointer, told, heartbeat, moves)


def _build(
    writer: Writer,
    name: str,
    live: Colour | None,
    content: Content,
    generation: int,
    night: Night,
    step: Callable[[str], None],
    same: Pointer | None,
) -> tuple[Pointer, Heartbeat, Mapping[str, Moves]]:
    """Build a colour beside the live one, and verify it; `same`: that of this very night, as served."""
    building = writer.build(name)
    try:
        step("begun")
        tally = Tally()
        changes = writer.differences(live)
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
        pointer = night.pointer(name, heartbeat, changes.count)
        if same:
            if changes.other:
                raise ExportError(f"what was served stays, and {changes.other:,} of its values would change.")
            pointer = replace(pointer, fresh_until=same.fresh_until, valid_until=same.valid_until)
        if verdict.problem:
            raise Refused(pointer, heartbeat, changes.moves, f"{verdict.problem}.", HOW_TO_ACCEPT)
        building.finish(heartbeat)
        step("finished")
        if problem := verify.problem_of(building, heartbeat, pointer, content.samples):
            raise Refused(pointer, heartbeat, changes.moves, problem)
        step("verified")
        building.install()
        step("installed")
    finally:
        building.discard()
    return pointer, heartbeat, changes.moves


def _judged(live: Colour | None, now: Heartbeat, changes: Differences, night: Night) -> Verdict:
    """Hold a generation against the live one, and note in its heartbeat how old its pages' terms are."""
    before = live.heartbeat if live else None
    nights = nights_between(before.layout_date, night.day) if before else 0
    known, ages = (before.pages, before.ages) if before else ({}, {})
    now.ages = aged(ages, known, now.pages, nights)
    return judge(
        known, now.pages, changes.moves, nights, night.bounds, ages=now.ages, accepted=night.accepted
    )


def _confirm(live: Pointer, colour: Colour, changes: Differences, content: Content) -> Exported:
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


def _as_served(inputs: Inputs, colour: Colour) -> Inputs:
    """Return inputs with the policies and flags that readers have, whatever changed since."""
    pages = sorted(colour.heartbeat.defaults)
    held = zip(pages, colour.get_all(map(keys.policy_key, pages)), strict=True)
    policies = {page: json.loads(value) for page, value in held if value is not None}
    return replace(inputs, policies=policies, flags=json.loads(colour.get(keys.VERSIONS) or b"{}"))


def _colour(backend: Backend, live: Pointer | None) -> Colour | None:
    """Open the live colour; a broken one is not compared with, and so a new generation mends the store."""
    if live is None:
        return None
    try:
        found = backend.colour(live.colour)
    except StoreError:
        return None
    return found if found.heartbeat.generation == live.generation else None
