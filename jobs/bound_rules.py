"""The text of rules that were bound to a draw's candidates, checked as whatever comes from elsewhere.

Such a text travels through a front end's log, so any of it may be nonsense: what is read here is of these
types and within these bounds, or refused.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.config import ConfigError
from ml.rank.rules import NO_CAP, NOBODY

Column = Annotated[int, Field(ge=0, le=NO_CAP)]
Code = Annotated[int, Field(ge=NOBODY, le=NO_CAP)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]

MOST_LABELS = 32


class Bound(BaseModel):
    """Rules by column of the candidates, as `steering.bind` writes them; filters are told, not followed.

    pins : by position, -1 where none is; themes : by candidate, -1 for none; caps : by theme, null for none;
    labels : by label its value's number, of each candidate, -1 for none.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    pins: list[Code]
    themes: list[Code]
    caps: list[Column | None]
    spacing: Column
    blocked: list[tuple[Column, Column]]
    diversity: tuple[Literal["none", "mmr", "dpp"], Strength] = ("none", 0.0)
    labels: Annotated[list[list[Code]], Field(max_length=MOST_LABELS)] | None = None


def unreadable(why: str) -> ConfigError:
    """Return what to say of rules that cannot be read."""
    return ConfigError(
        f"The rules beside a draw cannot be read: {why}. Give them back as the layout or `vitrine serve` told"
        " them."
    )


def parse(text: str) -> Bound:
    """Return what a text says.

    Raises
    ------
    ConfigError
        When it says anything that rules cannot.

    """
    try:
        return Bound.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        raise unreadable(f"{at}: {first['msg']}" if at else first["msg"]) from None
