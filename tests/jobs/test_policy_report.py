"""policy_report: what is on it, and the file and MLflow run that a night leaves."""

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs import context_drift, policy_report, policy_values
from jobs.config import FeatureSet, load
from jobs.policy_report import run_report
from jobs.publish import Stopped
from jobs.runs import Run, now, record
from jobs.servings import by_spec
from jobs.shell import Ask
from jobs.tables import Tables
from ml.ope.diagnostics import population_stability
from tests.jobs import judged
from tests.jobs.test_policy_values import LAST, LOG

SET = FeatureSet.model_validate(
    {"name": "start-1", "page": "start", "context": [{"name": "intercept"}, {"name": "recency"}],
     "action": [{"name": "rate"}]}
)  # fmt: skip
RNG = np.random.default_rng(4)
RECENCY = {1: RNG.normal(0, 1, 60), 0: RNG.normal(2, 1, 60)}


def contexts() -> list[dict[str, Any]]:
    """A day of sixty draws, and the newest, on which recency is another; rates are the same."""
    return [
        {"draw_id": f"d{number}", "decision_date": LAST - timedelta(before), "subject": f"u{number}",
         "subject_bucket": number % 2, "page": "start", "feature_set": "start-1", "candidates": ["a", "b"],
         "context": [1.0, float(value)], "action_context": [0.1, 0.2], "is_served": True}
        for before, values in RECENCY.items()
        for number, value in enumerate(values)
    ]  # fmt: skip


def test_a_feature_s_index_is_that_of_its_column() -> None:
    given = contexts()
    log, newest = (
        pa.Table.from_pylist([row for row in given if row["decision_date"] == day])
        for day in (LAST - timedelta(1), LAST)
    )
    (index,) = population_stability(
        RECENCY[1].astype(np.float32)[:, None], RECENCY[0].astype(np.float32)[:, None]
    )
    found = context_drift.stability(log, newest, SET)
    assert found == [("intercept", 0.0), ("recency", pytest.approx(index)), ("rate (of a widget)", 0.0)]
    assert index > 1


def test_a_night_s_report_is_kept_with_its_figures(
    spark: SparkSession, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, Any] = {}
    monkeypatch.setattr(policy_report, "keep", lambda *given, **more: kept.update(more, given=given[1:]))
    monkeypatch.setattr(policy_report, "session", lambda _: spark)
    config = load()
    config = config.model_copy(update={"feature_sets": {"start-1": SET}})
    tables, ask = Tables(config.tables), Ask(LAST, LAST + timedelta(1))
    with pytest.raises(Stopped, match=f"no values of policies as of {LAST}: run policy_values"):
        run_report(ask, config)
    done = Run("first", "policy_values", None, LAST, LAST + timedelta(1), "c", now(), [LAST])
    done.status = "published"
    record(tables, done)
    nothing = run_report(ask, config)
    assert (nothing.status, nothing.message) == ("unchanged", "no serving counts yet, so there is no report")
    assert kept == {}

    judged.buckets(spark, tables, LOG)
    work = policy_values._summaries("start", by_spec(LOG), days=[LAST], zone="America/New_York", hours=6)
    values = [row for name, summary in work for row in policy_values._rows("start", name, summary)]
    tables.append("policy_values", values)
    tables.append("contexts", contexts())
    told = {"release_id": "r", "kind": "policy", "name": "better", "as_of_date": LAST, "why": "too short",
            "verdict": "cannot tell", "version": "better@x", "decided_by": "gate",
            "decided_at": done.started_at, "details": {"page": "start"}}  # fmt: skip
    tables.append("releases", [told, {**told, "name": "older", "as_of_date": LAST - timedelta(1)}])
    run = run_report(ask, config)
    assert (run.status, run.rows_in, run.rows_out) == ("published", len(values) + 1, 1)
    assert kept["given"][:2] == ("policies", str(LAST))
    assert kept["tags"] == {"better": "cannot tell"}
    measures = kept["measures"][0]
    window = LAST - timedelta(policy_values.WINDOW - 1)
    (ips,) = [
        row["value"]
        for row in values
        if (row["spec"], row["estimator"], row["goal"]) == ("better", "IPS", "reward")
        and (row["audience"], row["first_date"]) == ("everyone", window)
    ]
    assert measures["start/better/IPS"] == ips
    assert measures["start/largest drift"] > 1
    html = kept["given"][2]
    assert "<h3>Contexts</h3>" in html
    assert "1 of 3 are above 0.25" in html
    assert html.index("<th>recency</th>") < html.index("<th>intercept</th>")
