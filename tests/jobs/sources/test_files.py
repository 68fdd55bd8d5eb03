"""Files are streamed whatever their state: what is whole comes first, damage is told with its line."""

import gzip
import tracemalloc
from pathlib import Path

import pytest

from jobs.sources import files
from jobs.sources.files import DamagedError, chunks, lines

CUT = "gzip stream is cut off here"
DAMAGED = "gzip stream is damaged here"


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_lines_are_numbered_from_1_and_blank_ones_counted_but_left_out(tmp_path: Path, pack: object) -> None:
    path = write(tmp_path / "x", pack(b"a\n\n  \nb\nlast"))
    assert list(lines(path)) == [(1, b"a", None), (4, b"b", None), (5, b"last", None)]
    assert [number for number, _, _ in lines(path, keep_blank=True)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_poison_line_of_50_mb_is_told_in_bounded_memory(tmp_path: Path, pack: object) -> None:
    path = write(tmp_path / "x", pack(b"a\n" + b"x" * 50 * 2**20 + b"\nb\n"))
    tracemalloc.start()
    found = [(number, line[:9], damage) for number, line, damage in lines(path)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [(1, b"a", None), (2, b"", "line is longer than 16777216 bytes"), (3, b"b", None)]
    assert peak < 64 * 2**20


@pytest.mark.parametrize("content", [b"", gzip.compress(b""), b"\n\n"], ids=["nothing", "gzip", "blank"])
def test_an_empty_file_has_no_lines(tmp_path: Path, content: bytes) -> None:
    assert list(lines(write(tmp_path / "x", content))) == []


def test_gzip_members_one_after_another_are_one_file(tmp_path: Path) -> None:
    path = write(tmp_path / "x", gzip.compress(b"a\nb") + gzip.compress(b"c\nd\n") + b"\0" * 512)
    assert [line for _, line, _ in lines(path)] == [b"a", b"bc", b"d"]


def test_members_that_meet_at_the_edge_of_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = gzip.compress(b"a\n")
    path = write(tmp_path / "x", first + gzip.compress(b"b\n"))
    for size in (1, 2, len(first) - 1, len(first), len(first) + 1):
        monkeypatch.setattr(files, "CHUNK", max(size, 2))
        assert list(lines(path)) == [(1, b"a", None), (2, b"b", None)]


def test_lines_do_not_depend_on_how_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [(n + 1, b"%d" % n * (n % 50 + 1), None) for n in range(2000)]
    path = write(tmp_path / "x", gzip.compress(b"\n".join(line for _, line, _ in wanted)))
    for chunk, expanded in ((7, 11), (64, 1000), (1 << 20, 1 << 20)):
        monkeypatch.setattr(files, "CHUNK", chunk)
        monkeypatch.setattr(files, "EXPANDED", expanded)
        assert list(lines(path)) == wanted


def test_a_cut_gzip_gives_the_lines_before_the_cut_and_says_where(tmp_path: Path) -> None:
    whole = [b"line %06d" % n for n in range(5000)]
    packed = gzip.compress(b"\n".join(whole))
    for kept in (len(packed) // 3, len(packed) - 9, len(packed) - 1):
        found = list(lines(write(tmp_path / "x", packed[:kept])))
        good, (number, rest, damage) = found[:-1], found[-1]
        assert [line for _, line, _ in good] == whole[: len(good)]
        assert (number, damage) == (len(good) + 1, CUT)
        assert whole[len(good)].startswith(rest)
    assert len(good) == 4999


def test_a_gzip_broken_in_the_middle_gives_all_that_can_be_inflated(tmp_path: Path) -> None:
    whole = [b"line %06d" % (n * 7919 % 5000) for n in range(5000)]
    packed = bytearray(gzip.compress(b"\n".join(whole)))
    packed[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    found = list(lines(write(tmp_path / "x", bytes(packed))))
    good, (number, _, damage) = found[:-1], found[-1]
    assert (number, damage) == (len(good) + 1, DAMAGED)
    # Inflating may run a little past the break before it is noticed; all lines before it are whole.
    alike = sum(line == true for (_, line, _), true in zip(good, whole, strict=False))
    assert alike > 2000


def test_what_follows_a_gzip_and_is_none_is_damage(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="damaged"):
        list(chunks(write(tmp_path / "x", gzip.compress(b"a\n") + b"rubbish")))


def test_a_line_beyond_the_bound_is_told_and_the_next_ones_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK", 100)
    path = write(tmp_path / "x", b"a\n" + b"x" * 5000 + b"\nb\n" + b"y" * 5000)
    told = "line is longer than 1000 bytes"
    assert list(lines(path, 1000)) == [(1, b"a", None), (2, b"", told), (3, b"b", None), (4, b"", told)]


def test_a_file_that_is_not_there_raises_so_that_the_task_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(lines(str(tmp_path / "none")))
