"""segment_report: the file, and one MLflow run for a request, however often it is reported."""

import json
from datetime import date, timedelta
from typing import Any

import mlflow
import pytest

from jobs.config import load
from jobs.publish import Stopped
from jobs.segment_report import JOB, run_report
from jobs.segment_request import request
from jobs.shell import Ask
from jobs.tables import Tables
from tests.jobs.test_segment_page import DAY, model, profile


def test_a_report_is_one_file_and_one_run(
    home: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config = load()
    tables = Tables(config.tables)
    with pytest.raises(Stopped, match="was not fitted and profiled"):
        run_report(Ask(DAY, DAY + timedelta(1)), config, {})
    asked = request(config.segmentation_specs, "rfm", seed=config.seed)
    mine = {"request": asked.name(DAY), "inertia": 5.0}
    tables.append("segmentations", [model(2, **mine), model(3, **mine), model(2, request="other")])
    tables.append("segment_profiles", [profile(2, number, **mine, as_of_date=DAY) for number in range(2)])
    for _ in range(2):
        JOB.main(["--from", date.isoformat(DAY)])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["request"], told["suggested"], told["fitted"]) == (asked.name(DAY), 2, [2, 3])
    report = home / "reports" / told["report"]
    assert "<h1>Segments rfm, 12 October 2017</h1>" in report.read_text(encoding="utf-8")
    assert "their publisher calls simulated" in report.read_text(encoding="utf-8")

    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    [experiment] = [one for one in client.search_experiments() if one.name == "segmentation"]
    [run] = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == (asked.name(DAY), "FINISHED")
    assert run.data.tags["reason"] == "k = 2: it is <stable>."
    found = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "silhouette")}
    assert found == pytest.approx({2: 0.4, 3: 0.3})
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == [report.name]
