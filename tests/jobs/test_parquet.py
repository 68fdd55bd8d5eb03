"""A Parquet file read batch by batch: what was read of it is let go."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.parquet import batches

GROUPS, ROWS = 24, 4_096


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of many row groups that nothing compresses: a row is 8 random bytes, and a word."""
    draws = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("parquet") / "rows.parquet"
    numbers = draws.integers(0, 2**62, GROUPS * ROWS)
    words = draws.choice(["detail", "basket"], GROUPS * ROWS)
    pq.write_table(pa.table({"number": numbers, "word": words}), path, row_group_size=ROWS)
    return path


@pytest.mark.parametrize("columns", [None, ["word"]])
def test_a_file_gives_all_its_rows_in_order(file: Path, columns: list[str] | None) -> None:
    source = pq.ParquetFile(file, read_dictionary=["word"])
    read = list(batches(source, 1_000, columns, use_threads=False))
    assert max(len(batch) for batch in read) == 1_000
    assert pa.Table.from_batches(read).equals(pq.read_table(file, columns=columns, read_dictionary=["word"]))


def test_what_was_read_is_let_go(file: Path) -> None:
    """At no step more is held than six row groups take in the file; by default all of it would be."""
    before, held = pa.total_allocated_bytes(), []
    with pa.OSFile(str(file)) as source:
        for batch in batches(pq.ParquetFile(source), 1_000):
            held.append(pa.total_allocated_bytes() - before)
            del batch
    group = file.stat().st_size / GROUPS
    assert len(held) == GROUPS * -(-ROWS // 1_000)
    assert max(held) < 6 * group
