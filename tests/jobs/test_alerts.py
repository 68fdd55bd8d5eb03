"""Alerts: each event in words, what is news among verdicts, and when two troubles are the same."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from jobs.alerts import Event, alert, of_failure, of_verdicts

NIGHT = date(2017, 10, 12)
AT = datetime(2017, 10, 13, 3, tzinfo=UTC)
RUN = "policy_evaluation/scheduled__1"


def run(job: str, status: str, message: str, minute: int = 0) -> dict[str, Any]:
    return {"job": job, "status": status, "message": message, "started_at": AT + timedelta(minutes=minute)}


def verdict(name: str, answer: str, ago: int = 0, **more: Any) -> dict[str, Any]:
    about = {"kind": "policy", "name": name, "verdict": answer, "why": "a guardrail falls", "dag_run": RUN}
    day = NIGHT - timedelta(ago)
    return {**about, "as_of_date": day, "decided_at": AT - timedelta(ago), **more}


@pytest.mark.parametrize(
    ("task", "runs", "error", "kind", "why"),
    [
        ("orders", [run("orders", "stopped", "no rows")], "Bash command failed. …", "stopped", "no rows"),
        ("orders", [run("orders", "stopped", "first"), run("orders", "stopped", "last", 1)], "", "stopped",
         "last"),
        ("orders", [run("orders", "stopped", "first"), run("orders", "published", "", 1)], "killed", "failed",
         "killed"),
        ("orders", [run("users", "stopped", "no rows")], "no memory", "failed", "no memory"),
        ("orders", [], "Bash command failed. The command returned a non-zero exit code 1.", "failed", ""),
        ("export", [run("export", "stopped", "too far")], "", "not flipped", "too far"),
        ("export", [], "store gone", "not flipped", "store gone"),
    ],
)  # fmt: skip
def test_a_failure_is_told_with_the_jobs_own_reason(
    task: str, runs: list[dict[str, Any]], error: str, kind: str, why: str
) -> None:
    event = of_failure("lake_etl", "r", task, runs=runs, error=error, link="http://x")
    assert event == Event(kind, "lake_etl", "r", task, why, "http://x")  # type: ignore[arg-type]


def test_each_alert_is_a_sentence_on_what_why_and_what_to_do() -> None:
    told = alert(Event("stopped", "lake_etl", "r1", "orders", "3 rows\n break it", "http://x/log"))
    assert told.text == (
        "Task orders of lake_etl (run r1) was stopped before it published anything. Why: 3 rows break it."
        " Mend what it names and clear the task; Health in Airflow's menu shows what was turned away."
        " http://x/log"
    )
    assert "readers keep the generation before" in alert(Event("not flipped", "n", "r", "export", "x")).what
    assert alert(Event("failed", "d", "r", "t")).why == "Why: its log says why."
    late = alert(Event("late", "lake_etl", "r"))
    assert (late.what, late.why) == ("lake_etl is late: run r has not ended in time.", "")
    assert "the live policy stays" in alert(Event("refused", "d", "r", "new", "why?")).do
    assert alert(Event("kept", "d", "r", "churn", "x" * 500)).why == f"Why: {'x' * 400}…"


def test_the_same_trouble_on_other_days_has_the_same_key() -> None:
    def key(*parts: str) -> str:
        return alert(Event(*parts)).key  # type: ignore[arg-type]

    one = key(
        "stopped", "lake_etl", "backfill__2017-10-12", "orders", "2017-10-12 has 0 rows, digest 0f3a9bc1d2"
    )
    assert key("stopped", "lake_etl", "b2", "orders", "2017-10-13 has 99 rows, digest ffffffff00") == one
    # A dead engine fails many tasks for one reason.
    assert key("stopped", "lake_etl", "b2", "users", "2017-10-13 has 99 rows, digest ffffffff00") == one
    assert key("stopped", "lake_etl", "b2", "orders", "no key") != one
    assert key("failed", "d", "r", "a") != key("failed", "d", "r", "b")
    assert key("refused", "d", "r", "a", "x") != key("refused", "d", "r", "b", "x")


def test_only_what_is_news_among_verdicts_is_told() -> None:
    known = [
        verdict("fallen", "cannot tell", 1, dag_run="policy_evaluation/earlier"),
        verdict("fallen", "no"),
        verdict("down", "no", 1, dag_run="policy_evaluation/earlier"),
        verdict("down", "no"),
        verdict("new", "no"),
        verdict("fine", "yes"),
        verdict("old", "no", 1),
        verdict("other", "no", dag_run="policy_evaluation/other"),
        verdict("churn", "no", kind="model"),
        verdict("buys", "cannot tell", kind="model"),
        verdict("won", "yes", kind="model"),
        verdict("rfm", "no", kind="segmentation"),
    ]
    told = [(event.kind, event.task_id, event.dag_id, event.run_id) for event in of_verdicts(known, RUN, "l")]
    assert told == [
        (kind, name, "policy_evaluation", "scheduled__1")
        for kind, name in (("refused", "fallen"), ("refused", "new"), ("kept", "churn"), ("kept", "buys"))
    ]
    assert of_verdicts(known, "policy_evaluation/none", "l") == []
