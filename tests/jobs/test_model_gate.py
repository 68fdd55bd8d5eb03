"""model_gate: verdicts from figures, kept in releases and mirrored in MLflow; a person's roll-back stands."""

import sqlite3
from datetime import date, timedelta
from typing import Any

import mlflow
import pytest

from jobs import champions, maintenance, model_registry, old_artifacts, runs
from jobs.champions import champion
from jobs.cli import app
from jobs.config import Config, load
from jobs.model_commands import promote, roll_back
from jobs.model_gate import closing_ends, decided, run_gate
from jobs.publish import Stopped
from jobs.releases import Release
from jobs.runs import Run
from jobs.shell import Ask
from jobs.tables import Tables
from ml.classify import digest_of
from tests.jobs.closings_given import DAY, PERIOD, closings, spec
from tests.jobs.test_champions import model_row

ENDS = [DAY + number * PERIOD for number in range(-4, 6)]


def candidate(day: date = DAY, version: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a row of models that may go live."""
    return model_row(
        **{
            "model_version": version or f"churn@{day}-a",
            "as_of_date": day,
            "closing_id": f"of-{day}",
            "algorithm": "last_period",
            "spec": spec(algorithm="last_period").model_dump_json(),
            "spec_digest": spec().digest,
            "is_candidate": True,
            "is_current": True,
            "inputs": {"closing_examples": 7},
            "digest": "d",
            "rows": 300,
            **more,
        }
    )


def values(model: dict[str, Any], change: tuple[float, float, float], **more: Any) -> list[dict[str, Any]]:
    """Return rows of model_values: the change, and what `more` gives as metric=value."""
    common = {"model_version": model["model_version"], "name": "churn", "as_of_date": model["as_of_date"],
              "learner": model["algorithm"], "slice": "all", "class": "all", "rows": 300}  # fmt: skip
    interval = dict(zip(("value", "low", "high"), change, strict=True))
    found = [
        {**common, **interval, "metric": metric}
        for metric in ("change_from_champion", "change_from_last_period")
    ]
    plain = {"auc": 0.85, "log_loss": 0.3, "calibration_error": 0.01, **more}
    none = {"low": None, "high": None}
    return found + [{**common, **none, "metric": name, "value": value} for name, value in plain.items()]


def decide(
    model: dict[str, Any], change: tuple[float, float, float], said: list[Release], **more: Any
) -> Release:
    """Return the verdict on one candidate."""
    releases = [release.row() for release in said]
    day = model["as_of_date"]
    of = values(model, change) if not more else more["values"]
    [found] = decided(day, [model], of, releases, ENDS, {"churn": spec()}, zone="UTC", dag_run="r")
    return found


BETTER, AS_GOOD, WORSE = (-0.05, -0.08, -0.01), (0.0, -0.01, 0.005), (0.05, 0.01, 0.08)


def test_closing_after_closing_the_champion_is_replaced_kept_and_renewed() -> None:
    said = [decide(candidate(), BETTER, [])]
    assert (said[0].verdict, said[0].decided_by, said[0].as_of_date) == ("yes", "model_gate", DAY)
    assert said[0].why.startswith("Better: loss -5.0% against last period's behaviour")
    assert said[0].measures["change_from_last_period_high"] == -0.01
    for number, (change, verdict) in enumerate(
        [(WORSE, "no"), (AS_GOOD, "no"), (AS_GOOD, "no"), (AS_GOOD, "yes"), (BETTER, "yes")], 1
    ):
        found = decide(candidate(DAY + number * PERIOD), change, said)
        assert found.verdict == verdict, found.why
        said.append(found)
    assert "4 closings old, more than 3" in said[4].why
    rows = [release.row() for release in said]
    assert champion(rows, "churn", DAY + 3 * PERIOD) == f"churn@{DAY}-a"
    assert champion(rows, "churn", date.max) == f"churn@{DAY + 5 * PERIOD}-a"
    # An older closing again: it is reported, and promotes nothing; a version with its verdict keeps it.
    late = decide(candidate(version="churn@late"), BETTER, said)
    assert (late.verdict, late.decided_at - said[0].decided_at) == ("no", timedelta(seconds=1))
    assert "promotes nothing" in late.why
    assert decided(DAY, [candidate()], [], rows, ENDS, {"churn": spec()}, zone="UTC") == []


def test_missing_features_and_broken_bounds_keep_the_champion() -> None:
    first = decide(candidate(), BETTER, [])
    model = candidate(DAY + PERIOD)
    lacking = [{**values(model, BETTER)[0], "metric": "lacks", "slice": "feature/visits"}]
    found = decide(model, BETTER, [first], values=lacking)
    assert found.verdict == "cannot tell"
    assert (
        f"The champion churn@{DAY}-a needs features that closing_examples no longer has (visits)" in found.why
    )
    loose = values(model, BETTER, calibration_error=0.2)
    assert "But it is not calibrated" in decide(model, BETTER, [first], values=loose).why
    drifted = [
        *values(model, BETTER),
        {**loose[-1], "metric": "psi", "slice": "feature/recency", "value": 0.9},
    ]
    found = decide(model, BETTER, [first], values=drifted)
    assert (found.verdict, "recency (PSI 0.90)" in found.why) == ("no", True)
    grown = {**loose[-1], "metric": "psi", "slice": "feature/tenure/days", "value": 0.9}
    by_nature = {"churn": spec(bounds={"grows": ["tenure/*"]})}
    own = [*values(model, BETTER), grown]
    [found] = decided(DAY + PERIOD, [model], own, [first.row()], ENDS, by_nature, zone="UTC")
    assert found.verdict == "yes"
    falling = [*values(model, BETTER), {**values(model, WORSE)[0], "slice": "role/direct", "value": 0.2}]
    assert "But role/direct falls: loss +20.0%" in decide(model, BETTER, [first], values=falling).why


def test_ends_are_those_of_the_newest_change() -> None:
    moved = {**closings()[5], "changed_date": DAY, "last_date": DAY - timedelta(2)}
    off = {**closings()[0], "changed_date": DAY, "is_deleted": True}
    later = {**closings()[1], "changed_date": DAY + PERIOD, "is_deleted": True}
    ends = closing_ends([*closings(), moved, off, later], DAY)
    assert ends == [DAY - 3 * PERIOD, DAY - 2 * PERIOD, DAY - PERIOD, DAY - timedelta(2), DAY]


@pytest.fixture
def decided_home(home: Any, monkeypatch: pytest.MonkeyPatch) -> Tables:
    """Return tables with two closings' models, measured."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("USER", "ann")
    monkeypatch.setenv("LOGNAME", "ann")
    tables = Tables(load().tables)
    days = (DAY, DAY + PERIOD)
    tables.append("closings", closings())
    tables.append("models", [candidate(day) for day in days])
    tables.append("model_values", [row for day in days for row in values(candidate(day), BETTER)])
    return tables


def test_verdicts_are_kept_mirrored_and_rolled_back(
    decided_home: Tables, home: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load()
    for day in (DAY, DAY + PERIOD, DAY + PERIOD):
        run_gate(Ask(day, day + timedelta(1)), config)
    one, two = (f"churn@{day}-a" for day in (DAY, DAY + PERIOD))
    releases = decided_home.read("releases").to_pylist()
    assert sorted((row["version"], row["verdict"]) for row in releases) == [(one, "yes"), (two, "yes")]
    said = capsys.readouterr().out
    assert f"{two}: yes. Better: loss -5.0% against {one}" in said
    assert f"have their verdicts already: {two}." in said

    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    live = client.get_model_version_by_alias("churn", "champion")
    assert (live.tags["model_version"], live.tags["verdict"]) == (two, "yes")
    assert live.tags["input.closing_examples"] == "version 7"
    assert client.get_model_version_by_alias("churn", "challenger").version == live.version
    folder = client.download_artifacts(live.run_id, "model", str(home))
    about = mlflow.models.Model.load(f"{folder}/MLmodel")
    assert about.signature.inputs.input_names() == ["first", "second", "third", "fourth", "kind"]
    assert about.signature.outputs.input_names() == ["churn"]

    scored = Run("s", "subject_scores", None, DAY, DAY, "", runs.now(), [DAY + PERIOD + timedelta(3)])
    scored.status = "published"
    runs.record(decided_home, scored)
    roll_back(config, "churn", "")
    said = capsys.readouterr().out
    assert f"{one} is the champion, by ann. Rolled back from {two}." in said
    assert f"The run of subject_scores of {DAY + PERIOD + timedelta(4)} scores everybody with it." in said
    releases = decided_home.read("releases").to_pylist()
    by_hand = champions.verdict(releases, "churn", DAY + PERIOD)
    assert by_hand is not None
    assert dict(by_hand["details"])["everyone_from"] == str(DAY + PERIOD + timedelta(4))
    assert champion(releases, "churn", date.max) == by_hand["version"] == one
    assert client.get_model_version_by_alias("churn", "champion").tags["model_version"] == one
    with pytest.raises(Stopped, match=f"{one} is the champion already"):
        promote(config, "churn", one, "")
    promote(config, "churn", two, "It was a mistake.")
    assert champion(decided_home.read("releases").to_pylist(), "churn", date.max) == two
    capsys.readouterr()
    app(["model", "list"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert shown.count("champion") == 1
    assert "auc 0.850" in shown

    _files_of_the_refused_go(config, client)


def _files_of_the_refused_go(config: Config, client: mlflow.MlflowClient) -> None:
    """Both that were promoted keep theirs: a roll-back may bring either back."""
    said = {"verdict": "no", "why": "worse", "decided_by": "the gate"}
    model_registry.mirror(config, candidate(version="churn@x"), said, {"auc": 0.5})
    model_registry.mirror(config, candidate(version="churn@y"), said, {"auc": 0.5})
    runs_of = {one.tags["model_version"]: one.run_id for one in client.search_model_versions()}
    with sqlite3.connect(config.home / "mlflow" / "mlflow.db") as database:  # as `mlflow gc` leaves it
        for table in ("latest_metrics", "metrics", "params", "tags", "runs"):
            database.execute(f"delete from {table} where run_uuid = ?", [runs_of["churn@y"]])
    assert old_artifacts.find(config, runs.now() - timedelta(1)) == ([], [])
    (refused,), lost = old_artifacts.find(config, runs.now() + timedelta(1))
    assert (refused.version, lost) == ("churn@x", ["churn@y"])
    step = maintenance.artifacts_removed(
        maintenance.House(config, DAY, runs.now() + timedelta(9_999), dry_run=False)
    )
    assert (step.count, list(step.notes)) == (
        1, ["churn@x", "skipped, since their runs are gone from MLflow: churn@y"],
    )  # fmt: skip
    assert old_artifacts.find(config, runs.now() + timedelta(1)) == ([], ["churn@y"])
    client.delete_model_version("churn", next(
        one.version for one in client.search_model_versions() if one.tags["model_version"] == "churn@y"
    ))  # fmt: skip
    versions = {one.tags["model_version"]: one.run_id for one in client.search_model_versions()}
    files = {name: len(client.list_artifacts(run, "model")) for name, run in versions.items()}
    assert files.pop("churn@x") == 0
    assert set(files.values()) == {2}


def test_what_cannot_be_promoted_is_said(decided_home: Tables) -> None:
    config = load()
    with pytest.raises(Stopped, match="churn has no champion: there is nothing to roll back"):
        roll_back(config, "churn", "")
    with pytest.raises(
        Stopped, match=r"There is no version 'churn@x' of churn; there are churn@2017-05-21-a"
    ):
        promote(config, "churn", "churn@x", "")
    bad = candidate(version="bad", model=b"{}", model_digest=digest_of(b"[]"))
    decided_home.append("models", [bad, candidate(version="other", is_candidate=False)])
    with pytest.raises(Stopped, match="bad cannot be used: the bytes of the model"):
        promote(config, "churn", "bad", "")
    with pytest.raises(Stopped, match="other is there to be compared with"):
        promote(config, "churn", "other", "")
    assert not decided_home.read("releases").num_rows
    with pytest.raises(Stopped, match="were not trained and measured"):
        run_gate(Ask(DAY, DAY + timedelta(1)), config)
