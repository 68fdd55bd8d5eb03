"""The value of a draw: test vectors, round trips, older and newer readers."""

import json
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.store import codec
from jobs.store.codec import Names, decode, decode_names, encode_names
from jobs.store.encode import _HEADER, _RECORD, Codes, EncodeError, NameBook, encode
from jobs.store.errors import BrokenValue, NewerSchema
from jobs.store.export import NO_NAMES
from tests.store.given import COLUMNS, layout, subject

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text(encoding="utf-8"))
NAMES = decode_names(json.dumps(VECTORS["names"]).encode())
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
POSITION = st.tuples(
    TEXTS, FLOATS, st.floats(2**-20, 1, width=32), st.sampled_from(["own", "popular", "explores"])
)
ROWS = st.lists(
    st.tuples(
        st.booleans(),
        st.binary(min_size=16, max_size=16),
        st.dates(date(2000, 1, 1), date(2179, 6, 5)),
        TEXTS,
        st.lists(POSITION, max_size=14),
    ),
    min_size=1,
    max_size=30,
)


def batch(rows):
    return pa.Table.from_pylist(rows, schema=_schema()).combine_chunks().to_batches()[0]


def encoded(rows, before=NO_NAMES):
    book = NameBook(before)
    content = batch(rows)
    book.see(content)
    book.close()
    return [value.as_py() for value in encode(content, book)], book.names()


@pytest.mark.parametrize("vector", VECTORS["read"], ids=lambda vector: vector["about"])
def test_reads_the_test_vectors(vector):
    draw = decode(bytes.fromhex(vector["hex"]), NAMES)
    assert json.loads(json.dumps(draw._asdict(), default=str)) == vector["draw"]


@pytest.mark.parametrize("about", VECTORS["refused"])
def test_refuses_what_it_cannot_read(about):
    error = NewerSchema if "newer" in about else BrokenValue
    with pytest.raises(error):
        decode(bytes.fromhex(VECTORS["refused"][about]), NAMES)


def test_writes_the_test_vectors():
    for vector in VECTORS["read"][:4]:
        draw = vector["draw"]
        row = {**draw, "subject": "default:x:00" if draw["is_default"] else "k1-a", "page": "x"}
        row["drawn_date"] = date.fromisoformat(draw["drawn_date"])
        assert encoded([row], NAMES)[0] == [bytes.fromhex(vector["hex"])], vector["about"]


def test_twelve_positions_take_172_bytes():
    assert len(encoded([layout("k1-a", "home", positions=12)])[0][0]) == 172


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_what_goes_in_comes_out(drawn):
    rows = [
        {
            "subject": f"default:home:{number:02d}" if is_default else subject(number),
            "page": "home",
            "draw_id": draw_id.hex(),
            "drawn_date": day,
            "policy_version": policy,
            "widgets": [position[0] for position in positions],
            "scores": [position[1] for position in positions],
            "propensities": [position[2] for position in positions],
            "reasons": [position[3] for position in positions],
        }
        for number, (is_default, draw_id, day, policy, positions) in enumerate(drawn)
    ]
    values, names = encoded(rows)
    names = decode_names(encode_names(names))
    for row, value in zip(rows, values, strict=True):
        draw = decode(value, names)
        assert len(value) == 28 + 12 * len(row["widgets"])
        assert draw.is_default == row["subject"].startswith("default:")
        for name in ("draw_id", "drawn_date", "policy_version"):
            assert getattr(draw, name) == row[name]
        for name in ("widgets", "scores", "propensities", "reasons"):
            assert list(getattr(draw, name)) == row[name]


def test_indices_outlive_nights_and_do_not_depend_on_the_order_of_rows():
    first = [layout(subject(n), "home", epoch=n % 3) for n in range(20)]
    values, names = encoded(first)
    shuffled = [first[n] for n in np.random.default_rng(1).permutation(20)]
    by_draw = {row["draw_id"]: value for row, value in zip(first, values, strict=True)}
    again, names_again = encoded(shuffled)
    assert (again, names_again) == ([by_draw[row["draw_id"]] for row in shuffled], names)

    grown = [
        {**row, "widgets": ["a new one", *row["widgets"][1:]], "policy_version": "aa"} for row in first[:1]
    ]
    later, later_names = encoded([*grown, *first[1:]], names)
    assert later[1:] == values[1:]
    assert later_names.widgets[: len(names.widgets)] == names.widgets
    assert decode(later[0], later_names).widgets[0] == "a new one"


def test_policies_that_no_draw_names_are_left_out_and_their_indices_not_reused():
    _, names = encoded([{**layout("k1-a", "home"), "policy_version": "a"}])
    _, second = encoded([{**layout("k1-a", "home"), "policy_version": "b"}], names)
    _, third = encoded([{**layout("k1-a", "home"), "policy_version": "a"}], second)
    assert (names.policies, second.policies, third.policies) == ({0: "a"}, {1: "b"}, {2: "a"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"draw_id": "ab"}, "32 hex digits"),
        ({"draw_id": "G" * 32}, "32 hex digits"),
        ({"scores": [1.0]}, "layouts.scores is not as long"),
        ({"reasons": ["a", None]}, "layouts.reasons holds a null"),
        ({"propensities": None}, "layouts.propensities is null in 1 rows"),
        ({"drawn_date": date(1999, 12, 31)}, "between 2000 and 2179"),
        (
            {
                "widgets": ["w"] * 256,
                "scores": [0.0] * 256,
                "propensities": [1.0] * 256,
                "reasons": ["r"] * 256,
            },
            "256",
        ),
    ],
)
def test_rows_without_a_place_in_the_format_are_named(change, says):
    rows = [layout("k1-a", "home"), {**layout("k1-b", "home"), **change}]
    with pytest.raises(EncodeError, match=says):
        encoded(rows)


def test_more_names_than_the_format_holds_are_refused():
    codes = Codes("reasons", {}, 0, 255)
    codes.seen = {f"reason {n}" for n in range(257)}
    with pytest.raises(EncodeError, match="more than 256 reasons"):
        codes.close()


def test_days_count_from_2000():
    value = encoded([{**layout("k1-a", "home"), "drawn_date": date(2000, 1, 1) + timedelta(6573)}])[0][0]
    assert value[6:8] == (6573).to_bytes(2, "little")


def test_names_that_are_cut_short_are_broken():
    with pytest.raises(BrokenValue):
        decode_names(encode_names(Names(("a",), (), {}, 0))[:-4])


def test_reader_imports_neither_arrow_nor_numpy_nor_an_engine():
    heavy = {"numpy", "pandas", "pyarrow", "pyspark", "airflow", "duckdb", "deltalake", "pydantic"}
    code = f"import sys, jobs.store as s; s.Store.open('nowhere'); sys.exit(repr({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"


def test_schema_is_documented_as_it_is():
    """The page's tables are the formats that are written, and its example is a test vector."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "payload.md").read_text(encoding="utf-8")
    _, header, record = page.split("| offset | size | field | what |\n")
    for table, written in ((header, _HEADER), (record, _RECORD)):
        rows = re.findall(r"^\| (\d+) \| (\d+) \| (\w+) \|", table, re.MULTILINE)
        told = [(int(offset), int(size), name) for offset, size, name in rows]
        names = ["drawn" if name == "drawn_date" else name for _, _, name in told]
        fields = [written.fields[name] for name in names]
        assert names == list(written.names)
        assert [(offset, size) for offset, size, _ in told] == [(at, kind.itemsize) for kind, at in fields]
    assert (codec.HEADER.size, codec.RECORD.size) == (_HEADER.itemsize, _RECORD.itemsize)
    example = bytes.fromhex(page.split("```")[1])
    assert example.hex() == next(v["hex"] for v in VECTORS["read"] if v["about"] == "one position")


def _schema():
    from jobs.contracts import contract

    schema = contract("layouts").arrow_schema
    return pa.schema([schema.field(name) for name in COLUMNS])
