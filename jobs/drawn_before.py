"""The draws of earlier nights that a night may lean on: their files by subject bucket, and which may stand.

Reads   runs, and the logs of layouts and subject_features
Writes  nothing
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from jobs.inputs import Buckets, bucket_files
from jobs.merged import File
from jobs.standing import NIGHTS, AsDrawn, as_drawn
from jobs.tables import Tables


@dataclass(frozen=True)
class Drawn:
    """Layouts of the nights before: by subject bucket their files, night by night, and what may stand."""

    files: Mapping[int, Sequence[File]]
    as_drawn: AsDrawn


def drawn_before(tables: Tables, first: date, versions: Mapping[str, int | None]) -> Drawn | None:
    """Find the draws that may stand on a night `first`; None where nothing may be leaned on."""
    may = as_drawn(tables, first, versions.get("subject_features"))
    if not may:
        return None
    read = Buckets(("layouts",), before=NIGHTS - 1)
    found = {
        bucket: [File(*file) for file in files if file[1] < first]
        for bucket, files in bucket_files(tables, read, [first], versions)
    }
    return Drawn(found, may)
