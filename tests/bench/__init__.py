"""Benchmarks: a table and {home}/bench/NAME.json each; speed is a ratio to a peer in the same run."""
