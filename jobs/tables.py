"""Delta tables: where they are, which version they have, and the one way in which they change.

A run's tasks write Parquet files beside a table's log, where no reader looks; `publish` makes them the
table's content in one Delta transaction that also removes the files of the partitions they replace. Readers
see the old rows or the new ones, never both and never a part.
"""

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from jobs.contracts import Contract, contract

COMMIT_TRIES = 20
HOUSEKEEPING = ("VACUUM START", "VACUUM END", "OPTIMIZE", "SET TBLPROPERTIES")
"""Delta's commits that change no row."""


@dataclass(frozen=True)
class Tables:
    """All Delta tables under one root."""

    root: str

    def path(self, name: str) -> str:
        """Return the table's folder."""
        return f"{self.root}/{name}"

    def exists(self, name: str) -> bool:
        """Tell whether the table has been made."""
        return DeltaTable.is_deltatable(self.path(name))

    def version(self, name: str) -> int | None:
        """Return the newest version, None for a table that is not there yet."""
        return DeltaTable(self.path(name)).version() if self.exists(name) else None

    def open(self, name: str, version: int | None = None) -> DeltaTable:
        """Open a table, made empty from its contract when it is not there."""
        if not self.exists(name):
            self.create(contract(name))
        return DeltaTable(self.path(name), version=version)

    def writers(self, name: str, after: int) -> list[str | None]:
        """Run ids of commits after a version that changed rows; None for one that no job made, or lost."""
        newer = max((self.version(name) or 0) - after, 0)
        commits = self.open(name).history(newer) if newer else []
        known = [one.get("run_id") for one in commits if one.get("operation") not in HOUSEKEEPING]
        return [*known, *[None] * (newer - len(commits))]

    def create(self, about: Contract) -> None:
        """Make an empty table from its contract, with each column's meaning as comment."""
        DeltaTable.create(
            self.path(about.table),
            schema=Schema.from_arrow(about.arrow_schema),
            mode="ignore",
            partition_by=about.partition_by or None,
            name=about.table,
            description=f"One row per {about.grain}.",
        )

    def read(
        self,
        name: str,
        where: ds.Expression | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """Read rows without Spark; an absent table has none; columns gained since it was made are null."""
        if not self.exists(name):
            empty = contract(name).arrow_schema.empty_table()
            return empty.select(list(columns)) if columns else empty
        return rows_of(dataset_of(self.open(name, version)), name, columns, where)

    def pruned(
        self,
        name: str,
        columns: Sequence[str],
        where: ds.Expression | None = None,
        *,
        first: date | None = None,
        last: date | None = None,
        only: Mapping[str, str | int] | None = None,
    ) -> pa.Table:
        """Read rows of the days from `first` to `last`, of those partitions that `only` names, as bucket 3.

        Files of other partitions are not opened, not even listed; `where` then picks rows within the rest.
        """
        if not self.exists(name):
            return self.read(name, columns=columns)
        return rows_of(dataset_of(self.open(name), _asked(name, first, last, only)), name, columns, where)

    def counted(self, name: str, where: ds.Expression, day: date) -> int:
        """Count rows of a day; where the statistics of files tell which rows are asked for, none is read."""
        if not self.exists(name):
            return 0
        return int(dataset_of(self.open(name), _asked(name, day, day)).count_rows(filter=where))

    def files(self, name: str, version: int | None = None) -> list[tuple[str, dict[str, Any]]]:
        """List a table's files: address, and value of each partition column."""
        actions = pa.table(self.open(name, version).get_add_actions(flatten=True)).to_pylist()
        of = {column: f"partition.{column}" for column in contract(name).partition_by}
        return [
            (f"{self.path(name)}/{unquote(row['path'])}", {column: row[key] for column, key in of.items()})
            for row in actions
        ]

    def append(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to one of the small tables of the shell (runs, exports)."""
        self._widened(contract(name))
        batch = pa.Table.from_pylist([dict(row) for row in rows], schema=contract(name).arrow_schema)
        write_deltalake(self.path(name), _uncommented(batch), mode="append")

    def replace(self, name: str, rows: pa.Table, predicate: str) -> None:
        """Replace the rows that meet a predicate by others (quarantine)."""
        self.open(name)
        write_deltalake(self.path(name), _uncommented(rows), mode="overwrite", predicate=predicate)

    def publish(self, name: str, staged: str, *, days: Iterable[date] | None, run_id: str) -> int:
        """Make staged files the content of these days, in one transaction; return the new version.

        `days` None replaces the whole table. Files are Parquet under `staged`, a path relative to the
        table, partitioned as the contract says. When another commit comes first, what is to be replaced
        is looked up anew: it may have brought files of the same days.
        """
        about = contract(name)
        keep = None if days is None or about.day is None else {day.isoformat() for day in days}
        added = _adds(self.path(name), staged)
        for tries_left in reversed(range(COMMIT_TRIES)):
            table = self._widened(about)
            removed = [
                _remove(path) for path, day in _live_files(table, about) if keep is None or day in keep
            ]
            try:
                table.create_write_transaction(
                    [*added, *removed],
                    mode="append",
                    schema=table.schema(),
                    partition_by=about.partition_by or None,
                    commit_properties=CommitProperties(
                        custom_metadata={"run_id": run_id}, max_commit_retries=0
                    ),
                )
            except CommitFailedError:
                if not tries_left:
                    raise
            else:
                break
        return DeltaTable(self.path(name)).version()

    def swap(self, name: str, gone: Sequence[str], staged: str, *, run_id: str) -> None:
        """Put staged files in place of others of the same partitions, named by their address, at once."""
        table, about = self.open(name), contract(name)
        addresses = dict(zip([path for path, _ in self.files(name)], _live_files(table, about), strict=True))
        table.create_write_transaction(
            [*_adds(self.path(name), staged), *(_remove(addresses[path][0]) for path in gone)],
            mode="append",
            schema=table.schema(),
            partition_by=about.partition_by or None,
            commit_properties=CommitProperties(custom_metadata={"run_id": run_id}),
        )

    def _widened(self, about: Contract) -> DeltaTable:
        """Open a table to write to; columns that its contract has gained are added, null in older rows."""
        table = self.open(about.table)
        known = {field.name for field in table.schema().fields}
        gained = [field for field in Schema.from_arrow(about.arrow_schema).fields if field.name not in known]
        if not gained:
            return table
        table.alter.add_columns(gained)
        return self.open(about.table)


def _uncommented(rows: pa.Table) -> pa.Table:
    """Leave out what columns mean: a table keeps the words that it was made with, and refuses others."""
    return pa.table(rows.columns, pa.schema([pa.field(one.name, one.type) for one in rows.schema]))


def _asked(
    name: str, first: date | None, last: date | None, only: Mapping[str, str | int] | None = None
) -> list[tuple[str, str, str]]:
    day = contract(name).day
    asked = [(day, ">=", str(first))] if day and first else []
    asked += [(day, "<=", str(last))] if day and last else []
    return asked + [(key, "=", str(value)) for key, value in (only or {}).items()]


def dataset_of(table: DeltaTable, asked: Sequence[tuple[str, str, str]] = ()) -> ds.Dataset:
    """Return a table's rows as a dataset, of those files that its log does not rule out by `asked`.

    Of a file that holds nothing in a column, or not the column, deltalake says that all its values are at
    least null, from which Arrow takes it that none is. There, only what its partition says is believed.
    """
    found = table.to_pyarrow_dataset(file_pruning_predicate=list(asked) or None)
    fragments = [
        found.format.make_fragment(fragment.path, found.filesystem, _partition(fragment.partition_expression))
        if "null[" in str(fragment.partition_expression)
        else fragment
        for fragment in found.get_fragments()
    ]
    return ds.FileSystemDataset(fragments, found.schema, found.format, found.filesystem)


def _partition(expression: ds.Expression) -> ds.Expression:
    believed = ds.scalar(True)
    for name, value in ds.get_partition_keys(expression).items():
        own = ds.field(name).is_null() if value is None else ds.field(name) == value
        believed = believed & own
    return believed


def located(path: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system of a path or URI, and the path within it."""
    filesystem, base = pafs.FileSystem.from_uri(path if "://" in path else f"file://{path}")
    return filesystem, base


def holds_files(path: str) -> bool:
    """Tell whether a folder is there."""
    filesystem, base = located(path)
    return bool(filesystem.get_file_info(base).type == pafs.FileType.Directory)


def parquet_files(path: str) -> list[pafs.FileInfo]:
    """Return the Parquet files under a folder, but for those that Spark does not read: `_…` and `.…`."""
    filesystem, base = located(path)
    found = filesystem.get_file_info(pafs.FileSelector(base, recursive=True, allow_not_found=True))
    files = (info for info in found if info.type == pafs.FileType.File and info.path.endswith(".parquet"))
    return [info for info in files if not re.search(r"/[_.]", info.path[len(base) :])]


def rows_by_partition(path: str, name: str) -> dict[date, int]:
    """Rows of the Parquet files under a folder by the day that their path names, from their footers alone."""
    filesystem, _ = located(path)
    found: dict[date, int] = {}
    for info in parquet_files(path):
        day = next((part for part in info.path.split("/") if part.startswith(f"{name}=")), None)
        if day is None:
            continue
        with filesystem.open_input_file(info.path) as file:
            at = date.fromisoformat(day.partition("=")[2])
            found[at] = found.get(at, 0) + pq.read_metadata(file).num_rows
    return found


def discard(path: str) -> None:
    """Delete a folder that nobody reads, if it is there."""
    if holds_files(path):
        filesystem, base = located(path)
        filesystem.delete_dir(base)


def _live_files(table: DeltaTable, about: Contract) -> list[tuple[str, str | None]]:
    actions = pa.table(table.get_add_actions(flatten=True))
    paths = actions["path"].to_pylist()
    if about.day is None:
        return [(path, None) for path in paths]
    days = pc.cast(actions[f"partition.{about.day}"], pa.string()).to_pylist()
    return list(zip(paths, days, strict=True))


def _remove(path: str) -> RemoveAction:
    return RemoveAction(path=path, data_change=True, deletion_timestamp=time.time_ns() // 1_000_000)


def _adds(root: str, staged: str) -> list[AddAction]:
    filesystem, base = located(root)
    adds = []
    for info in parquet_files(f"{root}/{staged}"):
        relative = PurePosixPath(info.path).relative_to(base)
        with filesystem.open_input_file(info.path) as file:
            rows = pq.read_metadata(file).num_rows
        values = dict(part.split("=", 1) for part in relative.parts if "=" in part)
        values.pop("rejected", None)
        adds.append(
            AddAction(
                path=str(relative),
                size=info.size,
                partition_values={name: unquote(value) for name, value in values.items()},
                modification_time=int((info.mtime_ns or 0) // 1_000_000),
                data_change=True,
                stats=json.dumps({"numRecords": rows}),
            )
        )
    return adds


def rows_of(
    rows: ds.Dataset, name: str, columns: Sequence[str] | None, where: ds.Expression | None = None
) -> pa.Table:
    """Read rows; a column that the table gained after they were written is null."""
    gained = [] if columns is None else [column for column in columns if column not in rows.schema.names]
    if columns is None or not gained:
        return rows.to_table(filter=where, columns=None if columns is None else list(columns))
    found = rows.to_table(filter=where, columns=[column for column in columns if column not in gained])
    for column in gained:
        field = contract(name).arrow_schema.field(column)
        found = found.append_column(field, pa.nulls(found.num_rows, field.type))
    return found.select(list(columns))
