"""Is a newly built colour what it should be? Asked through the reader, before anyone is moved to it."""

from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Any

from jobs.store.errors import StoreError
from jobs.store.heartbeat import Heartbeat
from jobs.store.keys import default_key, draw_key
from jobs.store.pointer import Pointer
from jobs.store.reader import Generation
from jobs.store.writers import Building

_FLOAT = Struct("<f")


def problem_of(
    building: Building, wanted: Heartbeat, pointer: Pointer, samples: Iterable[Mapping[str, Any]]
) -> str:
    """Return what is wrong with a colour, empty when nothing is.

    `samples` are rows of `layouts`, as they went in: they must come out again.
    """
    try:
        if problem := building.problem(wanted):
            return problem
        generation = Generation(pointer, building.colour())
        samples = list(samples)
        return _defaults(generation, samples) or next(
            filter(None, (_sample(generation, row) for row in samples)), ""
        )
    except (OSError, StoreError) as error:
        return str(error)


def _defaults(generation: Generation, samples: Iterable[Mapping[str, Any]]) -> str:
    defaults = generation.colour.heartbeat.defaults
    for page in sorted({row["page"] for row in samples}):
        numbers = range(defaults.get(page, 0))
        if not numbers:
            return f"page {page} has no default variants; layouts must hold rows of default:{page}:NN."
        for number in numbers:
            if generation.draw(default_key(page, number)) is None:
                return f"page {page} has {len(numbers)} default variants, but not number {number:02d}."
    return ""


def _sample(generation: Generation, row: Mapping[str, Any]) -> str:
    who = f"{row['subject']} on {row['page']}"
    draw = generation.draw(draw_key(row["subject"], row["page"]))
    if draw is None:
        return f"{who} is not there."
    came = (draw.widgets, draw.reasons, draw.draw_id, draw.policy_version, draw.drawn_date)
    went = (
        tuple(row["widgets"]),
        tuple(row["reasons"]),
        row["draw_id"],
        row["policy_version"],
        row["drawn_date"],
    )
    if came != went:
        return f"{who} went in as {went} and came out as {came}."
    for name in ("scores", "propensities"):
        if [_FLOAT.pack(value) for value in row[name]] != [
            _FLOAT.pack(value) for value in getattr(draw, name)
        ]:
            return f"{who} has other {name} than went in."
    return ""
