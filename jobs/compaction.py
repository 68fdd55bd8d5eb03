"""Many small files become few, and a table's log is summed up: so a table opens and reads as fast as ever.

Jobs publish a partition as one file, whose rows are in the order that its readers merge by: those stay as
they are. What is appended row by row (`runs` above all, some fifty files a night) is put together by Delta's
own compaction, which changes no row and leaves the old files to the sweep's vacuum. Delta needs no statistics
beside those in its log: partitions and counts of rows, which every commit writes.

Reads and writes    the tables of APPENDED; logs of all
On failure, run it again: a commit is made whole or not at all.
"""

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
from deltalake import WriterProperties

from jobs.config import Maintenance
from jobs.contracts import contract
from jobs.tables import Tables, located

APPENDED = ("exports", "quarantine", "releases", "runs")
MIB = 2**20
LOG_RETENTION = "delta.logRetentionDuration"


def crowded(tables: Tables, name: str, bounds: Maintenance) -> dict[tuple[str, ...], int]:
    """Return the partitions of a table that hold many small files, with how many there would be fewer."""
    by = contract(name).partition_by
    small: dict[tuple[str, ...], list[int]] = {}
    for row in pa.table(tables.open(name).get_add_actions(flatten=True)).to_pylist():
        if row["size_bytes"] < bounds.small_mib * MIB:
            values = tuple(str(row[f"partition.{column}"]) for column in by)
            small.setdefault(values, []).append(row["size_bytes"])
    many = {values: sizes for values, sizes in small.items() if len(sizes) >= bounds.small_files}
    fewer = {values: _fewer(sizes, bounds.small_mib * MIB) for values, sizes in many.items()}
    return {values: count for values, count in fewer.items() if count}


def _fewer(sizes: Sequence[int], target: int) -> int:
    """Return by how many files there are fewer once those that fit into one of a target size are one.

    The largest first, each where it first fits: as Delta's compaction does.
    """
    filled: list[int] = []
    for size in sorted(sizes, reverse=True):
        place = next((at for at, full in enumerate(filled) if full + size <= target), None)
        if place is None:
            filled.append(size)
        else:
            filled[place] += size
    return len(sizes) - len(filled)


def compact(tables: Tables, name: str, partitions: Mapping[tuple[str, ...], int], bounds: Maintenance) -> int:
    """Put the small files of some partitions together; return by how many files there are fewer."""
    gone = 0
    by = contract(name).partition_by
    for values in partitions:
        where = [(column, "=", value) for column, value in zip(by, values, strict=True)]
        done = tables.open(name).optimize.compact(
            partition_filters=where or None,
            target_size=bounds.small_mib * MIB,
            writer_properties=WriterProperties(compression="ZSTD"),
        )
        gone += done["numFilesRemoved"] - done["numFilesAdded"]
    return gone


def commits_since_checkpoint(tables: Tables, name: str) -> int:
    """Count the commits that a reader has to read one by one."""
    filesystem, base = located(f"{tables.path(name)}/_delta_log/_last_checkpoint")
    version = tables.version(name) or 0
    if not filesystem.get_file_info(base).is_file:
        return version + 1
    with filesystem.open_input_stream(base) as file:
        return int(version - json.loads(file.read())["version"])


def sum_up(tables: Tables, name: str) -> None:
    """Write a checkpoint of a table's log; commits beyond the log's retention go."""
    table = tables.open(name)
    table.create_checkpoint()
    table.cleanup_metadata()


def keep_log(tables: Tables, name: str, days: int) -> bool:
    """Let a table's log reach back so many days, where it does not yet; tell whether that was new."""
    table, wanted = tables.open(name), f"interval {days} days"
    if table.metadata().configuration.get(LOG_RETENTION) == wanted:
        return False
    table.alter.set_table_properties({LOG_RETENTION: wanted})
    return True
