"""Files that a run wrote, read back in Arrow: the digest of their rows, and whether two keys may be one.

Spark took twice as long to read and hash them: most of it went into sorting each map's entries.

Grain: a Parquet file, in folders that name its partition.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from jobs import repeats
from jobs.contracts import arrow_type
from jobs.parquet import batches
from jobs.row_hashes import row_hashes, seed_of
from jobs.sources import schemas
from jobs.spark import dealt
from jobs.tables import located, parquet_files
from ml.xxhash import Hashes

BATCH_ROWS = 16_384
FEW_BYTES, FEW_FILES = 8 << 20, 32
"""Files of no more together are read here: tasks would take longer."""
AT_ONCE = 1 << 20
"""Keys whose hashes a task holds before it hands them on: 8 MiB."""
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
SUMS = {"rows": "bigint", "digest": "bigint", "keyless": "bigint"}
PIECES = {"range": "int", **SUMS, "hashes": "binary"}
SEEN = {**SUMS, "is_twice": "boolean"}
ARROW_PIECES, ARROW_SEEN = schemas.arrow(PIECES), schemas.arrow(SEEN)

Batches = Iterator[pa.RecordBatch]


class Unlike(RuntimeError):
    """Two readers of the same files did not see the same rows: what they measured is of different rows."""


class Seen(NamedTuple):
    """Sum of the rows' hashes, modulo 2^64; how many have no key; whether two keys have one hash."""

    digest: int
    keyless: int
    is_twice: bool


@dataclass(frozen=True)
class Asked:
    """Where files are, what is in them and what is asked: plain values, to travel to the tasks.

    Columns are hashed in their order, after the words `before`; those of the `key` are hashed apart, too. A
    row that lacks one of these has no key, unless it `may_lack` that: then it is as an empty text.
    """

    folder: str
    columns: Mapping[str, str]
    before: Sequence[str] = ()
    key: Sequence[str] = ()
    may_lack: Sequence[str] = ()


def seen(spark: SparkSession, asked: Asked, rows: int) -> Seen:
    """Read all files under a folder, of `rows` rows: equal rows have one digest, in any order and split.

    Raises
    ------
    Unlike
        When they have more rows, or fewer.

    """
    files = _files(asked.folder)
    ranges = rows // repeats.IN_RANGE + 1
    if sum(files.values()) <= FEW_BYTES and len(files) <= FEW_FILES:
        found = pa.Table.from_batches(_met(_pieces(files, asked, ranges)), ARROW_SEEN)
    else:
        pieces = _dealt(files, spark).mapInArrow(
            partial(_in_task, asked=asked, ranges=ranges), schemas.ddl(PIECES)
        )
        met = pieces.repartitionById(ranges, "range")
        found = met.mapInArrow(_met, schemas.ddl(SEEN)).toArrow()
    counts, digests, keyless, is_twice = (found[name].to_pylist() for name in SEEN)
    if sum(counts) != rows:
        raise Unlike(
            f"Of the files in {asked.folder} Spark read {rows:,} rows and Arrow {sum(counts):,}. Nothing was"
            " published: see that nothing else writes there, then run it again."
        )
    return Seen(sum(digests) % 2**64, sum(keyless), any(is_twice))


def _files(folder: str) -> dict[str, int]:
    """The files under a folder, by their place in it, with their size in bytes."""
    _, base = located(folder)
    return {info.path[len(base) + 1 :]: info.size for info in parquet_files(folder)}


def _dealt(files: Mapping[str, int], spark: SparkSession) -> DataFrame:
    """Deal files out to tasks, so that large ones lie apart."""
    names = dealt(files, size=lambda name: files[name])
    return spark.createDataFrame([(name,) for name in names], "name string")


def _in_task(batches: Batches, asked: Asked, ranges: int) -> Batches:
    return _pieces((name for batch in batches for name in batch["name"].to_pylist()), asked, ranges)


def _pieces(names: Iterable[str], asked: Asked, ranges: int) -> Batches:
    """Yield hashes of keys, a row for each range of them; in the first of the rows stands all else."""
    seed = seed_of(asked.before)
    rows, digest, keyless, held = 0, 0, 0, list[Hashes]()
    for columns in (columns for name in names for columns in _columns(name, asked)):
        own = row_hashes(list(columns.values()), seed=seed)
        rows, digest = rows + len(own), digest + int(own.sum())
        if asked.key:
            held.append(row_hashes([_key(columns[name]) for name in asked.key]))
            keyless += _lacking([columns[name] for name in asked.key if name not in asked.may_lack])
        if rows >= AT_ONCE:
            yield _piece((rows, digest, keyless), held, ranges)
            rows, digest, keyless, held = 0, 0, 0, []
    yield _piece((rows, digest, keyless), held, ranges)


def _piece(sums: tuple[int, int, int], held: Sequence[Hashes], ranges: int) -> pa.RecordBatch:
    once = zip(SUMS, map(_signed, sums), strict=True)
    columns = {name: [value] + [0] * (ranges - 1) for name, value in once}
    return pa.RecordBatch.from_pydict(
        {"range": range(ranges), **columns, "hashes": repeats.cut(held, ranges)}, ARROW_PIECES
    )


def _met(batches: Batches) -> Batches:
    """Look through the pieces of some ranges."""
    pieces = pa.Table.from_batches(batches, ARROW_PIECES)
    sums = {name: [_signed(sum(pieces[name].to_pylist()))] for name in SUMS}
    is_twice = repeats.any_twice(piece.as_buffer() for piece in pieces["hashes"])
    yield pa.RecordBatch.from_pydict({**sums, "is_twice": [is_twice]}, ARROW_SEEN)


def _signed(digest: int) -> int:
    """A number modulo 2^64 as a long."""
    return (digest + 2**63) % 2**64 - 2**63


def _columns(name: str, asked: Asked) -> Iterator[dict[str, pa.Array]]:
    """Yield the columns of some rows of a file, those that its place tells among them."""
    filesystem, base = located(asked.folder)
    told = dict(part.split("=", 1) for part in name.split("/") if "=" in part)
    kinds = {column: arrow_type(kind) for column, kind in asked.columns.items()}
    with filesystem.open_input_file(f"{base}/{name}") as file:
        few = _of_few_words(pq.read_metadata(file))
        source = pq.ParquetFile(file, read_dictionary=few)
        held = [column for column in kinds if column not in told]
        as_they_are = {path.partition(".")[0] for path in few}
        for batch in batches(source, BATCH_ROWS, held, use_threads=False):
            yield {
                column: pa.repeat(_told(told[column], kind), len(batch))
                if column in told
                else batch[column]
                if column in as_they_are
                else batch[column].cast(kind)
                for column, kind in kinds.items()
            }


def _of_few_words(about: pq.FileMetaData) -> list[str]:
    """Texts that a file holds as dictionaries throughout: read as such they cost half."""
    groups = [about.row_group(at) for at in range(about.num_row_groups)]
    few: dict[str, bool] = {}
    for column in (group.column(at) for group in groups for at in range(about.num_columns)):
        is_few = column.physical_type == "BYTE_ARRAY" and "PLAIN" not in column.encodings
        few[column.path_in_schema] = few.get(column.path_in_schema, True) and is_few
    return [path for path, is_few in few.items() if is_few]


def _told(value: str, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(None if value == NO_VALUE else unquote(value)).cast(kind)


def _key(column: pa.Array) -> pa.Array:
    """A part of a key, with an empty text, or no bytes, for none."""
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    nothing = {pa.string(): "", pa.binary(): b""}.get(plain.type)
    return pc.fill_null(plain, nothing) if plain.null_count and nothing is not None else plain


def _lacking(parts: Sequence[pa.Array]) -> int:
    """How many rows lack one of the parts."""
    lacking = [part.is_null() for part in parts if part.null_count]
    return pc.sum(reduce(pc.or_, lacking)).as_py() if lacking else 0
