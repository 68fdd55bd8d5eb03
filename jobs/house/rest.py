"""A small client of Airflow's REST API: trigger, backfill, wait, read."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from time import monotonic, sleep
from typing import Any
from zoneinfo import ZoneInfo

import requests

from jobs.house import HouseError

FINISHED = ("success", "failed")
# A second backfill of a DAG is refused while one is active, and for some seconds after.
BUSY = (409, 503)

Progress = Callable[[Mapping[str, str]], None]


class RestError(HouseError):
    """Airflow's API refused something."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Rest:
    """Airflow's API at `address`, as the user `login`."""

    def __init__(self, address: str, login: str, password: str) -> None:
        self.address = address
        self.login = login
        self.password = password
        self._session = requests.Session()
        # A proxy that the environment names has no business on loopback.
        self._session.trust_env = False

    def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Call /api/v2/PATH; `params=` and `json=` as requests takes them."""
        answer = self._send(method, path, **body)
        if answer.status_code == 401:
            self._log_in()
            answer = self._send(method, path, **body)
        if not answer.ok:
            text = f"Airflow answered {answer.status_code} to {method} {path}: {_detail(answer)}"
            raise RestError(answer.status_code, text)
        return dict(answer.json()) if answer.content else {}

    def is_healthy(self) -> bool:
        """Whether database, scheduler, triggerer and DAG processor are all at work."""
        try:
            health = self._session.get(f"{self.address}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def dag_ids(self) -> set[str]:
        """Return the DAGs that can run."""
        dags = self.call("GET", "dags", params={"limit": 100})["dags"]
        return {dag["dag_id"] for dag in dags if not dag["has_import_errors"]}

    def import_errors(self) -> str:
        """Return the last line of every DAG file's import error."""
        errors = self.call("GET", "importErrors")["import_errors"]
        return "; ".join(
            f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in errors
        )

    def put_pool(self, name: str, slots: int, description: str) -> None:
        """Create or change a pool."""
        pool = {"slots": slots, "description": description, "include_deferred": False}
        try:
            self.call("POST", "pools", json={**pool, "name": name})
        except RestError as error:
            if error.status != 409:
                raise
            self.call("PATCH", f"pools/{name}", json={**pool, "pool": name})

    def put_connection(self, connection: Mapping[str, Any]) -> None:
        """Create or change a connection."""
        try:
            self.call("POST", "connections", json=connection)
        except RestError as error:
            if error.status != 409:
                raise
            self.call("PATCH", f"connections/{connection['connection_id']}", json=connection)

    def trigger(self, dag_id: str, *, first: date, last: date, run_id: str | None = None) -> str:
        """Start a run for the days `first` to `last`, both included; return its id."""
        body: dict[str, Any] = {
            "logical_date": None,
            "conf": {"start": first.isoformat(), "end": last.isoformat()},
        }
        if run_id:
            body["dag_run_id"] = run_id
        return str(self.call("POST", f"dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state."""
        return str(self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the state of every task of a run."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        tasks = self.call("GET", path, params={"limit": 200})["task_instances"]
        return {task["task_id"]: task["state"] or "none" for task in tasks}

    def wait(
        self,
        dag_id: str,
        run_id: str,
        *,
        progress: Progress | None = None,
        seconds: float = 3600,
        pause: float = 0.5,
    ) -> str:
        """Wait until a run is over; return its state. `progress` gets the tasks' states when one changes."""
        shown: dict[str, str] = {}
        until = monotonic() + seconds
        while monotonic() < until:
            state = self.run_state(dag_id, run_id)
            if progress:
                states = self.task_states(dag_id, run_id)
                if states != shown:
                    progress(states)
                    shown = states
            if state in FINISHED:
                return state
            sleep(pause)
        raise HouseError(
            f"{dag_id} {run_id} was not over after {seconds:g} s; look at {self.address}/dags/{dag_id}."
        )

    def failure(self, dag_id: str, run_id: str) -> str:
        """Return the failed tasks of a run, each with the last lines that it logged."""
        failed = [task for task, state in self.task_states(dag_id, run_id).items() if state == "failed"]
        return "\n".join(f"{task}:\n{self.task_log(dag_id, run_id, task)}" for task in failed)

    def task_log(self, dag_id: str, run_id: str, task_id: str, *, lines: int = 12) -> str:
        """Return the last lines that a task's last try logged."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        attempt = self.call("GET", path)["try_number"] or 1
        content = self.call("GET", f"{path}/logs/{attempt}", params={"full_content": True})["content"]
        said = [entry.get("event", "") if isinstance(entry, dict) else str(entry) for entry in content]
        return "\n".join(f"  {line}" for line in said[-lines:])

    def backfill(
        self,
        dag_id: str,
        *,
        first: date,
        last: date,
        zone: str,
        reprocess: str = "completed",
        patience: float = 90,
    ) -> int:
        """Start a backfill of the days `first` to `last`, both included; return its id.

        `zone` is where the days are days; `reprocess` is none, failed or completed: what happens to days
        that already have a run.
        """
        # A bare date means midnight in UTC: it would lose the last day, and east of UTC+3 shift them all.
        begin, end = (
            datetime.combine(day, at, ZoneInfo(zone)).isoformat()
            for day, at in ((first, time.min), (last, time.max))
        )
        body = {
            "dag_id": dag_id,
            "from_date": begin,
            "to_date": end,
            "reprocess_behavior": reprocess,
            "max_active_runs": 1,
        }
        until = monotonic() + patience
        while True:
            try:
                return int(self.call("POST", "backfills", json=body)["id"])
            except RestError as error:
                if error.status not in BUSY or monotonic() > until:
                    raise
            sleep(2)

    def wait_backfill(self, dag_id: str, backfill_id: int, *, seconds: float = 3600) -> dict[str, int]:
        """Wait until all runs of a backfill are over; return how many ended in which state."""
        until = monotonic() + seconds
        while monotonic() < until:
            runs = self.backfill_runs(dag_id, backfill_id)
            states = Counter(run["state"] for run in runs)
            if runs and all(state in FINISHED for state in states):
                return dict(states)
            sleep(2)
        raise HouseError(
            f"The backfill of {dag_id} was not over after {seconds:g} s; look at {self.address}."
        )

    def backfill_runs(self, dag_id: str, backfill_id: int) -> list[dict[str, Any]]:
        """Return the runs of a backfill's days, oldest first, as the API gives them."""
        backfill = self.call("GET", f"backfills/{backfill_id}")
        days = {"logical_date_gte": backfill["from_date"], "logical_date_lte": backfill["to_date"]}
        query = {**days, "order_by": "logical_date", "limit": 400}
        return list(self.call("GET", f"dags/{dag_id}/dagRuns", params=query)["dag_runs"])

    def _send(self, method: str, path: str, **body: Any) -> requests.Response:
        try:
            return self._session.request(method, f"{self.address}/api/v2/{path}", timeout=60, **body)
        except requests.ConnectionError:
            raise HouseError(f"Airflow does not answer at {self.address}: start it with make up.") from None

    def _log_in(self) -> None:
        login = {"username": self.login, "password": self.password}
        answer = self._session.post(f"{self.address}/auth/token", json=login, timeout=30)
        if not answer.ok:
            raise RestError(
                answer.status_code, f"Airflow refused the login of {self.login}: {_detail(answer)}"
            )
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _detail(answer: requests.Response) -> str:
    try:
        return str(answer.json().get("detail", answer.text))[:500]
    except ValueError:
        return answer.text[:500]
