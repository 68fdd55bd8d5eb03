"""Tells an operator: to Airflow's log always, and where conf/ says so by e-mail, to Slack, to a webhook.

The DAGs' callbacks end here. The same trouble is told once in `alerts.quiet_minutes`, and the next time how
often it came meanwhile. Who cannot be reached is a line in the log, and holds nobody else up.

Reads   `runs`, `releases` and `drift` of the DAG run; addresses from Airflow's connections
Writes  alerts/ in the data home: what was told, and when
"""

import fcntl
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jobs import alerts
from jobs.alerts import Alert, Event

if TYPE_CHECKING:
    from jobs.config import Config

SECONDS = 10
BACKFILL = "backfill"
DRIFT_DAYS = 14  # further back no day is looked for that was compared before

log = logging.getLogger("vitrine.alerts")


def task_failed(context: Mapping[str, Any]) -> None:
    """Tell of a task that failed after its last retry; Airflow calls it with the task's context."""
    import pyarrow.dataset as ds

    from jobs.config import load
    from jobs.tables import Tables

    config, task = load(), context["ti"]
    dag_run = f"{task.dag_id}/{task.run_id}"
    columns = ["job", "status", "message", "started_at"]
    runs = Tables(config.tables).read("runs", ds.field("dag_run") == dag_run, columns).to_pylist()
    error = str(context.get("exception") or "").strip().partition("\n")[0]
    link = str(getattr(task, "log_url", "") or "")
    tell(
        config,
        [alerts.of_failure(task.dag_id, task.run_id, task.task_id, runs=runs, error=error, link=link)],
    )


def verdicts(context: Mapping[str, Any]) -> None:
    """Tell of policies that are refused since this night, and of models that were not promoted."""
    from jobs.config import load
    from jobs.tables import Tables

    config, task = load(), context["ti"]
    columns = ["kind", "name", "as_of_date", "verdict", "why", "decided_at", "dag_run"]
    releases = Tables(config.tables).read("releases", None, columns).to_pylist()
    link = str(getattr(task, "log_url", "") or "")
    tell(config, alerts.of_verdicts(releases, f"{task.dag_id}/{task.run_id}", link))


def drifted(context: Mapping[str, Any]) -> None:
    """Tell of what has newly moved beyond a bound on the last day of a run of `drift`."""
    import pyarrow.dataset as ds

    from jobs.config import load
    from jobs.drifting import by_nature
    from jobs.tables import Tables

    config, task = load(), context["ti"]
    tables, dag_run = Tables(config.tables), f"{task.dag_id}/{task.run_id}"
    mine = (ds.field("dag_run") == dag_run) & (ds.field("job") == "drift")
    ran = tables.read("runs", mine, ["days"])["days"].to_pylist()
    day = max((one for days in ran for one in days or ()), default=None)
    if day is None:
        return
    columns = ["drift_date", "kind", "name", "who", "against", "psi", "shift", "level"]
    everyone, first = ds.field("who") == "everyone", day - timedelta(DRIFT_DAYS)
    rows = tables.pruned("drift", columns, everyone, first=first).to_pylist()
    grown = by_nature(config.model_specs, {row["name"] for row in rows})
    link = str(getattr(task, "log_url", "") or "")
    tell(config, alerts.of_drift(rows, day, grown, dag_run, link))


def late(context: Any = None, **_: Any) -> None:
    """Tell of a night that has not ended in time; a backfill's day is over long before it begins."""
    from airflow.configuration import conf

    from jobs.config import load

    of, due = _get(context, "dag_run"), _get(_get(context, "deadline"), "deadline_time")
    dag_id, run_id = str(_get(of, "dag_id") or ""), str(_get(of, "run_id", "dag_run_id") or "")
    if run_id.startswith(BACKFILL):
        return
    link = f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/dags/{dag_id}/runs/{quote(run_id)}"
    why = f"it was to end by {due}" if due else ""
    tell(load(), [Event("late", dag_id, run_id, why=why, link=link)])


def _get(of: Any, *names: str) -> Any:
    """Return a field of a mapping or an object, by the first name that it has."""
    for name in names:
        found = of.get(name) if isinstance(of, Mapping) else getattr(of, name, None)
        if found is not None:
            return found
    return None


def tell(config: "Config", events: list[Event], now: datetime | None = None) -> None:
    """Tell of each event everybody who is to know, unless the same was told a short while ago."""
    for event in events:
        alert = alerts.alert(event)
        held = _due(config.home / "alerts", alert, config.alerts.quiet_minutes, now or datetime.now(UTC))
        if held is None:
            log.info("Not told again, the same was told a short while ago: %s", alert.text)
            continue
        more = f" It came {held} more times since it was last told." if held else ""
        text = alert.text + more
        log.warning("%s", text)
        for name, send in _ways(config, alert, text):
            try:
                send()
            except Exception as error:  # whatever a way of telling raises: the others must be told
                log.error("%s could not be told: %s", name, str(error).partition("\n")[0])


def _ways(config: "Config", alert: Alert, text: str) -> Iterator[tuple[str, Callable[[], None]]]:
    asked = config.alerts
    if asked.webhook:
        yield "The webhook", lambda: _post(str(asked.webhook), {**asdict(alert), "text": text})
    if asked.slack:
        yield "Slack", lambda: _post(str(asked.slack), {"text": text})
    if asked.email:
        yield "E-mail", lambda: _mail(asked.email, alert, text)


def _post(connection: str, body: Mapping[str, Any]) -> None:
    """Post JSON to the address that is a connection's password: Airflow never shows passwords."""
    import requests
    from airflow.sdk import Connection

    address = Connection.get(connection).password
    if not address:
        raise ValueError(f"the connection {connection} has no password: it must be the whole address")
    # The address holds a secret, and so does what requests says of it: neither is repeated.
    try:
        answer = requests.post(address, json=body, timeout=SECONDS)
    except requests.RequestException as error:
        raise ValueError(f"the address of connection {connection}: {type(error).__name__}") from None
    if not answer.ok:
        raise ValueError(f"the address of connection {connection} answered {answer.status_code}")


def _mail(to: list[str], alert: Alert, text: str) -> None:
    """Send by Airflow's notifier, through its connection smtp_default."""
    from html import escape

    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    # Braces would be templates to a notifier.
    subject, body = (one.replace("{", "(").replace("}", ")") for one in (alert.what, escape(text)))
    SmtpNotifier(to=to, subject=subject, html_content=f"<p>{body}</p>").notify({})


def _due(folder: Path, alert: Alert, quiet_minutes: int, now: datetime) -> int | None:
    """Return how often the same was held back since it was told; None where it is to be held back now."""
    name = hashlib.blake2b(alert.key.encode(), digest_size=16).hexdigest()
    with _alone(folder):
        path = folder / f"{name}.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        is_quiet = known and now - datetime.fromisoformat(known["at"]) < timedelta(minutes=quiet_minutes)
        if known and is_quiet:
            path.write_text(json.dumps({**known, "held": known["held"] + 1}), encoding="utf-8")
            return None
        state = {"at": now.isoformat(), "held": 0, "text": alert.text}
        path.write_text(json.dumps(state), encoding="utf-8")
        return int(known["held"]) if known else 0


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time look and note: tasks fail side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
