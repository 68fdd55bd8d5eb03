"""Records are read by their schema from Parquet, CSV and JSON lines; a wrong value names its column."""

import gzip
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.sources import forms, records
from jobs.sources.records import Field, Record
from tests.jobs.sources.lake import DAY, DOOR, file
from tests.jobs.sources.test_otlp import USER

RECORD = Record(
    (
        Field("id"),
        Field("user_id", id_of="user"),
        Field("age", "string", personal=True),
        Field("count", "int"),
        Field("cents", "bigint"),
        Field("share", "double"),
        Field("is_open", "boolean"),
        Field("made", "date"),
        Field("at", "timestamp"),
        Field("pages", "array<string>", optional=True),
        Field("note", optional=True),
    )
)
GOOD: dict[str, Any] = {
    "id": "007",
    "user_id": "u1",
    "age": "35-44",
    "count": 3,
    "cents": 2**40,
    "share": 0.5,
    "is_open": True,
    "made": "2017-08-21",
    "at": "2017-08-21T16:00:00Z",
}
READ: dict[str, Any] = {
    **GOOD,
    "user_id": USER,
    "made": date(2017, 8, 21),
    "at": datetime(2017, 8, 21, 16, tzinfo=UTC),
    "pages": None,
    "note": None,
    "arrival_date": DAY,
    "_reason": None,
    "_offset": 1,
    "_raw": None,
    "_skipped": None,
}


def read(path: Path, *ignore: str) -> list[dict[str, Any]]:
    arrived = replace(file(path, "x"), ignore=ignore)
    return [row for batch in records.read(iter([arrived]), RECORD, DOOR) for row in batch.to_pylist()]


HEADER = "id,user_id,age,count,cents,share,is_open,made,at"


def json_lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def csv_lines(path: Path, *lines: str) -> Path:
    content = "\n".join([HEADER, *lines]).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def parquet(path: Path, *rows: dict[str, Any], **types: pa.DataType) -> Path:
    table = pa.Table.from_pylist(
        [
            {**row, "made": date.fromisoformat(row["made"]), "at": datetime.fromisoformat(row["at"])}
            for row in rows
        ]
    )
    for name, kind in types.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table[name].cast(kind))
    pq.write_table(table, path)
    return path


LINE = "007,u1,35-44,3,1099511627776,0.5,true,2017-08-21,2017-08-21T16:00:00Z"


def test_every_form_gives_the_same_row(tmp_path: Path) -> None:
    for path in (
        json_lines(tmp_path / "x.jsonl", GOOD),
        csv_lines(tmp_path / "x.csv", LINE),
        csv_lines(tmp_path / "x.csv.gz", LINE),
        parquet(tmp_path / "x.parquet", GOOD),
    ):
        offset = 2 if ".csv" in path.name else 1
        assert read(path) == [{**READ, "_file": str(path), "_offset": offset}], path.name


def test_parquet_types_of_the_same_kind_are_taken_over(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "x.parquet",
        GOOD,
        GOOD,
        id=pa.large_string(),
        age=pa.dictionary(pa.int32(), pa.string()),
        count=pa.int64(),
        share=pa.float32(),
        at=pa.timestamp("ns"),
    )
    assert [row["_offset"] for row in read(path)] == [1, 2]
    assert {key: read(path)[0][key] for key in READ} == READ


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"id": 7}, "column id is not of type string"),
        ({"count": "3"}, "column count is not of type int"),
        ({"count": 2**31}, "column count is not of type int"),
        ({"count": True}, "column count is not of type int"),
        ({"cents": 1.5}, "column cents is not of type bigint"),
        ({"share": "half"}, "column share is not of type double"),
        ({"is_open": 1}, "column is_open is not of type boolean"),
        ({"made": "21.8.2017"}, "column made is not of type date"),
        ({"at": "noon"}, "column at is not of type timestamp"),
        ({"pages": "home"}, "column pages is not of type array<string>"),
        ({"pages": [1]}, "column pages is not of type array<string>"),
        ({"user_id": 4711}, "column user_id is not of type string"),
        ({"count": "x", "made": 5}, "column count is not of type int; column made is not of type date"),
    ],
)
def test_a_wrong_value_in_json_names_its_column(tmp_path: Path, wrong: dict[str, Any], reason: str) -> None:
    before, told, after = read(json_lines(tmp_path / "x.jsonl", GOOD, {**GOOD, **wrong}, GOOD))
    assert (told["_reason"], told["_offset"]) == (reason, 2)
    assert before["_reason"] is after["_reason"] is None
    shown = json.loads(told["_raw"])
    assert "age" not in shown
    assert "user_id" not in shown
    assert shown["cents"] == wrong.get("cents", 2**40)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LINE.replace(",3,", ",three,"), "column count is not of type int"),
        (LINE.replace(",3,", ",1_0,"), "column count is not of type int"),
        (LINE.replace("true", "maybe"), "column is_open is not of type boolean"),
        (LINE.replace("0.5", "nan"), "column share is not of type double"),
        (LINE + ",more", "line has 10 values where the header has 9"),
        ("007", "line has 1 values where the header has 9"),
    ],
)
def test_a_wrong_value_in_csv_names_its_column(tmp_path: Path, line: str, reason: str) -> None:
    before, told, after = read(csv_lines(tmp_path / "x.csv", LINE, line, LINE))
    assert (told["_reason"], told["_offset"]) == (reason, 3)
    assert before["_reason"] is after["_reason"] is None


def test_csv_knows_unknown_values_quotes_and_lines_inside_them(tmp_path: Path) -> None:
    path = csv_lines(tmp_path / "x.csv", '"a ""b""\n\nc,d",,,,,,,,', "", LINE)
    first, second = read(path)
    assert first["id"] == 'a "b"\n\nc,d'
    assert [first[name] for name in ("user_id", "age", "count", "made", "at", "_reason")] == [None] * 6
    assert (first["_offset"], second["_offset"]) == (2, 6)


def test_a_csv_line_that_is_not_text_is_told(tmp_path: Path) -> None:
    path = csv_lines(tmp_path / "x.csv", LINE, "?", LINE)
    path.write_bytes(path.read_bytes().replace(b"?", b"\xff\xfe"))
    assert [(row["_reason"], row["_offset"]) for row in read(path)] == [
        (None, 2),
        ("line is not UTF-8", 3),
        (None, 4),
    ]


def test_an_unclosed_quote_is_told_and_not_lost(tmp_path: Path) -> None:
    good, told = read(csv_lines(tmp_path / "x.csv", LINE, '"007' + LINE))
    assert (good["_reason"], told["_offset"]) == (None, 3)
    assert told["_reason"].startswith("line is not CSV")


def test_a_new_field_is_told_once_a_file_and_not_read(tmp_path: Path) -> None:
    new = {**GOOD, "colour": "red"}
    text = csv_lines(tmp_path / "x.csv", f"{LINE},red", f"{LINE},blue")
    text.write_text(text.read_text().replace(HEADER, f"{HEADER},colour"))
    for path in (
        json_lines(tmp_path / "x.jsonl", GOOD, new),
        parquet(tmp_path / "x.parquet", new, new),
        text,
    ):
        *good, told = read(path)
        assert {row["_reason"] for row in good} == {None}
        assert (told["_skipped"], told["_reason"]) == (
            1,
            "files of source x have columns that nobody declared, and are read without them: colour",
        )
        assert len(read(path, "colour")) == len(good)


def test_a_missing_column_is_named_and_an_unknown_one_left_unread(tmp_path: Path) -> None:
    row = {**{key: value for key, value in GOOD.items() if key != "count"}, "colour": "red"}
    for path in (json_lines(tmp_path / "x.jsonl", row), parquet(tmp_path / "x.parquet", row)):
        told, _ = read(path)
        assert told["_reason"] == "column count is missing"
        assert "colour" not in told


def test_a_type_that_changed_overnight_names_the_column_in_every_row(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", *[{**GOOD, "id": n} for n in range(3)])
    assert [row["_reason"] for row in read(path)] == ["column id is not of type string"] * 3


def test_lines_that_are_no_rows_are_told(tmp_path: Path) -> None:
    told = read(json_lines(tmp_path / "x.jsonl", "{", "[]"))
    assert [row["_reason"] for row in told] == ["line is not JSON", "row is not an object"]
    assert json.loads(told[0]["_raw"]) == {"bytes": 1}


def test_truncated_files_give_their_good_rows_and_one_that_tells(tmp_path: Path) -> None:
    packed = csv_lines(tmp_path / "x.csv.gz", *[LINE.replace("007", str(n * 7919)) for n in range(999)])
    packed.write_bytes(packed.read_bytes()[:-300])
    *good, told = read(packed)
    assert [row["id"] for row in good] == [str(n * 7919) for n in range(len(good))]
    assert 500 < len(good) < 999
    assert (told["_reason"], told["_offset"]) == ("gzip stream is cut off here", len(good) + 2)

    path = parquet(tmp_path / "x.parquet", GOOD)
    path.write_bytes(path.read_bytes()[:-10])
    (told,) = read(path)
    assert told["_reason"].startswith("file is not whole Parquet")
    assert told["_offset"] == 1


def test_an_empty_day_is_no_row(tmp_path: Path) -> None:
    empty = tmp_path / "x.parquet"
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), empty)
    nothing = tmp_path / "x.jsonl"
    nothing.write_bytes(b"")
    assert read(empty) == read(nothing) == read(csv_lines(tmp_path / "x.csv")) == []


def test_trouble_with_the_storage_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path / "x.parquet", GOOD)

    class Failing(forms._Watched):
        def readinto(self, buffer: Any) -> int:
            raise AssertionError

        def read(self, size: int = -1) -> bytes:
            self.failed = True
            raise OSError("connection reset")

    monkeypatch.setattr(forms, "_Watched", Failing)
    with pytest.raises(OSError, match="connection reset"):
        read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.csv")
