"""Telling: real servers get an alert once, a storm is held back, and nobody stops the others."""

import json
import logging
import smtpd
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from jobs import telling
from jobs.alerts import Event
from jobs.config import Alerts, Config, load
from jobs.tables import Tables

NOW = datetime(2017, 10, 13, 3, tzinfo=UTC)
EVENT = Event("stopped", "lake_etl", "r1", "orders", 'it\'s <b>"odd"</b> {{ 1 }}', "http://x/log")


class Heard(BaseHTTPRequestHandler):
    """Keeps what was posted; /gone answers as a server in trouble does."""

    got: ClassVar[list[tuple[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, json.loads(body)))
        self.send_response(500 if self.path == "/gone" else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Heard.got = []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), Heard) as http:
        thread = threading.Thread(target=lambda: http.serve_forever(poll_interval=0.01))
        thread.start()
        address = f"http://127.0.0.1:{http.server_port}"
        for name in ("hook", "chat", "gone"):
            told = {"conn_type": "http", "password": f"{address}/{name}"}
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(told))
        # Nobody listens on the discard port.
        closed = {"conn_type": "http", "password": "http://127.0.0.1:9/secret"}
        monkeypatch.setenv("AIRFLOW_CONN_CLOSED", json.dumps(closed))
        yield address
        http.shutdown()
        thread.join()


def config(**asked: Any) -> Config:
    return load().model_copy(update={"alerts": Alerts(**asked)})


def test_a_webhook_gets_each_part_and_slack_the_text(home: Any, server: str) -> None:
    telling.tell(config(webhook="hook", slack="chat"), [EVENT], NOW)
    (hook, body), (chat, text) = Heard.got
    assert (hook, chat) == ("/hook", "/chat")
    assert body["what"] == "Task orders of lake_etl (run r1) was stopped before it published anything."
    assert (body["why"], body["link"]) == (f"Why: {EVENT.why}.", "http://x/log")
    assert text == {"text": body["text"]}
    assert body["text"].endswith("page Health tells more. http://x/log")


def test_in_a_storm_the_same_is_told_once_and_then_counted(home: Any, server: str) -> None:
    asked = config(webhook="hook", quiet_minutes=60)
    other = Event("failed", "lake_etl", "r1", "users", "no memory")
    storm = [Event("stopped", "lake_etl", f"r{n}", "orders", f"day {n} has no rows") for n in range(20)]
    telling.tell(asked, [*storm, other], NOW)
    telling.tell(asked, storm[:1], NOW + timedelta(minutes=59))
    assert [body["what"].split()[1] for _, body in Heard.got] == ["orders", "users"]
    telling.tell(asked, storm[:1], NOW + timedelta(minutes=60))
    assert Heard.got[-1][1]["text"].endswith(" It came 20 more times since it was last told.")
    assert len(Heard.got) == 3


def test_who_cannot_be_reached_holds_nobody_up_and_gives_no_secret_away(
    home: Any, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "vitrine.alerts"):
        telling.tell(config(webhook="gone", slack="chat"), [EVENT], NOW)
        telling.tell(config(webhook="unknown", slack="chat"), [Event("late", "d", "r")], NOW)
        telling.tell(config(webhook="closed"), [Event("late", "e", "r")], NOW)
    assert [path for path, _ in Heard.got] == ["/gone", "/chat", "/chat"]
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors[0] == "The webhook could not be told: the address of connection gone answered 500"
    assert "unknown" in errors[1]
    assert errors[2] == "The webhook could not be told: the address of connection closed: ConnectionError"
    assert server not in " ".join(errors)
    assert any("was stopped before" in record.getMessage() for record in caplog.records)


def test_mail_goes_out_by_airflows_notifier(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[Any, ...]] = []

    class Post(smtpd.SMTPServer):
        def process_message(self, *parts: Any, **_: Any) -> None:
            got.append(parts)

    import asyncore

    post = Post(("127.0.0.1", 0), None)
    port = post.socket.getsockname()[1]
    told = {"conn_type": "smtp", "host": "127.0.0.1", "port": port,
            "extra": {"disable_ssl": True, "disable_tls": True,
                      "from_email": "house@example.com"}}  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(told))
    stop = threading.Event()
    thread = threading.Thread(target=lambda: _pump(asyncore, stop))
    thread.start()
    try:
        telling.tell(config(email=["op@example.com"]), [EVENT], NOW)
    finally:
        stop.set()
        thread.join()
        post.close()
    (_, sender, to, data) = got[0]
    assert (sender, to) == ("house@example.com", ["op@example.com"])
    assert b"Task orders of lake_etl" in data
    assert b"<b>" not in data


def _pump(asyncore: Any, stop: threading.Event) -> None:
    while not stop.is_set():
        asyncore.loop(timeout=0.02, count=1)


def task(task_id: str, run_id: str = "scheduled__1") -> dict[str, Any]:
    of = SimpleNamespace(dag_id="lake_etl", run_id=run_id, task_id=task_id, log_url="http://x/log")
    return {"ti": of, "exception": RuntimeError("Bash command failed. The command returned exit code 1.")}


def test_a_failed_task_is_told_with_what_its_run_said(home: Any, server: str, monkeypatch: Any) -> None:
    asked = config(webhook="hook")
    monkeypatch.setattr("jobs.config.load", lambda: asked)
    said = {"run_id": "1", "job": "orders", "dag_run": "lake_etl/scheduled__1", "status": "stopped",
            "message": "no row of 2017-10-12", "started_at": NOW}  # fmt: skip
    Tables(asked.tables).append("runs", [said])
    telling.task_failed(task("orders"))
    telling.task_failed(task("users"))
    assert [body["why"] for _, body in Heard.got] == [
        "Why: no row of 2017-10-12.", "Why: its log says why.",
    ]  # fmt: skip


def test_verdicts_and_lateness_are_told(home: Any, server: str, monkeypatch: Any) -> None:
    asked = config(webhook="hook")
    monkeypatch.setattr("jobs.config.load", lambda: asked)
    row = {"release_id": "r", "kind": "policy", "name": "new", "verdict": "no", "why": "it falls",
           "as_of_date": NOW.date(), "decided_at": NOW, "dag_run": "lake_etl/scheduled__1"}  # fmt: skip
    Tables(asked.tables).append("releases", [row])
    telling.verdicts(task("gate"))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://a/")
    of = {"dag_id": "lake_etl", "run_id": "scheduled__2"}
    telling.late(context={"dag_run": of, "deadline": {"deadline_time": "2017-10-13 06:00"}})
    telling.late(context={"dag_run": SimpleNamespace(dag_id="lake_etl", run_id="backfill__3")})
    assert [body["what"] for _, body in Heard.got] == [
        "The gate refuses the policy new since this night (lake_etl, run scheduled__1).",
        "lake_etl is late: run scheduled__2 has not ended in time.",
    ]
    assert Heard.got[1][1]["why"] == "Why: it was to end by 2017-10-13 06:00."
    assert Heard.got[1][1]["link"] == "http://a/dags/lake_etl/runs/scheduled__2"


def test_drift_is_told_of_the_days_of_its_run(home: Any, server: str, monkeypatch: Any) -> None:
    asked = config(webhook="hook")
    monkeypatch.setattr("jobs.config.load", lambda: asked)
    tables, day = Tables(asked.tables), NOW.date()
    telling.drifted(task("drift"))
    tables.append("runs", [{"run_id": "1", "job": "drift", "dag_run": "lake_etl/scheduled__1", "days": [day],
                            "started_at": NOW}])  # fmt: skip
    about = {"drift_date": day, "kind": "feature", "who": "everyone", "against": "training", "level": "alarm",
             "psi": 0.4, "shift": 0.5}  # fmt: skip
    # Of these models say that days since the first visit grow by nature.
    tables.append("drift", [{**about, "name": name} for name in ("recency", "tenure")])
    telling.drifted(task("drift"))
    (told,) = [body["text"] for _, body in Heard.got]
    assert "1 quantity of 2017-10-13 (lake_etl, run scheduled__1). Why: feature recency since" in told
