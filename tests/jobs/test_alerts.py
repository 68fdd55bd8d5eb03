"""Alerts: each event in words, what is news among verdicts, and when two troubles are the same."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from jobs.alerts import Event, alert, of_drift, of_failure, of_verdicts

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
        " Mend what it names and clear the task with downstream; Airflow's page Health tells more."
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


def moved(name: str, level: str, psi: float = 0.3, ago: int = 0, **more: Any) -> dict[str, Any]:
    about = {"kind": "feature", "who": "everyone", "against": "training", "shift": 0.5, "psi": psi}
    return {"drift_date": NIGHT - timedelta(ago), "name": name, "level": level, **about, **more}


DRIFT_RUN = "drift/scheduled__1"


@pytest.mark.parametrize(
    ("rows", "kind", "names"),
    [
        ([moved("new", "alarm"), moved("still", "alarm"), moved("still", "alarm", ago=1)], "alarms", ["new"]),
        ([moved("rose", "alarm"), moved("rose", "watch", ago=1)], "alarms", ["rose"]),
        ([moved("fell", "watch"), moved("fell", "alarm", ago=1)], None, []),
        ([moved("new", "watch"), moved("other", "steady", ago=1)], "watched", ["new"]),
        # An alarm goes before what is watched; the strongest of each is told first.
        ([moved("a", "watch"), moved("b", "alarm", 0.3), moved("c", "alarm", 0.9)], "alarms", ["c", "b"]),
        # One champion's training is told, and as the higher level of both.
        ([moved("twice", "watch"), moved("twice", "alarm")], "alarms", ["twice"]),
        ([moved("tenure", "alarm")], None, []),
        ([moved("few", "alarm", who="rare")], None, []),
        # A backfill of an older day is no news.
        ([moved("new", "alarm"), moved("later", "steady", ago=-1)], None, []),
        # The day before may have been left out; what was two days ago stands.
        ([moved("still", "alarm"), moved("still", "alarm", ago=2)], None, []),
        (
            [moved("apart", "alarm"), moved("apart", "alarm", ago=1, against="last period")],
            "alarms",
            ["apart"],
        ),
    ],
)
def test_what_newly_moved_is_told_once(
    rows: list[dict[str, Any]], kind: str | None, names: list[str]
) -> None:
    found = of_drift(rows, NIGHT, {"tenure"}, DRIFT_RUN, "l")
    assert [event.kind for event in found] == ([kind] if kind else [])
    told = [part.split()[1] for event in found for part in event.why.split("; ")]
    assert told == names


def test_drift_is_told_in_words() -> None:
    rows = [moved(f"f{n}", "alarm", 0.5 - n / 10, shift=0.72) for n in range(4)]
    (event,) = of_drift(
        [*rows, moved("s", "alarm", 0.45, kind="score", shift=1e9)], NIGHT, (), DRIFT_RUN, "x"
    )
    assert alert(event).text == (
        "Newly beyond drift's bound of alarm: 5 quantities of 2017-10-12 (drift, run scheduled__1). Why:"
        " feature f0 since training (index 0.50, 0.7 standard deviations); score s since training (index"
        " 0.45, over 100 standard deviations); feature f1 since training (index 0.40, 0.7 standard"
        " deviations); and 2 more. Mend a feed that broke, if one did; Drift in Airflow's menu tells what"
        " moved, and for whom. x"
    )
    (watched,) = of_drift([moved("f", "watch", 0.15)], NIGHT, (), DRIFT_RUN, "x")
    assert alert(watched).what == (
        "Newly beyond drift's lower bound: 1 quantity of 2017-10-12 (drift, run scheduled__1)."
    )
