"""Files of the lake: where they are, and written whole or not at all, the same bytes for the same content.

Reads, writes: what it is asked to.
"""

import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.demo.source import date_of

SESSION_SOURCES = ("telemetry/web", "telemetry/layout", "tags")


def folder(home: Path, name: str, day: int) -> Path:
    """The lake's folder of a source and an arrival day."""
    return home / "lake" / name / f"date={date_of(day)}"


def late_path(home: Path, name: str, day: int) -> Path:
    """Where a day's late arrivals wait, outside the lake, until the day itself is there."""
    return home / "truth" / "late" / name / f"{date_of(day)}.jsonl.gz"


def put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    draft.replace(path)


def put_lines(path: Path, lines: Sequence[str]) -> None:
    """Write gzipped lines; without a time in the header, so that equal lines are equal files."""
    content = "".join(f"{line}\n" for line in lines).encode()
    put(path, gzip.compress(content, compresslevel=1, mtime=0))


def put_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a data frame as CSV; a missing value is an empty field."""
    put(path, frame.to_csv(index=False).encode())


def put_parquet(path: Path, frame: pd.DataFrame, schema: pa.Schema | None = None) -> None:
    """Write a data frame as Parquet; a frame that may be empty needs its schema said."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False), buffer)
    put(path, buffer.getvalue())


def deliver_late(home: Path, days: Sequence[int]) -> None:
    """Lay what came late beside a day's other files, once that day has any."""
    for day in days:
        for name in SESSION_SOURCES:
            kept, target = late_path(home, name, day), folder(home, name, day)
            if kept.is_file() and target.is_dir():
                put(target / "late-0.jsonl.gz", kept.read_bytes())
