"""Sorted files are read in step: subjects whole, every row once, in the order of its file."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.merged import Beside, File, UnsortedError, gathered, whole_subjects

DAY = date(2017, 11, 3)
COLUMNS = {"left": ("subject", "n"), "right": ("subject", "n", "kind")}


def put(path: Path, subjects: list[str]) -> str:
    table = {"subject": subjects, "n": list(range(len(subjects))), "kind": ["k"] * len(subjects)}
    pq.write_table(
        pa.table(table, pa.schema({"subject": pa.string(), "n": pa.int64(), "kind": pa.string()})), path
    )
    return str(path)


sides = st.lists(st.sampled_from("abcdefgh"), max_size=30).map(sorted)


@settings(max_examples=60, deadline=None)
@given(st.lists(sides, min_size=1, max_size=4), st.integers(1, 7))
def test_subjects_are_whole_and_no_row_is_lost(
    tmp_path_factory: pytest.TempPathFactory, told: list[list[str]], batch_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("sorted")
    files = [
        File(("left", "right")[n % 2], DAY, put(folder / f"{n}.parquet", subjects))
        for n, subjects in enumerate(told)
    ]
    seen: set[str] = set()
    read: list[list[tuple[str, int]]] = [[] for _ in files]
    for pieces in whole_subjects(files, COLUMNS, few=("kind",), batch_rows=batch_rows):
        own = {subject for piece in pieces for subject in piece["subject"].to_pylist()}
        assert own
        assert not own & seen
        seen |= own
        for n, piece in enumerate(pieces):
            read[n] += zip(piece["subject"].to_pylist(), piece["n"].to_pylist(), strict=True)
    assert read == [list(zip(subjects, range(len(subjects)), strict=True)) for subjects in told]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(sides, min_size=1, max_size=3),
    st.lists(st.tuples(*[st.sampled_from("abcdefgh")] * 2).map(sorted), max_size=6),
    st.integers(1, 7),
)
def test_a_stretch_of_subjects_has_its_rows_of_every_file_wherever_the_one_before_was(
    tmp_path_factory: pytest.TempPathFactory,
    told: list[list[str]],
    stretches: list[list[str]],
    batch_rows: int,
) -> None:
    folder = tmp_path_factory.mktemp("beside")
    files = [File("left", DAY, put(folder / f"{n}.parquet", subjects)) for n, subjects in enumerate(told)]
    beside = Beside(files, COLUMNS, batch_rows=batch_rows)
    for first, last in stretches:
        found = [piece["n"].to_pylist() for piece in beside.rows(first, last)]
        assert found == [[n for n, one in enumerate(own) if first <= one <= last] for own in told]


def test_what_is_held_is_a_batch_of_each_file(tmp_path: Path) -> None:
    files = [
        File(table, DAY, put(tmp_path / f"{table}.parquet", [f"{n // 3:05d}" for n in range(3000)]))
        for table in COLUMNS
    ]
    sizes = [sum(p.num_rows for p in pieces) for pieces in whole_subjects(files, COLUMNS, batch_rows=90)]
    assert sum(sizes) == 6000
    assert max(sizes) <= 180


@pytest.mark.parametrize("subjects", [["b", "a"], ["a", "b", "c", "b"], ["a", "b", "a", "b"]])
def test_a_file_that_is_not_sorted_is_refused(tmp_path: Path, subjects: list[str]) -> None:
    file = File("left", DAY, put(tmp_path / "x.parquet", subjects))
    with pytest.raises(
        UnsortedError, match=r"left of 2017-11-03 is not sorted by subject: run left for that day"
    ):
        list(whole_subjects([file], COLUMNS, batch_rows=2))


def test_batches_are_gathered_without_splitting_a_subject() -> None:
    subjects = ["a"] * 3 + ["b"] * 9 + ["c"] + ["d"] * 2 + ["e"] * 5

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, len(subjects), 2):
            yield pa.record_batch({"subject": pa.array(subjects[first : first + 2])})
            yield pa.record_batch({"subject": pa.array([], pa.string())})

    parts = [part["subject"].to_pylist() for part in gathered(batches(), least=4)]
    assert parts == [["a"] * 3 + ["b"] * 9, ["c", "d", "d", "e", "e", "e", "e", "e"]]
    assert list(gathered(iter([]), least=4)) == []


def test_a_column_that_the_contract_gained_is_null_in_older_files(tmp_path: Path) -> None:
    file = tmp_path / "old.parquet"
    pq.write_table(pa.table({"subject": ["a", "b"], "position": pa.array([0, 1], pa.int32())}), file)
    columns = {"decisions": ("subject", "role", "position")}
    read = [piece for (piece,) in whole_subjects([File("decisions", DAY, str(file))], columns)]
    assert {piece.schema.field("role").type for piece in read} == {pa.string()}
    assert pa.concat_tables(read).to_pylist() == [
        {"subject": "a", "role": None, "position": 0},
        {"subject": "b", "role": None, "position": 1},
    ]
