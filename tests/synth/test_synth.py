"""A synthetic lake is the same however it is split, has the skew it promises, and passes the door whole."""

import gzip
import json
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs.config import load
from jobs.sources import ga4, otlp
from jobs.sources.files import LakeFile
from jobs.sources.hits import Door
from jobs.synth import lake, people, sessions
from jobs.synth.size import Size, SizeError, Stream

SIZE = Size(users=1500, days=2, block_users=1000)
SOURCES = (
    "telemetry",
    "tags",
    "orders",
    "order_lines",
    "users",
    "consents",
    "products",
    "widgets",
    "closings",
)
DOOR = Door(b"a key for tests", "t1", ("bot",))


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    folders = lake.Folders(str(root), {name: name for name in SOURCES})
    for day in range(SIZE.days):
        for block in range(SIZE.blocks):
            lake.write_block(SIZE, folders, block, day)
    return root


def test_a_block_is_the_same_file_in_any_order_and_another_seed_another(
    written: Path, tmp_path: Path
) -> None:
    folders = lake.Folders(str(tmp_path), {name: name for name in SOURCES})
    for day, block in ((1, 1), (0, 1), (1, 0), (0, 0)):
        lake.write_block(SIZE, folders, block, day)
    assert files(tmp_path) == files(written)
    other = Size(SIZE.users, SIZE.days, seed=2, block_users=1000)
    lake.write_block(other, folders, 0, 0)
    assert files(tmp_path) != files(written)


def test_spans_are_as_many_as_asked_and_come_eight_a_line(written: Path) -> None:
    lines = [
        line
        for path in (written / "telemetry" / f"date={SIZE.first}").iterdir()
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    sizes = Counter(len(json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]) for line in lines)
    spans = sum(size * count for size, count in sizes.items())
    assert sizes[8] > 0.99 * len(lines)
    assert spans == pytest.approx(SIZE.users * SIZE.spans_per_user, rel=0.1)


def test_few_users_make_much_of_the_traffic() -> None:
    rates = np.concatenate([people.of_block(Size(80_000, 1), block).rates for block in range(10)])
    assert rates.mean() == pytest.approx(1, rel=0.03)
    assert 0.18 < np.sort(rates)[-800:].sum() / rates.sum() < 0.28


def test_sponsors_come_earlier_and_so_make_no_circle() -> None:
    who = people.of_block(SIZE, 1)
    has_sponsor = who.sponsors >= 0
    assert (who.sponsors[has_sponsor] < who.numbers[has_sponsor]).all()
    assert 0.8 < has_sponsor.mean() < 0.9


def test_every_time_lies_in_its_day() -> None:
    held = sessions.of_day(SIZE, people.of_block(SIZE, 0), 0, 1)
    first, last = SIZE.midnight(1), SIZE.midnight(2)
    for at in (held.start, held.serving_at, held.seen_at, held.view_at, held.basket_at, held.order_at):
        assert len(at)
        assert first <= at.min()
        assert at.max() < last


def test_the_door_takes_every_line_and_finds_the_bots(written: Path) -> None:
    day = SIZE.first
    for source, reader in (("telemetry", otlp), ("tags", ga4)):
        paths = sorted((written / source / f"date={day}").iterdir())
        read = reader.read((LakeFile(str(path), source, "", day) for path in paths), DOOR)
        rows: list[dict[str, Any]] = [row for batch in read for row in batch.to_pylist()]
        assert rows
        assert {row["_reason"] for row in rows} == {None}
        assert {row["event_at"].date() for row in rows} == {day}
        assert any(row["is_bot"] for row in rows) == (source == "telemetry")


def test_lines_belong_to_orders_and_late_lines_come_the_next_day(written: Path) -> None:
    orders, lines = (
        pq.read_table(written / name / f"date={SIZE.first}" / "00000.parquet")
        for name in ("orders", "order_lines")
    )
    assert set(lines["order_id"].to_pylist()) <= set(orders["order_id"].to_pylist())
    assert min(lines["sales_cents"].to_pylist()) > 0
    assert (
        written / "telemetry" / f"date={SIZE.first + timedelta(days=SIZE.days)}" / "late-00000.jsonl.gz"
    ).exists()


def test_its_configuration_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITRINE_ID_KEY", raising=False)
    config = load(overlays="synth")
    assert config.business_time_zone == "UTC"
    assert config.ids.key
    assert set(SOURCES) <= set(config.sources)


@pytest.mark.parametrize("wrong", [{"users": 0}, {"days": 0}, {"products": 0}, {"spans_per_user": 0.0}])
def test_a_size_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SizeError, match="at least one user"):
        Size(**{"users": 1, "days": 1, **wrong})


def test_streams_are_apart() -> None:
    drawn = [
        SIZE.numbers(stream, block, day).random() for stream in Stream for block in (0, 1) for day in (0, 1)
    ]
    assert len(set(drawn)) == len(drawn)
    assert SIZE.date(1) == date(2026, 1, 2)
