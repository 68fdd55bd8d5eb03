"""Sweep: what the contracts no longer let a table hold is removed from it, and then from the disk.

Of each table with `retention_days` the days before that go. Of each table whose contract marks pseudonyms the
rows of who is in `erasures` go, and their name in the rows of others. What was only counted stays. A table
changes in one Delta transaction, so killed anywhere the sweep is run again and goes on; files that no version
younger than `vacuum_hours` needs are deleted at the end, and with them the versions that held the rows:
`vitrine replay` and time travel reach back as far.

A file is read and written in batches, its rows in their order. Nothing else may write to a table meanwhile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from jobs import rotation
from jobs.config import Config
from jobs.contracts import Contract, all_tables, contract
from jobs.erased import PSEUDONYM, TABLE, TAIL
from jobs.tables import Tables, discard, located

BATCH_ROWS = 65_536


class SweepError(RuntimeError):
    """A table changed while it was swept."""


@dataclass(frozen=True)
class Swept:
    """What left a table: days beyond its retention, and rows of the erased in what stayed."""

    table: str
    days: int = 0
    rows: int = 0

    def __str__(self) -> str:
        return f"{self.table}: {self.days:,} days beyond retention, {self.rows:,} rows of the erased"


def sweep(config: Config, day: date, *, vacuum_hours: int) -> list[Swept]:
    """Sweep every table as of a day; return what left those from which anything did.

    Raises
    ------
    SweepError
        When another run wrote to a table meanwhile; that table stands as it was.

    """
    tables = Tables(config.tables)
    erased = pa.chunked_array(tables.read(TABLE, ds.field("changed_date") <= day, ["subject"])["subject"])
    if config.ids.before is None:
        discard(rotation.folder(config))  # who holds both names of a person could tell the old from the new
    swept = [_table(tables, contract(name), day, erased.unique(), vacuum_hours) for name in all_tables()]
    return [one for one in swept if one.days or one.rows]


def _table(tables: Tables, about: Contract, day: date, erased: pa.Array, vacuum_hours: int) -> Swept:
    if not tables.exists(about.table):
        return Swept(about.table)
    version = tables.version(about.table)
    staged = f"data/sweep-{version}"
    discard(f"{tables.path(about.table)}/{staged}")  # of a sweep that was killed
    old = _beyond(tables, about, day)
    rewritten, rows = _rewrite(tables, about, staged, erased, {path for path, _ in old})
    gone = [path for path, _ in old] + rewritten
    if gone:
        if tables.version(about.table) != version:
            raise SweepError(f"Another run changed {about.table}: sweep again when no run is under way.")
        tables.swap(about.table, gone, staged, run_id=f"sweep-{day}")
    tables.open(about.table).vacuum(vacuum_hours, dry_run=False, enforce_retention_duration=False)
    return Swept(about.table, len({held for _, held in old}), rows)


def _beyond(tables: Tables, about: Contract, day: date) -> list[tuple[str, date]]:
    """Files of days before the table's retention, with their day."""
    if about.retention_days is None or about.day is None:
        return []
    first = day - timedelta(about.retention_days)
    return [
        (path, partition[about.day])
        for path, partition in tables.files(about.table)
        if partition[about.day] < first
    ]


def _rewrite(
    tables: Tables, about: Contract, staged: str, erased: pa.Array, beyond: set[str]
) -> tuple[list[str], int]:
    """Write each file that names an erased person anew, without; return the old ones, and rows left out."""
    named = about.pseudonyms("own", "other", "tail")
    if not len(erased) or not named:
        return [], 0
    root, gone, rows = tables.path(about.table), [], 0
    for path, _ in tables.files(about.table):
        if path in beyond or not _names_one(path, about, named, erased):
            continue
        relative = unquote(path.removeprefix(f"{root}/"))
        rows += _copy(path, f"{root}/{staged}/{_partition(relative)}", about, erased)
        gone.append(path)
    return gone, rows


def _names_one(path: str, about: Contract, columns: Sequence[str], erased: pa.Array) -> bool:
    return any(
        pc.any(_is_among(batch[name], erased, is_tail=name in about.pseudonyms("tail"))).as_py()
        for batch in _batches(path, columns)
        for name in batch.schema.names
    )


def _copy(path: str, target: str, about: Contract, erased: pa.Array) -> int:
    """Copy a file without the rows of the erased; return how many those were."""
    filesystem, name = located(target)
    filesystem.create_dir(name.rpartition("/")[0])
    left_out, writer = 0, None
    try:
        for batch in _batches(path):
            rows = pa.Table.from_batches([batch])
            keep = pa.chunked_array([pa.repeat(True, rows.num_rows)])
            for column in about.pseudonyms("own", "tail"):
                if column in rows.schema.names:
                    is_tail = column in about.pseudonyms("tail")
                    keep = pc.and_(keep, pc.invert(_is_among(rows[column], erased, is_tail=is_tail)))
            kept = rows.filter(keep)
            for column in about.pseudonyms("other"):
                named = _is_among(kept[column], erased)
                at = kept.schema.get_field_index(column)
                kept = kept.set_column(
                    at, kept.schema.field(at), pc.if_else(named, pa.scalar(None, pa.string()), kept[column])
                )
            left_out += rows.num_rows - kept.num_rows
            writer = writer or pq.ParquetWriter(name, rows.schema, filesystem=filesystem, compression="zstd")
            writer.write_table(kept)
    finally:
        if writer:
            writer.close()
    return left_out


def _is_among(
    column: pa.ChunkedArray | pa.Array, erased: pa.Array, *, is_tail: bool = False
) -> pa.ChunkedArray | pa.Array:
    """Tell of each value whether it is, or holds, the pseudonym of an erased person, or ends with its end."""
    form, wanted = (TAIL, pc.utf8_slice_codeunits(erased, -16)) if is_tail else (PSEUDONYM, erased)
    named = pc.struct_field(pc.extract_regex(column, form.replace("(", "(?P<id>", 1)), "id")
    return pc.fill_null(pc.is_in(named, value_set=wanted), False)


def _batches(path: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    filesystem, name = located(path)
    with filesystem.open_input_file(name) as source:
        file = pq.ParquetFile(source)
        there = None if columns is None else [one for one in columns if one in file.schema_arrow.names]
        yield from file.iter_batches(BATCH_ROWS, columns=there)


def _partition(relative: str) -> str:
    """A file's name below its partition's folders, whatever stands before them."""
    parts = relative.split("/")
    return "/".join([*(part for part in parts[:-1] if "=" in part and part != "rejected=false"), parts[-1]])
