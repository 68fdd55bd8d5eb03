"""The pointer: one small file, live.json, that names the live colour and until when it is good.

It is replaced whole (written beside, synced, renamed, folder synced), so a reader finds the old or the new
one, never a part.
"""

import json
import os
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.store.errors import BrokenValue, NewerSchema

FORMAT = 1
FILE = "live.json"
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

    @property
    def noon(self) -> datetime:
        """Noon of the day that it serves: where a demo's clock stands."""
        return self.fresh_until - timedelta(hours=12)

    @property
    def dormant(self) -> str:
        """The other colour."""
        return COLOURS[1 - COLOURS.index(self.colour)]


def read_pointer(folder: Path) -> Pointer | None:
    """Return the pointer, None where there is none.

    Raises
    ------
    NewerSchema, BrokenValue
        When it is there and cannot be read.

    """
    try:
        content = json.loads((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BrokenValue(f"{folder / FILE} is not JSON: {error}.") from None
    if not isinstance(content, dict) or not isinstance(content.get("needs"), int):
        raise BrokenValue(f"{folder / FILE} is no pointer.")
    if content["needs"] > FORMAT:
        raise NewerSchema(
            f"{folder / FILE} needs a reader of format {content['needs']}; this one knows {FORMAT}."
        )
    try:
        return Pointer(**{field.name: _parsed(field.type, content[field.name]) for field in fields(Pointer)})
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenValue(f"{folder / FILE} cannot be read: {error!r}.") from None


def write_pointer(folder: Path, pointer: Pointer) -> None:
    """Move readers to a generation, in one atomic step."""
    content = {"format": FORMAT, "needs": FORMAT, **asdict(pointer)}
    beside = folder / f"{FILE}.new"
    with beside.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, default=lambda value: value.isoformat())
        file.flush()
        os.fsync(file.fileno())
    beside.rename(folder / FILE)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _parsed(kind: Any, value: Any) -> Any:
    if kind in (date, datetime):
        return kind.fromisoformat(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
