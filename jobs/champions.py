"""Which version of a model is live as of a day, and the model itself from its row of `models`.

The champion is the newest yes of `releases`; a roll-back is a new row, by a person.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from jobs.publish import Stopped
from jobs.releases import APPROVED, MODEL
from ml.classify import Model, Shape, Tampered, load
from ml.classify.calibration import Calibration

EVERYONE_FROM = "everyone_from"
"""In the details of a person's yes, which may be of any day: the day on which all are scored with it."""


def champion(releases: Iterable[Mapping[str, Any]], name: str, day: date) -> str | None:
    """Return the version of a spec that is live as of a day's end; None before the first."""
    row = verdict(releases, name, day)
    return None if row is None else str(row["version"])


def verdict(releases: Iterable[Mapping[str, Any]], name: str, day: date) -> Mapping[str, Any] | None:
    """Return the row of releases that made the champion."""
    mine = [
        row
        for row in releases
        if row["kind"] == MODEL
        and row["name"] == name
        and row["verdict"] == APPROVED
        and row["as_of_date"] <= day
    ]
    return max(mine, key=lambda row: (row["as_of_date"], row["decided_at"], row["version"]), default=None)


def model_of(row: Mapping[str, Any]) -> Model:
    """Make the model of a row of `models`.

    Raises
    ------
    Stopped
        When its bytes are not those that were kept.

    """
    values = dict(row["category_values"] or {})
    shape = Shape(
        row["task"],
        tuple(row["features"]),
        {name: tuple(values[name]) for name in row["categories"]},
        tuple(row["classes"]),
    )
    calibration = [
        Calibration(kind, tuple(found))
        for kind, found in zip(row["calibration"], row["calibration_values"], strict=True)
    ]
    try:
        return load(
            bytes(row["model"]),
            row["model_digest"],
            algorithm=row["algorithm"],
            shape=shape,
            calibration=calibration,
        )
    except Tampered as error:
        raise Stopped(
            f"{row['model_version']} cannot be used: {error}. Roll back with `vitrine model rollback"
            f" {row['name']}`, or train its closing again."
        ) from None
