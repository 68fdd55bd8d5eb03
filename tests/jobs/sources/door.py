"""The door of the lake in tests: a job's build, judged by its contract as the shell does it."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs import pieces, staged_pieces, staging
from jobs.config import Ids
from jobs.contracts import Contract, contract
from tests.jobs.sources.lake import DOOR

IDS = Ids(key_id=DOOR.key_id, demo_key=DOOR.key.decode())


def of_rows(built: DataFrame, about: Contract, days: Sequence[date]) -> list[dict[str, Any]]:
    """Judge rows by the engine."""
    return [row.asDict() for row in staging.accept(built, about, list(days)).collect()]


def of_pieces(built: DataFrame, about: Contract, days: Sequence[date]) -> list[dict[str, Any]]:
    """Judge the rows of pieces where they are; times are without a zone, as the engine gives them."""
    found = []
    for beside, rows in pieces.each(iter(built.toArrow().to_batches())):
        place = {str(about.day): beside["day"], staging.BUCKET: beside["part"]}
        for row in staged_pieces.judged(pa.Table.from_batches([rows]), about).to_pylist():
            assert row["_day"] == beside["day"]
            assert row["_reason"] is not None or {name: row[name] for name in place} == place
            found.append({**row, "rejected": row["_reason"] is not None})
    assert {row["_day"] for row in found} <= set(days)
    return [
        {
            name: value.replace(tzinfo=None) if isinstance(value, datetime) else value
            for name, value in row.items()
        }
        for row in found
    ]


def judged(
    table: str, built: DataFrame, days: Sequence[date]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Accepted rows, and the notes of rejected ones as (reason, file name, offset, day)."""
    about = contract(table)
    found = of_pieces(built, about, days) if pieces.are(built) else of_rows(built, about, days)
    good = sorted(
        ({name: row[name] for name in about.columns} for row in found if not row["rejected"]),
        key=lambda row: [str(row[name]) for name in about.key],
    )
    bad = [
        {
            "reason": row["_reason"],
            "file": row["_file"].rsplit("/", 1)[-1] if row["_file"] else None,
            "offset": row["_offset"],
            "day": row["_day"],
            "raw": row["_raw"],
        }
        for row in found
        if row["rejected"] and row["_skipped"] is None
    ]
    return good, sorted(bad, key=lambda row: (str(row["file"]), row["offset"], row["reason"]))
