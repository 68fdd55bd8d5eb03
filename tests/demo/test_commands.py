"""A second `make demo` changes nothing: it knows a slice that went through, and one that did not."""

from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs import runs
from jobs.config import Config, load
from jobs.demo import commands
from jobs.tables import Tables

UTC_NOON = datetime.fromisoformat("2017-12-31T12:00:00+00:00")


@pytest.fixture
def config(home: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(commands, "live", lambda _: SimpleNamespace(layout_date=commands.LAST_DATE))
    return load(overlays="demo")


def ran(config: Config, job: str, first: date, **more: Any) -> None:
    """Keep the row of a finished run from a day to the demo's last."""
    last = commands.LAST_DATE
    run = runs.Run(f"{job}-{first}", job, None, first, last, config.digest, UTC_NOON)
    run.days, run.status = runs.days_between(first, last + timedelta(days=1)), "published"
    for name, value in more.items():
        setattr(run, name, value)
    runs.record(Tables(config.tables), run)


def test_it_is_done_when_every_day_of_policies_went_through_gate_and_store(config: Config) -> None:
    tables, first = Tables(config.tables), config.since["policies"]
    assert not commands._is_done(config, tables)
    for job in commands.DONE_BY:
        ran(config, job, first)
    assert commands._is_done(config, tables)


@pytest.mark.parametrize(
    "more", [{"configuration": "of another conf/"}, {"status": "stopped"}, {"days": [date(2017, 8, 18)]}]
)
def test_it_is_not_done_by_another_configuration_or_in_part(config: Config, more: dict[str, Any]) -> None:
    first = config.since["policies"]
    for job in commands.DONE_BY[:-1]:
        ran(config, job, first)
    ran(config, commands.DONE_BY[-1], first, **more)
    assert not commands._is_done(config, Tables(config.tables))
