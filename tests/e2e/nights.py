"""Three days, and what is asked about them."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

FIRST, LAST = date(2017, 8, 18), date(2017, 8, 20)
DAYS = [FIRST + timedelta(days=number) for number in range(3)]
ONE_DAY = timedelta(days=1)
# Named after the moment they may begin: three in the morning in New York after the day.
RUN_IDS = [f"backfill__{day + ONE_DAY}T07:00:00+00:00" for day in DAYS]


def rows(home: Path, table: str, *columns: str) -> list[dict[str, Any]]:
    """Return a table's rows, of these columns only (none given: all)."""
    return DeltaTable(home / "tables" / table).to_pyarrow_table(columns=list(columns) or None).to_pylist()


def days_done(home: Path, dag_run: str) -> dict[str, set[tuple[date, date]]]:
    """Return, by job, the intervals that finished runs of DAG runs of that name had."""
    done: dict[str, set[tuple[date, date]]] = {}
    for run in rows(home, "runs"):
        if (run["dag_run"] or "").startswith(dag_run) and run["status"] in ("published", "unchanged"):
            done.setdefault(run["job"], set()).add((run["from_date"], run["to_date"]))
    return done
