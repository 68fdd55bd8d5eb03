"""Contracts: conf/contracts/TABLE.yaml, the only truth about each table.

A contract gives a table's grain, columns with type and meaning, partitions, key, the rules that a row must
meet (else it goes to quarantine) and the checks that the whole must meet (else the run stops or warns).
"""

import re
from functools import cache
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import Field, ValidationError, field_validator

from jobs.config import ROOT, ConfigError, Strict, read_yaml

_PRIMITIVES = {
    "string": pa.string(),
    "binary": pa.binary(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


Pseudonym = Literal["own", "other", "kept", "tail"]


class Column(Strict):
    """A column: its type, what it means, and whether it holds personal data.

    pseudonym: it names the person whose row it is (own), or another one (other); it names whom the table is
    there to remember (kept); or it is an id that ends with the last digits of a pseudonym (tail).
    """

    type: str
    meaning: str = Field(alias="is")
    personal: bool = False
    label: bool = False  # known only later: what a model is to predict
    pseudonym: Pseudonym | None = None

    @field_validator("type")
    @classmethod
    def _known(cls, name: str) -> str:
        arrow_type(name)
        return name

    @property
    def arrow(self) -> pa.DataType:
        """The type in Arrow."""
        return arrow_type(self.type)


class Reason(Strict):
    """Why a check did not hold, in words, where a further aggregate is true."""

    when: str
    says: str


class Check(Strict):
    """A rule for the whole of what a run made: an aggregate that lies between min and max.

    usual : what it is, as a rule, when it does not hold.
    """

    measure: str
    min: float | None = None
    max: float | None = None
    on_break: Literal["stop", "warn"] = "stop"
    usual: Reason | None = None


class Volume(Strict):
    """How few rows a day may have: a share of the median day of the weeks before warns, none stops."""

    weeks: int = Field(default=4, gt=0)
    least_share: float = Field(default=0.1, gt=0, lt=1)


class Contract(Strict):
    """A table's contract."""

    table: str
    grain: str
    partition_by: list[str]
    key: list[str]
    sort_by: list[str] = Field(default_factory=list)
    columns: dict[str, Column]
    rows: dict[str, str]
    checks: dict[str, Check]
    max_rejected_share: float = Field(default=0.05, ge=0, le=1)
    retention_days: int | None = None
    fresh_days: int | None = (
        None  # the newest day may be so many behind the night; None: it changes by itself
    )
    volume: Volume | None = None

    @property
    def day(self) -> str | None:
        """The partition column that holds the day, if the table has days."""
        return next((name for name in self.partition_by if self.columns[name].type == "date"), None)

    @property
    def order(self) -> list[str]:
        """Columns by which the rows of a file are sorted: `sort_by`, else the key."""
        return [name for name in self.sort_by or self.key if name not in self.partition_by]

    @property
    def personal(self) -> list[str]:
        """Columns that hold personal data."""
        return [name for name, column in self.columns.items() if column.personal]

    def pseudonyms(self, *of: Pseudonym) -> list[str]:
        """Columns that hold a pseudonym, or a part of one, in these ways."""
        return [name for name, column in self.columns.items() if column.pseudonym in of]

    @property
    def arrow_schema(self) -> pa.Schema:
        """The table's schema, each column with its meaning as comment."""
        return pa.schema(
            [
                pa.field(name, column.arrow, metadata={"comment": column.meaning})
                for name, column in self.columns.items()
            ]
        )

    @property
    def ddl(self) -> str:
        """The schema as Spark DDL."""
        return ", ".join(f"`{name}` {column.type}" for name, column in self.columns.items())


def arrow_type(name: str) -> pa.DataType:
    """Translate a contract's type, as `map<string,double>`, to Arrow.

    Raises
    ------
    ValueError
        When the type is none of the known ones.

    """
    if name in _PRIMITIVES:
        return _PRIMITIVES[name]
    if match := re.fullmatch(r"array<(.+)>", name):
        return pa.list_(arrow_type(match[1]))
    if match := re.fullmatch(r"map<(\w+),(.+)>", name):
        return pa.map_(arrow_type(match[1]), arrow_type(match[2]))
    raise ValueError(f"{name!r} is no type; give one of {', '.join(_PRIMITIVES)}, array<T> or map<K,V>")


@cache
def contract(table: str, folder: Path = ROOT / "conf" / "contracts") -> Contract:
    """Read one table's contract."""
    file = folder / f"{table}.yaml"
    if not file.exists():
        raise ConfigError(f"There is no table {table!r}; the tables are {', '.join(all_tables(folder))}.")
    try:
        found = Contract.model_validate(read_yaml(file))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"conf/contracts/{file.name}: {where}: {first['msg']}.") from None
    if found.table != table:
        raise ConfigError(
            f"conf/contracts/{file.name} is about {found.table!r}: file and table must share a name."
        )
    named = [*found.partition_by, *found.key, *found.sort_by]
    if unknown := [name for name in named if name not in found.columns]:
        raise ConfigError(f"conf/contracts/{file.name}: {unknown[0]!r} is none of its columns.")
    return found


@cache
def all_tables(folder: Path = ROOT / "conf" / "contracts") -> tuple[str, ...]:
    """Names of all tables, in order."""
    return tuple(sorted(file.stem for file in folder.glob("*.yaml")))
