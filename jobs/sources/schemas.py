"""Explicit schemas, written once as name → Spark type, for both Spark (DDL) and Arrow."""

from collections.abc import Mapping

import pyarrow as pa

ARROW_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "binary": pa.binary(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "array<string>": pa.list_(pa.string()),
    "array<double>": pa.list_(pa.float64()),
}


def ddl(columns: Mapping[str, str]) -> str:
    """Return the schema as Spark reads it."""
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def arrow(columns: Mapping[str, str]) -> pa.Schema:
    """Return the schema as Arrow reads it."""
    return pa.schema([(name, ARROW_TYPES[kind]) for name, kind in columns.items()])
