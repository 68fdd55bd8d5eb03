"""Sweep: what the contracts no longer let a table hold is removed from it, and then from the disk.

Of each table with `retention_days` the days before that go. Of each table whose contract marks pseudonyms the
rows of who is in `erasures` go, and their name in the rows of others. What was only counted stays. A table
changes in one Delta transaction, so killed anywhere the sweep is run again and goes on; files that no version
younger than `vacuum_hours` needs are deleted at the end, and with them the versions that held the rows:
time travel and DAG runs that are cleared reach back as far. Versions that a champion or a generation of the
store was made from (`jobs.lineage`) stay, unless they hold who is forgotten or days beyond retention.

A file is read and written in batches, its rows in their order. Nothing else may write to a table meanwhile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from jobs import lineage, rotation
from jobs.config import Config
from jobs.contracts import Contract, all_tables, contract
from jobs.erased import TABLE, found_in, is_among
from jobs.parquet import batches
from jobs.tables import Tables, discard, located

BATCH_ROWS = 65_536


class SweepError(RuntimeError):
    """A table changed while it was swept."""


@dataclass(frozen=True)
class Swept:
    """What left a table: days beyond its retention, and rows of the erased in what stayed; files, the disk.

    kept : in words, versions that stay readable though they are older. lost : those that do not, and why.
    """

    table: str
    days: int = 0
    rows: int = 0
    files: int = 0
    kept: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = f"{self.table}: {self.days:,} days beyond retention, {self.rows:,} rows of the erased"
        return ". ".join([told, *self.lost])


@dataclass(frozen=True)
class Terms:
    """What a sweep goes by: its day, who is forgotten, hours until files go, and versions that are needed."""

    day: date
    erased: pa.Array
    vacuum_hours: int
    needed: lineage.Needed
    dry_run: bool = False


def sweep(config: Config, day: date, *, vacuum_hours: int) -> list[Swept]:
    """Sweep every table as of a day; return what left those from which anything did.

    Raises
    ------
    SweepError
        When another run wrote to a table meanwhile; that table stands as it was.

    """
    swept = sweep_all(config, day, vacuum_hours=vacuum_hours)
    return [one for one in swept if one.days or one.rows or one.lost]


def sweep_all(config: Config, day: date, *, vacuum_hours: int, dry_run: bool = False) -> list[Swept]:
    """Sweep every table as of a day, or only say what would go; return what was found of each."""
    tables = Tables(config.tables)
    forgotten = tables.read(TABLE, ds.field("changed_date") <= day, ["subject"])["subject"]
    if config.ids.before is None and not dry_run:
        discard(rotation.folder(config))  # who holds both names of a person could tell the old from the new
    erased = pa.chunked_array(forgotten).unique()
    terms = Terms(day, erased, vacuum_hours, lineage.needed(tables, config.store_url), dry_run)
    return [_table(tables, contract(name), terms) for name in all_tables() if tables.exists(name)]


def _table(tables: Tables, about: Contract, terms: Terms) -> Swept:
    version = tables.version(about.table)
    staged = None if terms.dry_run else f"data/sweep-{version}"
    if staged:
        discard(f"{tables.path(about.table)}/{staged}")  # of a sweep that was killed
    old = _beyond(tables, about, terms.day)
    rewritten, rows = _rewrite(tables, about, staged, terms.erased, {path for path, _ in old})
    gone = [path for path, _ in old] + rewritten
    kept, lost = _needed(tables, about, terms)
    if gone and staged:
        if tables.version(about.table) != version:
            raise SweepError(f"Another run changed {about.table}: sweep again when no run is under way.")
        tables.swap(about.table, gone, staged, run_id=f"sweep-{terms.day}")
    deleted = tables.open(about.table).vacuum(
        terms.vacuum_hours,
        dry_run=terms.dry_run,
        enforce_retention_duration=False,
        full=True,
        keep_versions=sorted(kept) or None,
    )
    told = tuple(f"version {one} for {why}" for one, why in sorted(kept.items()))
    return Swept(about.table, len({held for _, held in old}), rows, len(deleted), told, tuple(lost))


def _needed(tables: Tables, about: Contract, terms: Terms) -> tuple[dict[int, str], list[str]]:
    """Return the versions whose files stay, with what for, and a sentence on each that may not stay.

    A version that has lost files before is not spoken of again.
    """
    kept: dict[int, str] = {}
    lost: list[str] = []
    first = terms.day - timedelta(about.retention_days) if about.retention_days and about.day else None
    columns = about.pseudonyms("own", "other", "tail") if len(terms.erased) else []
    names_one: dict[str, bool] = {}
    for version, why in sorted(terms.needed.get(about.table, {}).items()):
        files = _whole(tables, about.table, version)
        if files is None:
            continue
        if columns:
            for path, _ in files:
                if path not in names_one:
                    names_one[path] = _names_one(path, about, columns, terms.erased)
        reason = ""
        if any(names_one.get(path) for path, _ in files):
            reason = "who is forgotten was in it"
        elif first and any(partition[str(about.day)] < first for _, partition in files):
            reason = "it holds days beyond retention"
        if reason:
            lost.append(f"Version {version}, which {why} was made from, does not stay: {reason}")
        else:
            kept[version] = why
    return kept, lost


def _whole(tables: Tables, name: str, version: int) -> list[tuple[str, dict[str, Any]]] | None:
    """List the files of a version, None where it cannot be read any more."""
    try:
        files = tables.files(name, version)
    except DeltaError:
        return None
    filesystem, _ = located(tables.path(name))
    there = filesystem.get_file_info([located(path)[1] for path, _ in files])
    return files if all(one.is_file for one in there) else None


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
    tables: Tables, about: Contract, staged: str | None, erased: pa.Array, beyond: set[str]
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
        target = f"{root}/{staged}/{_partition(relative)}" if staged else None
        rows += _copy(path, target, about, erased)
        gone.append(path)
    return gone, rows


def _names_one(path: str, about: Contract, columns: Sequence[str], erased: pa.Array) -> bool:
    return any(
        pc.any(is_among(batch[name], erased, is_tail=name in about.pseudonyms("tail"))).as_py()
        for batch in _batches(path, columns)
        for name in batch.schema.names
    )


def _copy(path: str, target: str | None, about: Contract, erased: pa.Array) -> int:
    """Copy a file without the rows of the erased; return how many those were. Without a target only count."""
    left_out, writer = 0, None
    filesystem, name = located(target or path)
    if target:
        filesystem.create_dir(name.rpartition("/")[0])
    try:
        for batch in _batches(path):
            rows = pa.Table.from_batches([batch])
            kept = _without(rows, about, erased)
            left_out += rows.num_rows - kept.num_rows
            if target:
                writer = writer or pq.ParquetWriter(
                    name, rows.schema, filesystem=filesystem, compression="zstd"
                )
                writer.write_table(kept)
    finally:
        if writer:
            writer.close()
    return left_out


def _without(rows: pa.Table, about: Contract, erased: pa.Array) -> pa.Table:
    """Leave the rows of the erased out, and their names in those of others."""
    is_theirs, left = found_in(rows, about, erased)
    for column, values in left.items():
        at = rows.schema.get_field_index(column)
        rows = rows.set_column(at, rows.schema.field(at), values)
    return rows.filter(pc.invert(is_theirs))


def _batches(path: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    filesystem, name = located(path)
    with filesystem.open_input_file(name) as source:
        file = pq.ParquetFile(source)
        there = None if columns is None else [one for one in columns if one in file.schema_arrow.names]
        yield from batches(file, BATCH_ROWS, there)


def _partition(relative: str) -> str:
    """A file's name below its partition's folders, whatever stands before them."""
    parts = relative.split("/")
    return "/".join([*(part for part in parts[:-1] if "=" in part and part != "rejected=false"), parts[-1]])
