"""DuckDB as a peer, and as what compares rows: two threads, and no more memory than an engine leaves it."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from jobs.config import home

MEMORY = "8GB"  # it would take four fifths of the machine's, beside a warm engine


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory that spills, where it must, into a folder of its own."""
    with (
        tempfile.TemporaryDirectory(dir=home()) as spill,
        duckdb.connect(config={"threads": 2, "memory_limit": MEMORY, "temp_directory": spill}) as connection,
    ):
        yield connection


def seconds(query: str) -> float:
    """Run a query once; return how long it took."""
    with connected() as connection:
        began = time.perf_counter()
        connection.execute(query)
        return time.perf_counter() - began
