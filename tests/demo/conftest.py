"""The demo's baskets, cleaned once, the whole year replayed once, and a small lake of it."""

import os
from pathlib import Path
from typing import Any

import pytest

from jobs.config import ROOT
from jobs.demo import lake, replay, source
from jobs.demo.replay import Replay
from jobs.demo.source import Baskets, Source
from tests.demo.reading import DAYS, read_spans

# Read before any test's own data home.
WHEEL = Path(os.environ.get("VITRINE_HOME") or ROOT / "var").absolute() / "source" / source.WHEEL


@pytest.fixture(scope="session")
def data() -> Source:
    if not WHEEL.is_file():
        pytest.exit(f"{WHEEL} is not there: run `make setup` first.")
    return source.load(WHEEL)


@pytest.fixture(scope="session")
def baskets(data: Source) -> Baskets:
    return source.clean(data)


@pytest.fixture(scope="session")
def full(baskets: Baskets) -> Replay:
    return replay.replay(baskets, range(42, 365), number=0)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data home whose lake holds the sessions of DAYS, and orders until then."""
    home = tmp_path_factory.mktemp("demo")
    (home / "source").mkdir()
    (home / "source" / WHEEL.name).symlink_to(WHEEL)
    report = lake.write_days(home, DAYS)
    assert (report.days, report.written) == (72, 72)
    return home


@pytest.fixture
def demo_home(home: Path) -> Path:
    """Return an empty data home that has the demo's baskets."""
    (home / "source").mkdir()
    (home / "source" / source.WHEEL).symlink_to(WHEEL)
    return home


@pytest.fixture(scope="session")
def spans(written: Path) -> list[dict[str, Any]]:
    """Every span of the lake, flat, once; with its service and the day it arrived."""
    found = {span["span_id"]: span for service in ("web", "layout") for span in read_spans(written, service)}
    return list(found.values())
