"""What the DAGs ask: which closings ended, when one ended, and who trained on its examples."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs import closing_asks, runs
from jobs.config import Config, load
from jobs.runs import Run
from jobs.tables import Tables
from tests.jobs.test_closing_periods import WEEKS, day

C = day(-8)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Return a configuration with a home whose tables hold four weekly closings."""
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    found = load()
    Tables(found.tables).append("closings", WEEKS)
    return found.model_copy(update={"since": {"closing_training": day(-15)}})


def ran(
    config: Config, job: str, dag_run: str | None, digest: str = "d", *, status: str = "published"
) -> None:
    run = Run(f"{job}-{dag_run}", job, dag_run, C, C, "conf", datetime(2017, 11, 1, tzinfo=UTC), [C])
    run.content_digest, run.status, run.output = digest, status, job
    runs.record(Tables(config.tables), run)


def trained(config: Config, closing: str = "c") -> None:
    row = {"model_version": f"{closing}-v", "closing_id": closing, "as_of_date": C}
    Tables(config.tables).append("models", [row])


def test_closings_that_ended_are_named_from_the_day_that_conf_says(config):
    assert closing_asks.ended_in(config, day(-90), day(0)) == ["b", "c", "d"]
    assert closing_asks.ended_in(config, C, day(-7)) == ["c"]


def alarmed(number: int, name: str = "recency", **more: str) -> dict[str, object]:
    told = {"drift_date": day(number), "kind": "feature", "name": name, "who": "everyone"}
    return {**told, "against": "training", "level": "alarm", **more}


def test_a_closing_is_told_once_when_what_models_see_has_moved(config):
    quiet = [
        alarmed(-6, level="watch"), alarmed(-6, who="loyal"), alarmed(-6, against="last period"),
        alarmed(-6, "home", kind="reward"), alarmed(-6, "tenure"),
    ]  # fmt: skip
    Tables(config.tables).append("drift", quiet)
    assert closing_asks.drifted_in(config, day(-90), day(0)) == []
    Tables(config.tables).append("drift", [alarmed(-5), alarmed(-4), alarmed(-4, "visits_28"), alarmed(2)])
    assert closing_asks.drifted_in(config, day(-5), day(-4)) == ["c"]
    assert closing_asks.drifted_in(config, day(-4), day(-3)) == []  # told a day before
    assert closing_asks.drifted_in(config, day(-90), day(9)) == ["c", "d"]


def test_the_last_day_is_told_once_its_orders_are_there(config):
    with pytest.raises(
        closing_asks.NoClosing, match=r"^Closing c ends on 2017-10-01, and days are not loaded"
    ):
        closing_asks.last_day(config, "c")
    ran(config, "subject_daily", None)
    assert closing_asks.last_day(config, "c") == C
    with pytest.raises(
        closing_asks.NoClosing, match=r"ends on 2017-10-08, and days are loaded up to 2017-10-01"
    ):
        closing_asks.last_day(config, "d")
    with pytest.raises(
        closing_asks.NoClosing, match=r"^There is no closing 'x', or it was called off; there are a"
    ):
        closing_asks.last_day(config, "x")


def test_examples_are_trained_on_once_for_each_closing(config):
    def by(closing: str = "c") -> str | None:
        return closing_asks.trained_by(config, closing, C, "now")

    with pytest.raises(closing_asks.NoClosing, match=r"^now has made no closing_examples of 2017-10-01"):
        by()
    ran(config, "closing_examples", "now")
    ran(config, "closing_examples", "then")
    trained(config)
    # The run before has failed halfway.
    ran(config, "models", "then")
    ran(config, "model_gate", "then")
    ran(config, "subject_scores", "then", status="stopped")
    assert by() is None
    ran(config, "subject_scores", "then", status="unchanged")
    assert by() == "then"
    # Another closing that ended the same night has the same examples, and no models yet.
    assert by("c2") is None


def test_other_examples_are_trained_on(config):
    ran(config, "closing_examples", "now", "other")
    trained(config)
    for job in ("closing_examples", *closing_asks.TRAINED):
        ran(config, job, "then")
    assert closing_asks.trained_by(config, "c", C, "now") is None
