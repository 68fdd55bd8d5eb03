"""The heartbeat: what the key `~generation` says of a colour, written when all else is there."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from jobs.store.bounds import Figures, read_figures
from jobs.store.errors import BrokenValue


@dataclass
class Heartbeat:
    """What the key `~generation` says: that this colour is whole, and what it holds."""

    generation: int
    layout_date: str
    digest: str
    keys: int
    size: int
    layouts: int
    defaults: dict[str, int] = field(default_factory=dict)
    pages: Figures = field(default_factory=dict)
    why: str = ""  # bounds did not hold
    ages: dict[str, int] = field(default_factory=dict)  # beside `pages`: see PageFigures

    def value(self) -> bytes:
        """Return the value as stored."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True).encode()


def read_heartbeat(value: bytes | None, where: str) -> Heartbeat:
    """Read the value of the key; `where` names the colour.

    Raises
    ------
    BrokenValue
        When it is not there or cannot be read.

    """
    try:
        content: dict[str, Any] = json.loads(value or b"")
        content["pages"] = read_figures(content.get("pages", {}))
        content = {"why": "", "ages": {}, **content}
        return Heartbeat(**{name: content[name] for name in Heartbeat.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        raise BrokenValue(f"{where} has no readable heartbeat: it is no finished generation.") from None
