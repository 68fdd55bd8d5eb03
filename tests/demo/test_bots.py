"""The rules of conf/ find the demo's planted bots, and nobody else."""

from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs import events
from jobs.config import Consent, load
from jobs.demo import replay, served, telemetry, world
from jobs.demo.source import Baskets, Source, date_of
from jobs.demo.writer import DayWriter
from jobs.ids import pseudonym
from jobs.inputs import Lake, open_read
from jobs.shell import bind
from tests.demo.reading import read_spans
from tests.jobs.given import table
from tests.jobs.sources.door import judged

NUMBER = 100
DAY = date_of(NUMBER)


@pytest.fixture
def lake_of_bots(home: Path, data: Source, baskets: Baskets, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home whose lake holds a day with a bot for ten visits: some only show by their pace."""
    monkeypatch.setattr(telemetry, "BOTS", 0.1)
    shown = replay.replay(baskets, range(NUMBER, NUMBER + 1), 0)
    DayWriter(home, data, baskets, "recipe").sessions(NUMBER, served.servings(shown, baskets, NUMBER))
    return home


def test_bots_are_found_with_full_precision_and_recall(
    spark: SparkSession, lake_of_bots: Path, data: Source, baskets: Baskets
) -> None:
    config = load()
    known = {"changed_date": date(2017, 1, 1), "is_deleted": False}
    widgets = [{"widget": widget["widget_id"], **known} for widget in world.widgets(data, baskets)]
    arrived = [
        open_read(spark, read, [DAY], config, {}) for read in events.JOB.reads if isinstance(read, Lake)
    ]
    # As if all had agreed, so that devices can be told apart.
    arguments = {**bind(events.build, "events", config), "consent": Consent(purpose="all", by_default=True)}
    entities = table(spark, "widgets", widgets), table(spark, "consents", [])
    built = events.build(*arrived, *entities, days=[DAY], **arguments)
    good, _ = judged("events", built, [DAY])
    marked = {row["device"]: row["bot_rule"] for row in good if row["bot_rule"]}

    spans = [span for service in ("web", "layout") for span in read_spans(lake_of_bots, service)]
    devices = {span["device.id"]: span["user_agent.original"] for span in spans}
    planted = {
        pseudonym("device", raw, key=config.ids.key, key_id=config.ids.key_id): "Googlebot" in agent
        for raw, agent in devices.items()
        if raw.startswith("b")
    }
    assert len(devices) > 5 * len(planted) > 50
    assert {device: rule == "agent" for device, rule in marked.items()} == planted
    assert {rule for device, rule in marked.items() if not planted[device]} == {"pages_per_minute"}
