"""DuckDB as a peer: one query, timed in a process of its own."""

import tempfile
import time

import duckdb

from jobs.config import home

MEMORY = "8GB"  # it would take four fifths of the machine's, beside a warm engine


def seconds(query: str) -> float:
    """Run a query once, with two threads and MEMORY; return how long it took."""
    with (
        tempfile.TemporaryDirectory(dir=home()) as spill,
        duckdb.connect(config={"threads": 2, "memory_limit": MEMORY, "temp_directory": spill}) as connection,
    ):
        began = time.perf_counter()
        connection.execute(query)
        return time.perf_counter() - began
