"""Records: Parquet, CSV or JSON lines of an entity, read by an explicit schema.

A record is declared next to its job. A value that is not of its field's type, or a column that is not there,
sends the row to quarantine with the column named; columns that nobody declared are left unread, and told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import orjson
import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.sources import files as lake
from jobs.sources import forms, schemas
from jobs.sources.files import LakeFile
from jobs.sources.forms import Block
from jobs.sources.hits import Door, Gate
from jobs.sources.values import convert

NOTES = {
    "arrival_date": "date",
    "_reason": "string",
    "_file": "string",
    "_offset": "bigint",
    "_raw": "string",
    "_skipped": "bigint",
}


@dataclass(frozen=True)
class Field:
    """A field of a record: its Spark type; `id_of` makes it a pseudonym of that kind (user or device).

    Ids, and what is marked personal, are left out of the row that quarantine keeps.
    """

    name: str
    type: str = "string"
    id_of: Literal["user", "device"] | None = None
    personal: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Record:
    """What a row of a source holds. Optional fields may be missing from the file, and are null then."""

    fields: tuple[Field, ...]

    @property
    def columns(self) -> dict[str, str]:
        """Names and types of what is read, notes for quarantine included."""
        return {**{field.name: field.type for field in self.fields}, **NOTES}


def parse(files: DataFrame, record: Record, door: Door) -> DataFrame:
    """Read the rows of the files: grain one row as delivered, with pseudonyms for ids and its arrival day."""
    return lake.read(files, partial(read, record=record, door=door), record.columns)


def read(files: Iterator[LakeFile], record: Record, door: Door) -> Iterator[pa.RecordBatch]:
    """Read files one after another, inside a task."""
    schema, gate = schemas.arrow(record.columns), Gate(door)
    names = [field.name for field in record.fields]
    for file in files:
        others: set[str] = set()
        for block in forms.blocks(file.path, names, file.rename):
            others |= block.others
            yield _batch(block, file, record, schema, gate)
        if undeclared := sorted(others - {*file.ignore}):
            yield _told(file, undeclared, schema)


def _batch(block: Block, file: LakeFile, record: Record, schema: pa.Schema, gate: Gate) -> pa.RecordBatch:
    rows = len(block.offsets)
    faults: dict[int, list[str]] = {at: [why] for at, why in block.damage.items()}
    arrays = []
    for field in record.fields:
        array, wrong = convert(
            block.columns[field.name], schema.field(field.name).type, from_text=block.is_text
        )
        absent = () if field.optional else block.absent.get(field.name, ())
        for at, why in [
            *((at, "is missing") for at in absent),
            *((at, f"is not of type {field.type}") for at in wrong),
        ]:
            if at not in block.damage:
                faults.setdefault(at, []).append(f"column {field.name} {why}")
        arrays.append(_pseudonyms(array, gate, field.id_of) if field.id_of else array)
    shown = [field.name for field in record.fields if not (field.id_of or field.personal)]
    notes = {
        "arrival_date": [file.arrival_date] * rows,
        "_reason": ["; ".join(faults[at]) if at in faults else None for at in range(rows)],
        "_file": [file.path] * rows,
        "_offset": block.offsets,
        "_raw": [_shown(block, at, shown) if at in faults else None for at in range(rows)],
        "_skipped": [None] * rows,
    }
    arrays += [pa.array(values, schema.field(name).type) for name, values in notes.items()]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _told(file: LakeFile, undeclared: list[str], schema: pa.Schema) -> pa.RecordBatch:
    """A row that tells which columns nobody declared: one a file."""
    what = f"files of source {file.source} have columns that nobody declared, and are read without them: "
    known = {
        "arrival_date": file.arrival_date,
        "_reason": what + ", ".join(undeclared),
        "_file": file.path,
        "_skipped": 1,
    }
    arrays = [pa.array([known.get(field.name)], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _pseudonyms(array: pa.Array, gate: Gate, kind: str) -> pa.Array:
    names = gate.users if kind == "user" else gate.devices
    return pa.array([names[raw] if raw else None for raw in array.to_pylist()], pa.string())


def _shown(block: Block, at: int, names: list[str]) -> str:
    if at in block.damage:
        return orjson.dumps({"bytes": block.sizes.get(at)}).decode()
    values = ((name, block.columns[name][at]) for name in names)
    plain = {name: value.as_py() if isinstance(value, pa.Scalar) else value for name, value in values}
    return orjson.dumps(plain, default=str).decode()
