"""The rules of conf/ find the demo's planted bots, and nobody else."""

import json
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import events
from jobs.config import Consent, load
from jobs.demo.source import date_of
from jobs.ids import pseudonym
from jobs.inputs import Lake, open_read
from jobs.shell import bind
from tests.jobs.given import table

from .conftest import DAYS
from .test_lake import read_spans

DAY = date_of(DAYS[0])


def test_bots_are_found_with_full_precision_and_recall(
    spark: SparkSession, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(written))
    config = load()
    labels = (written / "lake" / "widgets" / "date=2017-01-01" / "widgets.jsonl").read_text().splitlines()
    widgets = [
        {"widget": json.loads(label)["widget_id"], "changed_date": date(2017, 1, 1), "is_deleted": False}
        for label in labels
    ]
    arrived = [
        open_read(spark, read, [DAY], config, {}) for read in events.JOB.reads if isinstance(read, Lake)
    ]
    # As if all had agreed, so that devices can be told apart.
    arguments = {**bind(events.build, "events", config), "consent": Consent(purpose="all", by_default=True)}
    built = events.build(
        *arrived, table(spark, "widgets", widgets), table(spark, "consents", []), days=[DAY], **arguments
    )
    today = built.where((F.col("event_date") == F.lit(DAY)) & F.col("_reason").isNull())
    by_rule = today.groupBy("device", "bot_rule").count().collect()
    marked = {row["device"]: row["bot_rule"] for row in by_rule if row["bot_rule"]}

    of_day = [span for service in ("web", "layout") for span in read_spans(written, service)]
    devices = {
        span["device.id"]: span["user_agent.original"] for span in of_day if span["arrived"] == f"{DAY}"
    }
    planted = {raw: agent for raw, agent in devices.items() if raw.startswith("b")}
    hashed = {raw: pseudonym("device", raw, key=config.ids.key, key_id=config.ids.key_id) for raw in planted}
    assert len(planted) > 3
    assert marked.keys() == set(hashed.values())
    assert {(raw, marked[hashed[raw]] == "agent") for raw in planted} == {
        (raw, "Googlebot" in agent) for raw, agent in planted.items()
    }
