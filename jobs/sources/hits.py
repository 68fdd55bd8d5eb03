"""Hits: the one shape into which telemetry and tags are read, before they are merged into events.

Grain: one span or tag hit as delivered. A broken one has `_reason`, and its place in the file as `event_id`.
What is no event of ours, as most spans of a real trace, is left out: a row with `_skipped` tells how many a
file held, and of what.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from jobs.ids import pseudonym
from jobs.sources import schemas
from jobs.sources.files import LakeFile, Line, lines
from jobs.sources.times import Time

COLUMNS = {
    "event_id": "string",
    "event_name": "string",
    "event_at": "timestamp",
    "arrival_date": "date",
    "subject": "string",
    "device": "string",
    "user": "string",
    "source": "string",
    "service": "string",
    "trace_id": "string",
    "visit": "string",
    "page": "string",
    "decision_id": "string",
    "draw_id": "string",
    "position": "int",
    "widget": "string",
    "product_id": "string",
    "order_id": "string",
    "value_cents": "bigint",
    "widgets": "array<string>",
    "candidates": "array<string>",
    "propensities": "array<double>",
    "policy_version": "string",
    "versions": "array<string>",
    "variant": "string",
    "freshness": "string",
    "rules": "string",
    "is_bot": "boolean",
    "_reason": "string",
    "_file": "string",
    "_offset": "bigint",
    "_raw": "string",
    "_skipped": "bigint",
}
FIELDS = list(COLUMNS)
ARROW = schemas.arrow(COLUMNS)
LAST_MICROSECOND = 253_402_300_799_999_999
QUARTER = 15 * 60 * 10**6  # microseconds: every time zone's days begin on a quarter of an hour
REMEMBERED = 200_000
NOBODY = "nobody"  # the subject of what is only counted


Hit = tuple[Any, ...]
"""The values of FIELDS."""

# By day of arrival: the span of microseconds of which hits are wanted, where not all are.
Partly = Mapping[date, tuple[int, int]]


class Wrong(ValueError):
    """A hit says something that cannot be; the message is the reason for quarantine."""


@dataclass(frozen=True)
class Door:
    """What turns raw ids into pseudonyms and knows bots: plain values, to travel to the tasks."""

    key: bytes
    key_id: str
    bot_agents: tuple[str, ...] = ()

    def pseudonym(self, kind: str, raw: str) -> str:
        """Return the pseudonym of a raw id of a kind, user or device."""
        return pseudonym(kind, raw, key=self.key, key_id=self.key_id)


class Remembered(dict[str, Any]):
    """A bounded memory of a function of one string: ids and user agents come again and again."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        super().__init__()
        self.function = function

    def __missing__(self, argument: str) -> Any:
        if len(self) >= REMEMBERED:
            self.clear()
        value = self[argument] = self.function(argument)
        return value


class Gate:
    """The door, opened inside a task: pseudonyms and bots, remembered."""

    def __init__(self, door: Door) -> None:
        self.devices = Remembered(partial(door.pseudonym, "device"))
        self.users = Remembered(partial(door.pseudonym, "user"))
        agents = re.compile("|".join(map(re.escape, door.bot_agents)) or "(?!)", re.IGNORECASE)
        self.skipped: Counter[str] = Counter()  # of the file at hand, by what they are
        self.bots = Remembered(lambda agent: agents.search(agent) is not None)

    def device(self, raw: str | None) -> str | None:
        """Return the pseudonym of a device; nothing is no device."""
        return self.devices[raw] if raw else None

    def user(self, raw: str | None) -> str | None:
        """Return the pseudonym of a user; nothing is nobody."""
        return self.users[raw] if raw else None

    def skip(self, service: str | None, count: int) -> None:
        """Count spans that are no events."""
        if count:
            self.skipped[f"spans of service {service} are no events"] += count


def event_id(shared_id: str, device: str | None, subject: str) -> str:
    """Name an event: span ids are unique only within a trace, so the device (else subject) is part of it."""
    return f"{shared_id}-{(device or subject)[-16:]}"


def broken(file: LakeFile, offset: int, part: int, reason: str, raw: str) -> Hit:
    """Make the row of a hit that cannot be read."""
    known = {
        "event_id": f"{file.path}:{offset}:{part}",
        "arrival_date": file.arrival_date,
        "source": file.source,
        "_reason": reason,
        "_file": file.path,
        "_offset": offset,
        "_raw": raw,
    }
    return tuple(known.get(name) for name in FIELDS)


def left_out(file: LakeFile, gate: Gate) -> Iterator[Hit]:
    """Make the rows that tell how many of a file were rightly left out; the next one is counted anew."""
    for what, count in sorted(gate.skipped.items()):
        known = {
            "event_id": f"{file.path}:{what}",
            "arrival_date": file.arrival_date,
            "source": file.source,
            "_reason": what,
            "_file": file.path,
            "_skipped": count,
        }
        yield tuple(known.get(name) for name in FIELDS)
    gate.skipped.clear()


def unread(line: bytes) -> str:
    """Describe a line that could not be parsed: its text may hold ids, so only its length is told."""
    return json.dumps({"bytes": len(line)})


def redacted(value: Any, open_keys: Collection[str]) -> Any:
    """Copy a parsed row with each value hidden whose key is not known to be free of personal data."""
    if isinstance(value, dict):
        return {
            key: redacted(inner, open_keys) if key in open_keys else "[redacted]"
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redacted(inner, open_keys) for inner in value]
    return value


def wanted(file: LakeFile, partly: Partly | None, time: Time) -> Iterator[Line]:
    """Yield the lines of a file; of one that is wanted partly, those that name a time within its span."""
    span = (partly or {}).get(file.arrival_date)
    return (line for line in lines(file.path) if not span or time.names_one(line.content, span))


def rows_of(
    file: LakeFile, found: Iterable[Line], of_line: Callable[[LakeFile, int, bytes], Iterable[Hit]]
) -> Iterator[Hit]:
    """Yield the rows of every line, a broken row where the file itself breaks."""
    for offset, line, damage in found:
        if damage is None:
            yield from of_line(file, offset, line)
        else:
            yield broken(file, offset, 0, damage, unread(line))
