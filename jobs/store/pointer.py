"""The pointer: the one small value that names the live colour, and until when it is good."""

import json
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from jobs.store.errors import BrokenValue, NewerSchema

FORMAT = 1
COLOURS = ("maize", "blue")


@dataclass(frozen=True)
class Pointer:
    """The live generation."""

    colour: str
    generation: int
    layout_date: date
    serves_date: date
    fresh_until: datetime
    valid_until: datetime
    flipped_at: datetime
    digest: str
    inputs: str
    layouts: int
    keys: int
    size: int
    changed: int
    run_id: str

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise ValueError(f"{self.colour!r} is no colour; there are {' and '.join(COLOURS)}")

    @cached_property
    def noon(self) -> datetime:
        """Noon of the day that it serves: where a demo's clock stands."""
        return self.fresh_until - timedelta(hours=12)

    @cached_property
    def fresh_seconds(self) -> float:
        """`fresh_until` as a Unix time, which a reader compares without making a datetime at each read."""
        return self.fresh_until.timestamp()

    @property
    def dormant(self) -> str:
        """The other colour."""
        return COLOURS[1 - COLOURS.index(self.colour)]


def decode_pointer(value: bytes, where: str) -> Pointer:
    """Read a pointer; `where` names it.

    Raises
    ------
    NewerSchema, BrokenValue
        When it cannot be read.

    """
    try:
        content = json.loads(value)
    except ValueError as error:
        raise BrokenValue(f"{where} is not JSON: {error}.") from None
    if not isinstance(content, dict) or not isinstance(content.get("needs"), int):
        raise BrokenValue(f"{where} is no pointer.")
    if content["needs"] > FORMAT:
        raise NewerSchema(f"{where} needs a reader of format {content['needs']}; this one knows {FORMAT}.")
    try:
        return Pointer(**{field.name: _parsed(field.type, content[field.name]) for field in fields(Pointer)})
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenValue(f"{where} cannot be read: {error!r}.") from None


def encode_pointer(pointer: Pointer) -> bytes:
    """Write a pointer, as JSON for people and readers of any language."""
    content = {"format": FORMAT, "needs": FORMAT, **asdict(pointer)}
    return json.dumps(content, indent=1, default=lambda value: value.isoformat()).encode()


def _parsed(kind: Any, value: Any) -> Any:
    if kind in (date, datetime):
        return kind.fromisoformat(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
