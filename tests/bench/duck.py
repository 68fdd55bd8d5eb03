"""DuckDB as a peer: one query, timed in a process of its own."""

import time

import duckdb


def seconds(query: str) -> float:
    """Run a query once with two threads; return how long it took."""
    with duckdb.connect(config={"threads": 2}) as connection:
        began = time.perf_counter()
        connection.execute(query)
        return time.perf_counter() - began
