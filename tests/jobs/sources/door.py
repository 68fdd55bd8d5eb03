"""The door of the lake in tests: a job's build, judged by its contract as the shell does it."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from pyspark.sql import DataFrame

from jobs.config import Ids
from jobs.contracts import contract
from jobs.publish import accept
from tests.jobs.sources.lake import DOOR

IDS = Ids(key_id=DOOR.key_id, demo_key=DOOR.key.decode())


def judged(
    table: str, built: DataFrame, days: Sequence[date]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Accepted rows, and the notes of rejected ones as (reason, file name, offset, day)."""
    about = contract(table)
    found = [row.asDict() for row in accept(built, about, list(days)).collect()]
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
